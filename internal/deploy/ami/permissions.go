package ami

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// What dry runs name. It does not exist.
const (
	noImage    = "ami-00000000000000000"
	noSnapshot = "snap-00000000000000000"
	noName     = "pim-check"
)

// checkPermissions asks EC2 for what Deploy and Delete will ask, as dry runs. Only a clear no is a problem: the things
// named do not exist, and some actions say so before they look at permissions.
func (t *target) checkPermissions(ctx context.Context) ([]deploy.Problem, error) {
	asks := t.dryRuns(ctx)
	found := make([]error, len(asks))
	var all errgroup.Group
	for i, ask := range asks {
		all.Go(func() error {
			if found[i] = ask(); !refused(found[i]) {
				return found[i]
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	var problems []deploy.Problem
	for _, err := range found {
		if code(err) == "UnauthorizedOperation" {
			problems = append(problems, deploy.Problem{Summary: "A permission is missing", Detail: fmt.Sprintf(
				"%v. Give the credentials that permission, or use others.", err)})
		}
	}
	return problems, nil
}

// dryRuns are the questions.
func (t *target) dryRuns(ctx context.Context) []func() error {
	home, dry, quick := t.ec2(t.s.Region), aws.Bool(true), func(o *ec2.Options) { o.Retryer = t.retryer(checkAttempts) }
	asks := []func() error{
		func() error {
			_, err := home.RegisterImage(ctx, &ec2.RegisterImageInput{
				DryRun: dry, Name: aws.String(noName), RootDeviceName: aws.String(rootDevice), VirtualizationType: aws.String("hvm"),
				Architecture: types.ArchitectureValuesX8664, BlockDeviceMappings: []types.BlockDeviceMapping{{
					DeviceName: aws.String(rootDevice), Ebs: &types.EbsBlockDevice{SnapshotId: aws.String(noSnapshot)},
				}},
			}, quick)
			return err
		},
		func() error {
			_, err := home.DeregisterImage(ctx, &ec2.DeregisterImageInput{DryRun: dry, ImageId: aws.String(noImage)}, quick)
			return err
		},
		func() error {
			_, err := home.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{DryRun: dry, SnapshotId: aws.String(noSnapshot)}, quick)
			return err
		},
	}
	if t.s.Method == S3Import {
		asks = append(asks, func() error {
			_, err := home.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{
				DryRun: dry, DiskContainer: container(t.s.S3Bucket, noName),
			}, quick)
			return err
		})
	}
	for _, region := range t.s.copies() {
		asks = append(asks, func() error {
			_, err := t.ec2(region).CopyImage(ctx, &ec2.CopyImageInput{
				DryRun: dry, Name: aws.String(noName), SourceImageId: aws.String(noImage), SourceRegion: aws.String(t.s.Region),
			}, quick)
			return err
		})
	}
	return asks
}
