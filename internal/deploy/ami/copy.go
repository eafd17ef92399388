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

// each does something in all regions at once, and ends with the first error.
func each(ctx context.Context, regions []string, do func(ctx context.Context, region string) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, r := range regions {
		all.Go(func() error { return do(ctx, r) })
	}
	return all.Wait()
}

// copy copies the AMI to these regions and waits until the copies are available.
func (g *generation) copy(ctx context.Context, to []string) error {
	home, _ := g.holds(g.s.Region)
	return each(ctx, to, func(ctx context.Context, region string) error {
		if _, err := g.sweep(ctx, region); err != nil {
			return err
		}
		g.r.Report("copying the AMI to "+region, 0, 0)
		id, err := g.copyTo(ctx, home, region)
		if err != nil {
			return fmt.Errorf("cannot copy %s to %s: %w", home, region, unreachable(err))
		}
		g.exists(region, id, "")
		i, err := g.available(ctx, region, id)
		if err == nil {
			g.exists(region, id, rootSnapshot(i))
		}
		return err
	})
}

// copyInput asks for a copy of an AMI. The tags are given anew, because CopyImageTags leaves the snapshot without any.
func (g *generation) copyInput(ami, region string) *ec2.CopyImageInput {
	in := &ec2.CopyImageInput{
		SourceImageId: aws.String(ami), SourceRegion: aws.String(g.s.Region), Description: aws.String(g.description()),
		TagSpecifications: tagged(g.unfinished(), types.ResourceTypeImage, types.ResourceTypeSnapshot),
	}
	if key := g.s.KMSKeyIDs[region]; key != "" || g.s.Encrypted {
		in.Encrypted = aws.Bool(true)
		in.KmsKeyId = optional(key)
	}
	return in
}

// copyTo starts a copy. It gets the AMI's name, or the next one that is free there.
func (g *generation) copyTo(ctx context.Context, ami, region string) (id string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	g.touch(region)
	send, cancel := deploy.Lasting(ctx)
	defer cancel()
	for n := range sameName {
		name := g.have.Name
		if n > 0 {
			name = fmt.Sprintf("%s-%d", name, n+1)
		}
		in := g.copyInput(ami, region)
		in.Name, in.ClientToken = aws.String(name), aws.String(fmt.Sprintf("%s-%s-%d", g.attempt, region, n))
		var out *ec2.CopyImageOutput
		if out, err = g.ec2(region).CopyImage(send, in); err == nil {
			return aws.ToString(out.ImageId), nil
		}
		if code(err) != duplicate || ctx.Err() != nil {
			return "", err
		}
	}
	return "", err
}

// optional is nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}
