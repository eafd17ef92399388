package ami

import (
	"context"
	"errors"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
)

// Deploy makes a snapshot of the image, an AMI of the snapshot, copies for the other regions, and shares them. What it
// makes is tagged as unfinished until all of it is there.
func (t *target) Deploy(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	g := t.generation(r, "")
	g.have.Name = name(r, 1)
	err := g.make(ctx)
	if err == nil {
		return g.result(), nil
	}
	ctx, cancel := deploy.Cleanup(ctx)
	defer cancel()
	err = errors.Join(err, g.undo(ctx, g.touched...))
	return g.result(), err
}

func (g *generation) make(ctx context.Context) error {
	d, err := disk.Open(g.r.Image.Host, g.r.Image.Path)
	if err != nil {
		return err
	}
	defer d.Close()
	mode, err := g.bootMode(d)
	if err != nil {
		return err
	}
	snapshot, err := g.leftover(ctx, d)
	if err == nil && snapshot == "" {
		snapshot, err = g.snapshotOf(ctx, d)
	}
	if err != nil {
		return err
	}
	if err := g.register(ctx, snapshot, mode); err != nil {
		return err
	}
	if err := g.copy(ctx, g.s.copies()); err != nil {
		return err
	}
	return g.putRight(ctx)
}

// snapshotOf makes a snapshot of the disk by the method of the settings.
func (g *generation) snapshotOf(ctx context.Context, d *disk.Disk) (string, error) {
	if g.s.Method == S3Import {
		return g.importDisk(ctx, d)
	}
	return g.sendBlocks(ctx, d)
}
