package ami

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Delete deregisters the AMIs in all regions and deletes their snapshots. Instances that run from an AMI, and accounts
// that may launch it, are no hindrance: AWS lets it go, and they keep their own disks. Another AMI of the same snapshot
// is: AWS keeps a snapshot that an AMI needs.
func (t *target) Delete(ctx context.Context, have deploy.Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := deploy.Lasting(ctx) // what has begun is brought to its end, so that no half is left
	defer cancel()
	t.adoptID(&have)
	var inUse, errs []error
	for _, region := range regions(have) {
		err := t.remove(ctx, region, have.AMIs[region], have.Snapshots[region], "")
		if errors.Is(err, deploy.ErrInUse) {
			inUse = append(inUse, err)
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 { // there is more to do than others keep us from
		for _, err := range inUse {
			errs = append(errs, errors.New(err.Error()))
		}
		return errors.Join(errs...)
	}
	return errors.Join(inUse...)
}

// adoptID gives a Result that has just an id what it is the id of.
func (t *target) adoptID(r *deploy.Result) {
	switch {
	case len(r.AMIs)+len(r.Snapshots) > 0:
	case strings.HasPrefix(r.ID, "ami-"):
		r.AMIs = map[string]string{t.s.Region: r.ID}
	case strings.HasPrefix(r.ID, "snap-"):
		r.Snapshots = map[string]string{t.s.Region: r.ID}
	}
}

// remove deregisters an AMI and deletes its snapshot, each "" for none. What is gone is no error. An unfinished AMI of
// the same snapshot and generation is ours as well. Errors: deploy.ErrInUse.
func (t *target) remove(ctx context.Context, region, ami, snapshot, generation string) error {
	if snapshot == "" && ami != "" {
		i, err := t.image(ctx, region, ami)
		if err != nil && !errors.Is(err, deploy.ErrNotFound) {
			return err
		}
		if i != nil {
			snapshot = rootSnapshot(i)
		}
	}
	if err := t.freeOf(ctx, region, ami, snapshot, generation); err != nil {
		return err
	}
	if err := t.deregister(ctx, region, ami); err != nil || snapshot == "" {
		return err
	}
	began := time.Now()
	return t.poll(ctx, snapshot+" to be free of its AMI", func() (bool, string, error) {
		_, err := t.ec2(region).DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(snapshot)})
		switch {
		case err == nil || missing(err):
			return true, "", nil
		case code(err) == "InvalidSnapshot.InUse" && time.Since(began) < t.settle:
			return false, err.Error(), t.freeOf(ctx, region, ami, snapshot, generation)
		}
		return false, "", fmt.Errorf("cannot delete %s in %s: %w", snapshot, region, unreachable(err))
	})
}

func (t *target) deregister(ctx context.Context, region, ami string) error {
	if ami == "" {
		return nil
	}
	_, err := t.ec2(region).DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(ami)})
	if err != nil && !missing(err) {
		return fmt.Errorf("cannot deregister %s in %s: %w", ami, region, unreachable(err))
	}
	return nil
}

// freeOf makes sure that a snapshot has no AMIs but the given one and unfinished ones of the generation, which go. One
// that has is marked as retired, with its AMI. Errors: deploy.ErrInUse.
func (t *target) freeOf(ctx context.Context, region, ami, snapshot, generation string) error {
	if snapshot == "" {
		return nil
	}
	users, err := t.images(ctx, region, with("block-device-mapping.snapshot-id", snapshot))
	if err != nil {
		return err
	}
	var others []string
	mark := []string{snapshot}
	for i := range users {
		id, tags := aws.ToString(users[i].ImageId), tagMap(users[i].Tags)
		_, unfinished := tags[tagUnfinished]
		switch {
		case id == ami:
			mark = append(mark, ami)
		case generation != "" && tags[tagGeneration] == generation && unfinished:
			if err := t.deregister(ctx, region, id); err != nil {
				return err
			}
		default:
			others = append(others, fmt.Sprintf("%s (%s)", id, aws.ToString(users[i].Name)))
		}
	}
	if len(others) == 0 {
		return nil
	}
	retired := t.tag(ctx, region, mark, map[string]string{tagRetired: time.Now().UTC().Format(time.RFC3339)})
	return errors.Join(fmt.Errorf("%s in %s is %w by %s: deregister them first", snapshot, region, deploy.ErrInUse,
		strings.Join(others, ", ")), retired)
}
