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
// named do not exist, and some actions say so before they look at permissions. It is no more than a warning, though: a
// policy may allow just what has certain tags, or a certain owner, which what does not exist has not.
func (t *target) checkPermissions(ctx context.Context, r deploy.Request) ([]deploy.Problem, error) {
	asks := t.dryRuns(ctx, r)
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
			problems = append(problems, deploy.Problem{Warning: true, Summary: "A permission seems to be missing", Detail: fmt.Sprintf(
				"%v. Give the credentials that permission, or use others. If their policy asks for the tags or the owner of what "+
					"is to be changed, this may be wrong: AWS was asked about something that does not exist.", err)})
		}
	}
	return problems, nil
}

// dryRuns are the questions. They have the tags of what Deploy makes, which a policy may demand.
func (t *target) dryRuns(ctx context.Context, r deploy.Request) []func() error {
	g := t.generation(r, "")
	g.have.Name = name(r, 1)
	home, dry := t.ec2(t.s.Region), aws.Bool(true)
	asks := []func() error{
		func() error {
			_, err := home.RegisterImage(ctx, &ec2.RegisterImageInput{
				DryRun: dry, Name: aws.String(noName), RootDeviceName: aws.String(rootDevice), VirtualizationType: aws.String("hvm"),
				Architecture: types.ArchitectureValuesX8664, BlockDeviceMappings: []types.BlockDeviceMapping{{
					DeviceName: aws.String(rootDevice), Ebs: &types.EbsBlockDevice{SnapshotId: aws.String(noSnapshot)},
				}},
				TagSpecifications: tagged(g.unfinished(), types.ResourceTypeImage),
			}, t.quick)
			return err
		},
		func() error {
			_, err := home.DeregisterImage(ctx, &ec2.DeregisterImageInput{DryRun: dry, ImageId: aws.String(noImage)}, t.quick)
			return err
		},
		func() error {
			_, err := home.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{DryRun: dry, SnapshotId: aws.String(noSnapshot)}, t.quick)
			return err
		},
	}
	if t.s.Method == S3Import {
		asks = append(asks, func() error {
			in := g.importInput(noName)
			in.DryRun = dry
			_, err := home.ImportSnapshot(ctx, in, t.quick)
			return err
		})
	}
	for _, region := range t.s.copies() {
		asks = append(asks, func() error {
			in := g.copyInput(noImage, region)
			in.DryRun, in.Name = dry, aws.String(noName)
			_, err := t.ec2(region).CopyImage(ctx, in, t.quick)
			return err
		})
	}
	return asks
}
