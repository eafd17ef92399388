package file

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/localfile"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// draft is a generation in the making: its files have temporary names beside the final ones until publish.
type draft struct {
	host                   host.Host
	path                   string // of the disk
	disk, record, checksum string // temporary names
}

func newDraft(h host.Host, disk string) *draft {
	return &draft{
		host: h, path: disk, disk: localfile.Temp(disk),
		record: localfile.Temp(recordOf(disk)), checksum: localfile.Temp(checksumOf(disk)),
	}
}

// describe writes what lies beside the disk.
func (d *draft) describe(r *localfile.Record, withChecksum bool) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	if err := localfile.Write(d.host, d.record, data); err != nil || !withChecksum {
		return err
	}
	return localfile.Write(d.host, d.checksum, []byte(checksum(r.SHA256, d.path)))
}

// publish gives the files their names: first the record, since a disk without one is nobody's; then the disk, unless it
// stays; then the checksum, or none. When the disk cannot get its name the record is again what it was.
func (d *draft) publish(withDisk, withChecksum bool) error {
	old, err := localfile.Load(d.host, recordOf(d.path))
	if err != nil {
		return err
	}
	if err := localfile.Rename(d.host, d.record, recordOf(d.path)); err != nil {
		return err
	}
	if withDisk {
		if err := localfile.Rename(d.host, d.disk, d.path); err != nil {
			return errors.Join(err, d.restore(old))
		}
	}
	if withChecksum {
		return localfile.Rename(d.host, d.checksum, checksumOf(d.path))
	}
	return localfile.Remove(d.host, checksumOf(d.path))
}

func (d *draft) restore(old *localfile.Record) error {
	if old == nil {
		return localfile.Remove(d.host, recordOf(d.path))
	}
	data, err := old.Encode()
	if err != nil {
		return err
	}
	return host.WriteFile(d.host, recordOf(d.path), data, 0o644)
}

// discard removes whatever still has a temporary name.
func (d *draft) discard() error {
	return errors.Join(localfile.Remove(d.host, d.disk), localfile.Remove(d.host, d.record), localfile.Remove(d.host, d.checksum))
}

func (t *target) Deploy(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	record, err := t.deploy(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("cannot deploy to %s: %w", t.Path, err)
	}
	return record.Result(t.Path), nil
}

func (t *target) deploy(ctx context.Context, r deploy.Request) (record *localfile.Record, err error) {
	if err := t.claim(ctx, r); err != nil {
		return nil, err
	}
	if err := t.host.MkdirAll(path.Dir(t.Path), 0o755); err != nil {
		return nil, err
	}
	if err := t.sweep(); err != nil {
		return nil, err
	}
	record = localfile.NewRecord(r)
	d := newDraft(t.host, t.Path)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.discard())
		}
	}()
	if err := localfile.Make(ctx, t.host, r, record, d.disk, t.Format, t.pace.Idle); err != nil {
		return nil, err
	}
	if err := d.describe(record, *t.Checksum); err != nil {
		return nil, err
	}
	return record, d.publish(true, *t.Checksum)
}

// sweep removes what killed providers left unfinished.
func (t *target) sweep() error {
	old, err := localfile.Abandoned(t.host, t.Path, t.pace.Abandoned)
	for _, p := range old {
		err = errors.Join(err, localfile.Remove(t.host, p))
	}
	return err
}

// Update converts a disk that was changed anew, and writes anew what lies beside it.
func (t *target) Update(ctx context.Context, r deploy.Request, have deploy.Result) (*deploy.Result, error) {
	v, err := t.look(ctx, have)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot update the deployment: %w", err)
	case len(v.drift) == 0:
		return &have, nil
	case !v.intact:
		r.Current = &have
		return t.Deploy(ctx, r)
	}
	if err := t.mend(r, have, v.record); err != nil {
		return nil, fmt.Errorf("cannot update %s: %w", have.Path, err)
	}
	return &have, nil
}

// mend writes anew what lies beside a disk that is as it should be.
func (t *target) mend(r deploy.Request, have deploy.Result, record *localfile.Record) (err error) {
	if record == nil {
		info, err := t.host.Stat(have.Path)
		if err != nil {
			return err
		}
		record = localfile.NewRecord(r)
		record.Name, record.ImageKey, record.DeployedAt, record.SHA256 = have.Name, have.ImageKey, have.DeployedAt, have.SHA256
		record.Format, record.Size, record.Modified = t.Format, info.Size(), info.ModTime().UTC()
	}
	d := newDraft(t.host, have.Path)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.discard())
		}
	}()
	if err := d.describe(record, *t.Checksum); err != nil {
		return err
	}
	return d.publish(false, *t.Checksum)
}

// Delete removes the disk, then what lies beside it. A disk that was changed is somebody's by now, perhaps a machine's:
// it stays and is no longer ours. One that neither record nor content says is the generation's is not touched.
func (t *target) Delete(ctx context.Context, have deploy.Result) error {
	var inUse error
	v, err := t.look(ctx, have)
	switch {
	case errors.Is(err, deploy.ErrNotFound):
		record, err := localfile.Load(t.host, recordOf(have.Path))
		if err != nil || !record.Of(have) {
			return err
		}
	case err != nil:
		return fmt.Errorf("cannot delete %s: %w", have.Path, err)
	case v.intact:
		if err := localfile.Remove(t.host, have.Path); err != nil {
			return err
		}
	default:
		inUse = fmt.Errorf("%s was changed since it was deployed, and is left there: %w", have.Path, deploy.ErrInUse)
	}
	return errors.Join(inUse, localfile.Remove(t.host, checksumOf(have.Path)), localfile.Remove(t.host, recordOf(have.Path)))
}

// Aside links the disk under another name beside it, NAME-KEY12.EXT. Where there are no hard links it is copied.
func (t *target) Aside(ctx context.Context, _ deploy.Request, have deploy.Result) (res *deploy.Result, err error) {
	if have.Path != t.Path {
		return nil, nil //nolint:nilnil // the next one has another place
	}
	v, err := t.look(ctx, have)
	if err != nil || !v.intact || v.record == nil {
		return nil, err // what was changed is no generation of ours to keep
	}
	record := *v.record
	ext := path.Ext(have.Path)
	to, err := localfile.Free(t.host, strings.TrimSuffix(have.Path, ext)+"-"+localfile.ShortKey(have.ImageKey), ext)
	if err != nil {
		return nil, err
	}
	d := newDraft(t.host, to)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.discard())
		}
	}()
	if err := localfile.Link(ctx, t.host, &record, have.Path, d.disk, t.pace.Idle); err != nil {
		return nil, err
	}
	if err := d.describe(&record, *t.Checksum); err != nil {
		return nil, err
	}
	return record.Result(to), d.publish(true, *t.Checksum)
}
