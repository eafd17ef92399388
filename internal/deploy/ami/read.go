package ami

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Read looks at a generation in all its regions. It is gone when the AMI of the home region is, or its snapshot. A
// Result with just the AMI's id is filled in, for an import.
func (t *target) Read(ctx context.Context, have deploy.Result) (*deploy.Result, []string, error) {
	t.adoptID(&have)
	if have.Broken {
		return t.rest(ctx, have)
	}
	views, err := t.views(ctx, have)
	if err != nil {
		return nil, nil, err
	}
	home := views[t.s.Region]
	if home == nil {
		return nil, nil, fmt.Errorf("%s in %s %w", have.ID, t.s.Region, deploy.ErrNotFound)
	}
	now := have
	now.Name, now.DeployedAt = aws.ToString(home.image.Name), created(home.image)
	now.ImageKey = cmp.Or(have.ImageKey, tagMap(home.image.Tags)[tagKey])
	now.AMIs, now.Snapshots = maps.Clone(have.AMIs), maps.Clone(have.Snapshots)
	if now.Snapshots == nil {
		now.Snapshots = map[string]string{}
	}
	want := t.settingsTags()
	want[tagManagedBy], want[tagKey] = managedBy, now.ImageKey
	var drift []string
	for _, region := range slices.Sorted(maps.Keys(views)) {
		v := views[region]
		if v == nil { // its ids stay in the result: half of it may be there
			drift = append(drift, fmt.Sprintf("%s in %s is gone", have.AMIs[region], region))
			continue
		}
		now.Snapshots[region] = rootSnapshot(v.image)
		for _, c := range t.changes(v, want, now.DeployedAt) {
			drift = append(drift, c.what)
		}
		if v.unfinished() {
			drift = append(drift, fmt.Sprintf("%s in %s is marked as unfinished", have.AMIs[region], region))
		}
	}
	for _, region := range t.s.copies() {
		if have.AMIs[region] == "" {
			drift = append(drift, "there is no copy in "+region)
		}
	}
	for _, region := range t.s.surplus(now) {
		drift = append(drift, fmt.Sprintf("there is a copy in %s, which is not among the regions", region))
	}
	return &now, drift, nil
}

// views are what all regions have; nil where the AMI or its snapshot is gone.
func (t *target) views(ctx context.Context, have deploy.Result) (map[string]*view, error) {
	var mu sync.Mutex
	views := map[string]*view{}
	err := each(ctx, slices.Sorted(maps.Keys(have.AMIs)), func(ctx context.Context, region string) error {
		v, err := t.look(ctx, region, have.AMIs[region])
		switch {
		case errors.Is(err, deploy.ErrNotFound) || err == nil && !alive(v.image):
			v = nil
		case err != nil:
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		views[region] = v
		return nil
	})
	return views, err
}

// rest looks for what a failed Deploy left. Errors: deploy.ErrNotFound when all of it is gone.
func (t *target) rest(ctx context.Context, have deploy.Result) (*deploy.Result, []string, error) {
	for _, region := range regions(have) {
		if ami := have.AMIs[region]; ami != "" {
			if _, err := t.image(ctx, region, ami); !errors.Is(err, deploy.ErrNotFound) {
				return &have, nil, err
			}
		}
		if snapshot := have.Snapshots[region]; snapshot != "" {
			if _, err := t.snapshot(ctx, region, snapshot); !errors.Is(err, deploy.ErrNotFound) {
				return &have, nil, err
			}
		}
	}
	return nil, nil, fmt.Errorf("%s %w", have.ID, deploy.ErrNotFound)
}

// unfinished tells if the AMI or its snapshot is marked as unfinished.
func (v *view) unfinished() bool {
	_, image := tagMap(v.image.Tags)[tagUnfinished]
	_, snapshot := tagMap(v.snapshot.Tags)[tagUnfinished]
	return image || snapshot
}

// ids are those of the AMI and its snapshot.
func (v *view) ids() []string {
	return []string{aws.ToString(v.image.ImageId), aws.ToString(v.snapshot.SnapshotId)}
}

// Find looks for the newest finished AMI of that image and deployment, and its copies.
func (t *target) Find(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	of := append(ours(r.Name), with("tag:"+tagKey, r.Image.Key), with("state", "available"))
	found, err := t.images(ctx, t.s.Region, of...)
	if err != nil {
		return nil, err
	}
	for _, i := range newest(found) {
		tags := tagMap(i.Tags)
		if _, unfinished := tags[tagUnfinished]; unfinished {
			continue
		}
		have := deploy.Result{
			ID: aws.ToString(i.ImageId), Name: aws.ToString(i.Name), ImageKey: r.Image.Key, DeployedAt: created(&i),
			AMIs:      map[string]string{t.s.Region: aws.ToString(i.ImageId)},
			Snapshots: map[string]string{t.s.Region: rootSnapshot(&i)},
		}
		for _, region := range t.s.copies() {
			copies, err := t.images(ctx, region, append(of, with("tag:"+tagGeneration, tags[tagGeneration]))...)
			if err != nil {
				return nil, err
			}
			if len(copies) > 0 {
				c := &newest(copies)[0]
				have.AMIs[region], have.Snapshots[region] = aws.ToString(c.ImageId), rootSnapshot(c)
			}
		}
		return &have, nil
	}
	return nil, fmt.Errorf("an AMI of image %s for %s in %s %w", short(r.Image.Key), r.Name, t.s.Region, deploy.ErrNotFound)
}
