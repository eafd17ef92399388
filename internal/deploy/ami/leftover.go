package ami

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
)

// abandoned is how old a complete snapshot without an AMI must be to be taken over: a provider that lives registers
// it within seconds.
const abandoned = 10 * time.Minute

// leftover finds a complete snapshot of this very image that a killed provider left, and takes it over, "" when there
// is none. What is older than Pace.Abandoned goes.
func (g *generation) leftover(ctx context.Context, d *disk.Disk) (string, error) {
	if g.s.Method == S3Import {
		if err := errors.Join(g.sweepBucket(ctx), g.tagImports(ctx)); err != nil {
			return "", err
		}
	}
	found, err := g.sweep(ctx, g.s.Region)
	if err != nil {
		return "", err
	}
	for _, s := range found {
		id := aws.ToString(s.SnapshotId)
		if !g.fits(&s, gibOf(d.Size())) || time.Since(finished(&s)) < abandoned {
			continue
		}
		users, err := g.images(ctx, g.s.Region, with("block-device-mapping.snapshot-id", id))
		if err != nil {
			return "", err
		}
		if len(users) == 0 {
			g.r.Report("taking over "+id, 0, 0)
			g.become(tagMap(s.Tags)[tagGeneration])
			g.touch(g.s.Region)
			g.exists(g.s.Region, "", id)
			return id, nil
		}
	}
	return "", nil
}

// fits tells if a snapshot is as the settings would have it made.
func (g *generation) fits(s *types.Snapshot, gib int64) bool {
	tags := tagMap(s.Tags)
	return s.State == types.SnapshotStateCompleted && int64(aws.ToInt32(s.VolumeSize)) == gib &&
		tags[tagKey] == g.r.Image.Key && tags[tagGeneration] != "" &&
		(!g.s.Encrypted || aws.ToBool(s.Encrypted)) && (g.s.KMSKeyID == "" || g.s.KMSKeyID == aws.ToString(s.KmsKeyId))
}

// finished is when a snapshot was completed, or else begun.
func finished(s *types.Snapshot) time.Time {
	if s.CompletionTime != nil {
		return *s.CompletionTime
	}
	return aws.ToTime(s.StartTime)
}

// sweep removes from a region what killed providers left of this deployment long ago, and answers with the unfinished
// snapshots that are younger. What others depend on stays.
func (g *generation) sweep(ctx context.Context, region string) (young []types.Snapshot, err error) {
	of := append(ours(g.r.Name), with("tag-key", tagUnfinished))
	before := time.Now().Add(-g.pace.Abandoned)
	images, err := g.images(ctx, region, of...)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range images {
		if created(&images[i]).Before(before) {
			errs = append(errs, g.discard(ctx, region, aws.ToString(images[i].ImageId), rootSnapshot(&images[i])))
		}
	}
	snapshots, err := g.snapshots(ctx, region, of...)
	errs = append(errs, err)
	for _, s := range snapshots {
		if finished(&s).Before(before) {
			errs = append(errs, g.discard(ctx, region, "", aws.ToString(s.SnapshotId)))
		} else {
			young = append(young, s)
		}
	}
	return young, errors.Join(errs...)
}

// discard removes something abandoned.
func (g *generation) discard(ctx context.Context, region, ami, snapshot string) error {
	g.r.Report("removing the abandoned "+ami+" "+snapshot, 0, 0)
	if err := g.remove(ctx, region, ami, snapshot, ""); !errors.Is(err, deploy.ErrInUse) {
		return err
	}
	return nil
}
