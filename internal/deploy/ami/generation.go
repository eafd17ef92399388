package ami

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// generation is one generation in the making, or being put right.
type generation struct {
	*target
	r       deploy.Request
	id      string            // random, the value of tagGeneration
	attempt string            // random, for client tokens
	tags    map[string]string // that all of it shall have; until it is complete there is tagUnfinished as well

	mu      sync.Mutex
	have    deploy.Result // what exists
	touched []string      // regions where something may exist
}

// generation is the one with that id, or a new one for "".
func (t *target) generation(r deploy.Request, id string) *generation {
	g := &generation{target: t, r: r, attempt: random(), tags: t.settingsTags()}
	g.tags[tagManagedBy] = managedBy
	g.tags[tagKey] = r.Image.Key
	g.tags[tagName] = r.Name
	if r.Image.Profile != "" {
		g.tags[tagProfile] = r.Image.Profile
	}
	g.become(cmp.Or(id, g.attempt))
	g.adopt(deploy.Result{ImageKey: r.Image.Key})
	return g
}

// become has what will be made belong to the generation with that id.
func (g *generation) become(id string) {
	g.id = id
	g.tags[tagGeneration] = id
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// unfinished are the tags of what is being made.
func (g *generation) unfinished() map[string]string {
	tags := maps.Clone(g.tags)
	tags[tagUnfinished] = "true"
	if _, ok := tags[tagDisplay]; !ok && g.have.Name != "" {
		tags[tagDisplay] = g.have.Name
	}
	return tags
}

// adopt takes over what exists.
func (g *generation) adopt(have deploy.Result) {
	g.have = have
	g.have.AMIs, g.have.Snapshots = map[string]string{}, map[string]string{}
	maps.Copy(g.have.AMIs, have.AMIs)
	maps.Copy(g.have.Snapshots, have.Snapshots)
}

// touch notes that something is about to be made in a region.
func (g *generation) touch(region string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.touched, region) {
		g.touched = append(g.touched, region)
	}
}

// exists notes an AMI or a snapshot; "" changes nothing.
func (g *generation) exists(region, ami, snapshot string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ami != "" {
		g.have.AMIs[region] = ami
	}
	if snapshot != "" {
		g.have.Snapshots[region] = snapshot
	}
}

// gone notes that a region has nothing any more.
func (g *generation) gone(region string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.have.AMIs, region)
	delete(g.have.Snapshots, region)
}

// holds is what a region has.
func (g *generation) holds(region string) (ami, snapshot string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.have.AMIs[region], g.have.Snapshots[region]
}

// result is what exists, nil for nothing.
func (g *generation) result() *deploy.Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.have
	r.AMIs, r.Snapshots = maps.Clone(r.AMIs), maps.Clone(r.Snapshots)
	r.ID = r.AMIs[g.s.Region]
	for _, m := range []map[string]string{r.AMIs, r.Snapshots} {
		for _, region := range slices.Sorted(maps.Keys(m)) {
			if r.ID == "" {
				r.ID = m[region]
			}
		}
	}
	if r.ID == "" {
		return nil
	}
	return &r
}

// regions are those where a Result has something, sorted.
func regions(r deploy.Result) []string {
	all := maps.Clone(r.AMIs)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, r.Snapshots)
	return slices.Sorted(maps.Keys(all))
}

// undo removes what the generation made in these regions. An answer may have been lost, so it asks what is there by its
// tag. What is left stays in the result.
func (g *generation) undo(ctx context.Context, in ...string) error {
	var errs []error
	for _, region := range in {
		errs = append(errs, g.search(ctx, region))
		ami, snapshot := g.holds(region)
		err := g.remove(ctx, region, ami, snapshot, g.id)
		if err == nil {
			g.gone(region)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// search notes what a region has of this generation.
func (g *generation) search(ctx context.Context, region string) error {
	mine := []types.Filter{with("tag:"+tagGeneration, g.id), with("tag:"+tagManagedBy, managedBy)}
	images, err := g.images(ctx, region, mine...)
	if err != nil {
		return err
	}
	for i := range images {
		g.exists(region, aws.ToString(images[i].ImageId), rootSnapshot(&images[i]))
	}
	snapshots, err := g.snapshots(ctx, region, mine...)
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		g.exists(region, "", aws.ToString(s.SnapshotId))
	}
	return nil
}
