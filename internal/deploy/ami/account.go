package ami

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"golang.org/x/sync/errgroup"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// managedKey is the alias of a region's key for EBS that AWS manages. It cannot be shared.
const managedKey = "alias/aws/ebs"

// checkAccount looks for settings of the account that forbid to share what will be made, which AWS says only after the
// whole upload. It is a courtesy: where it may not ask, or a compatible cloud knows no such question, there is no problem.
// AMIs that are there already are shared as they are.
func (t *target) checkAccount(ctx context.Context, r deploy.Request) ([]deploy.Problem, error) {
	if !t.s.shared() {
		return nil, nil
	}
	regions := append([]string{t.s.Region}, t.s.copies()...)
	found := make([]checker, len(regions))
	var all errgroup.Group
	for i, region := range regions {
		if c := r.Current; c != nil && c.ImageKey == r.Image.Key && c.AMIs[region] != "" {
			continue
		}
		all.Go(func() error {
			return errors.Join(t.checkDefaultKey(ctx, &found[i], region), t.checkPublic(ctx, &found[i], region))
		})
	}
	err := all.Wait()
	var problems []deploy.Problem
	for _, c := range found {
		problems = append(problems, c.problems...)
	}
	return problems, err
}

// checkDefaultKey finds out if a snapshot will be encrypted without being asked for, with a key that others cannot use.
func (t *target) checkDefaultKey(ctx context.Context, c *checker, region string) error {
	if t.s.Encrypted || t.s.KMSKeyIDs[region] != "" {
		return nil // which Complete has checked
	}
	on, err := t.ec2(region).GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{}, t.quick)
	if err != nil || !aws.ToBool(on.EbsEncryptionByDefault) {
		return courtesy(err)
	}
	if t.s.public() {
		c.want(false, "launch_permissions", "Encrypted AMIs cannot be public", "In %[1]s the account encrypts by default. Remove "+
			"the group \"all\", or switch that off with: aws ec2 disable-ebs-encryption-by-default --region %[1]s", region)
		return nil
	}
	key, err := t.ec2(region).GetEbsDefaultKmsKeyId(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{}, t.quick)
	name := "its default key"
	if err == nil {
		name = aws.ToString(key.KmsKeyId)
	}
	home := region == t.s.Region
	p := deploy.Problem{
		Field: "encrypted", Summary: "The default key cannot be shared",
		// A key of the account's own can be shared, and so can what is encrypted like a parent.
		Warning: !strings.HasSuffix(name, managedKey) || home && t.s.ParentSnapshot != "",
	}
	give := "encrypted = true and kms_key_id"
	if !home {
		p.Field, give = "kms_key_ids", "kms_key_ids"
	}
	p.Detail = fmt.Sprintf("In %s the account encrypts by default, with %s, and AWS does not let others use what is encrypted with "+
		"the key that it manages. Set %s to a key of your own there, and let those accounts use it by its key policy.", region, name, give)
	c.problems = append(c.problems, p)
	return courtesy(err)
}

// checkPublic finds out if AMIs may be public.
func (t *target) checkPublic(ctx context.Context, c *checker, region string) error {
	if !t.s.public() {
		return nil
	}
	out, err := t.ec2(region).GetImageBlockPublicAccessState(ctx, &ec2.GetImageBlockPublicAccessStateInput{}, t.quick)
	if err != nil {
		return courtesy(err)
	}
	c.want(aws.ToString(out.ImageBlockPublicAccessState) != "block-new-sharing", "launch_permissions", "Public AMIs are blocked",
		"In %[1]s block public access for AMIs is on. Remove the group \"all\", or switch it off with: "+
			"aws ec2 disable-image-block-public-access --region %[1]s", region)
	return nil
}

// courtesy is the error of a question that need not be answered.
func courtesy(err error) error {
	if refused(err) {
		return nil
	}
	return err
}

// quick has a request of Check tried only so often.
func (t *target) quick(o *ec2.Options) { o.Retryer = t.retryer(checkAttempts) }
