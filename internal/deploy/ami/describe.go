package ami

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// self is the owner that is the account itself.
const self = "self"

// missing says that EC2 does not know an AMI or snapshot, or no longer.
func missing(err error) bool {
	c := code(err)
	return strings.HasSuffix(c, ".NotFound") || c == "InvalidAMIID.Unavailable"
}

// with is a filter; a value's wildcards are meant literally by nobody, so there are none.
func with(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// ours filters what belongs to the deployment of that name.
func ours(name string) []types.Filter {
	return []types.Filter{with("tag:"+tagManagedBy, managedBy), with("tag:"+tagName, name)}
}

// images lists the account's AMIs that pass all filters.
func (t *target) images(ctx context.Context, region string, filters ...types.Filter) ([]types.Image, error) {
	var found []types.Image
	pages := ec2.NewDescribeImagesPaginator(t.ec2(region), &ec2.DescribeImagesInput{
		Owners: []string{self}, Filters: filters, IncludeDisabled: aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot list the AMIs in %s: %w", region, unreachable(err))
		}
		found = append(found, page.Images...)
	}
	return found, nil
}

// snapshots lists the account's snapshots that pass all filters.
func (t *target) snapshots(ctx context.Context, region string, filters ...types.Filter) ([]types.Snapshot, error) {
	var found []types.Snapshot
	pages := ec2.NewDescribeSnapshotsPaginator(t.ec2(region), &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{self}, Filters: filters,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot list the snapshots in %s: %w", region, unreachable(err))
		}
		found = append(found, page.Snapshots...)
	}
	return found, nil
}

// image describes an AMI. Errors: deploy.ErrNotFound.
func (t *target) image(ctx context.Context, region, id string) (*types.Image, error) {
	out, err := t.ec2(region).DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}, IncludeDisabled: aws.Bool(true)})
	switch {
	case missing(err) || err == nil && len(out.Images) == 0:
		return nil, fmt.Errorf("%s in %s %w", id, region, deploy.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("cannot look at %s in %s: %w", id, region, unreachable(err))
	}
	return &out.Images[0], nil
}

// snapshot describes a snapshot. Errors: deploy.ErrNotFound.
func (t *target) snapshot(ctx context.Context, region, id string) (*types.Snapshot, error) {
	if id == "" {
		return nil, fmt.Errorf("the AMI's snapshot in %s %w", region, deploy.ErrNotFound)
	}
	out, err := t.ec2(region).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	switch {
	case missing(err) || err == nil && len(out.Snapshots) == 0:
		return nil, fmt.Errorf("%s in %s %w", id, region, deploy.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("cannot look at %s in %s: %w", id, region, unreachable(err))
	}
	return &out.Snapshots[0], nil
}

// rootSnapshot is the snapshot of an AMI's disk, "" while a copy has none yet.
func rootSnapshot(i *types.Image) string {
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs != nil && m.Ebs.SnapshotId != nil {
			return *m.Ebs.SnapshotId
		}
	}
	return ""
}

// created is when an AMI was made, in UTC and whole seconds.
func created(i *types.Image) time.Time {
	at, err := time.Parse(time.RFC3339, aws.ToString(i.CreationDate))
	if err != nil {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Second)
}

// newest sorts AMIs by their time, the newest first.
func newest(images []types.Image) []types.Image {
	slices.SortFunc(images, func(a, b types.Image) int { return created(&b).Compare(created(&a)) })
	return images
}
