package ami

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Update puts the AMIs right that are there, makes copies that are missing, and removes those no longer wanted.
func (t *target) Update(ctx context.Context, r deploy.Request, have deploy.Result) (*deploy.Result, error) {
	t.adoptID(&have)
	home, err := t.image(ctx, t.s.Region, have.AMIs[t.s.Region])
	if err != nil {
		return nil, err
	}
	g := t.generation(r, tagMap(home.Tags)[tagGeneration])
	g.adopt(have)
	err = g.update(ctx)
	return g.result(), err
}

func (g *generation) update(ctx context.Context) error {
	var absent []string
	for _, region := range g.s.copies() {
		ami, snapshot := g.holds(region)
		there, err := g.usable(ctx, region, ami)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := g.drop(ctx, region, ami, snapshot); err != nil {
			return err
		}
		absent = append(absent, region)
	}
	for _, region := range g.s.surplus(g.have) {
		ami, snapshot := g.holds(region)
		if err := g.drop(ctx, region, ami, snapshot); err != nil {
			return err
		}
	}
	if err := g.copy(ctx, absent); err != nil {
		clean, cancel := deploy.Cleanup(ctx)
		defer cancel()
		halves := slices.DeleteFunc(absent, func(region string) bool {
			_, snapshot := g.holds(region)
			return snapshot != "" // it is complete
		})
		return errors.Join(err, g.undo(clean, halves...))
	}
	return g.putRight(ctx)
}

// surplus are the regions where there is something and should be nothing, sorted.
func (s *Settings) surplus(have deploy.Result) []string {
	return slices.DeleteFunc(regions(have), func(r string) bool { return r == s.Region || slices.Contains(s.Regions, r) })
}

// usable tells if an AMI is there with its snapshot, and can be launched, now or soon.
func (t *target) usable(ctx context.Context, region, ami string) (bool, error) {
	if ami == "" {
		return false, nil
	}
	i, err := t.image(ctx, region, ami)
	if err == nil && alive(i) {
		_, err = t.snapshot(ctx, region, rootSnapshot(i))
	}
	if errors.Is(err, deploy.ErrNotFound) {
		return false, nil
	}
	return err == nil && alive(i), err
}

func alive(i *types.Image) bool {
	return i.State == types.ImageStateAvailable || i.State == types.ImageStatePending
}

// drop removes what a region has.
func (g *generation) drop(ctx context.Context, region, ami, snapshot string) error {
	if ami+snapshot == "" {
		return nil
	}
	send, cancel := deploy.Lasting(ctx)
	defer cancel()
	if err := g.remove(send, region, ami, snapshot, ""); err != nil {
		return fmt.Errorf("cannot remove the copy in %s: %w", region, err)
	}
	g.gone(region)
	return nil
}

// putRight makes all AMIs and snapshots fit the settings, and completes the result. At the very end the tags go that
// mark them as unfinished, at home last.
func (g *generation) putRight(ctx context.Context) error {
	home, _ := g.holds(g.s.Region)
	i, err := g.image(ctx, g.s.Region, home)
	if err != nil {
		return err
	}
	g.have.DeployedAt, g.have.Name = created(i), aws.ToString(i.Name)
	want := maps.Clone(g.tags)
	if _, ok := want[tagDisplay]; !ok {
		want[tagDisplay] = g.have.Name
	}
	var mu sync.Mutex
	views := map[string]*view{}
	err = each(ctx, slices.Sorted(maps.Keys(g.have.AMIs)), func(ctx context.Context, region string) error {
		ami, _ := g.holds(region)
		v, err := g.look(ctx, region, ami)
		if err != nil {
			return err
		}
		g.exists(region, ami, rootSnapshot(v.image))
		mu.Lock()
		views[region] = v
		mu.Unlock()
		for _, c := range g.changes(v, want, g.have.DeployedAt) {
			if err := c.mend(ctx); err != nil {
				return fmt.Errorf("cannot put right in %s that %s: %w", region, c.what, unreachable(err))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, region := range append(g.s.copies(), g.s.Region) {
		if v := views[region]; v.unfinished() {
			if err := g.untag(ctx, region, v.ids(), tagUnfinished); err != nil {
				return fmt.Errorf("cannot mark %s as finished: %w", v.ids(), unreachable(err))
			}
		}
	}
	return nil
}
