package ami

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// checkAttempts is how often a request of Check is tried: a plan should not wait long for a target that is away.
const checkAttempts = 2

// maxVolume is the largest volume.
const maxVolume = 64 << 40

// Check looks at the request, the credentials, the permissions as far as EC2 tells them without acting, the regions, what
// the account forbids to share, and the bucket. The EBS direct APIs and KMS cannot be asked that way; what they refuse shows at apply.
func (t *target) Check(ctx context.Context, r deploy.Request) ([]deploy.Problem, error) {
	problems := t.checkRequest(r)
	more, err := t.checkCredentials(ctx)
	problems = append(problems, more...)
	if err != nil || len(more) > 0 {
		return problems, err // all else would fail for the same reason
	}
	for _, look := range []func(context.Context, deploy.Request) ([]deploy.Problem, error){
		t.checkRegions, t.checkPermissions, t.checkAccount, t.checkBucket,
	} {
		more, err := look(ctx, r)
		problems = append(problems, more...)
		if err != nil || slices.ContainsFunc(more, func(p deploy.Problem) bool { return !p.Warning }) {
			return problems, unreachable(err)
		}
	}
	return problems, nil
}

// checkRequest checks what takes no network.
func (t *target) checkRequest(r deploy.Request) []deploy.Problem {
	var c checker
	longest := name(r, sameName)
	c.want(amiName.MatchString(longest), "", "Not a name for an AMI",
		"%q: with the image's key the name must have 3 to 128 characters, of letters, digits and ()[] ./-'@_. Choose "+
			"another name for the deployment.", longest)
	t.checkBoot(&c, r.Image)
	c.want(r.Image.VirtualBytes <= maxVolume, "", "The disk is too large",
		"It has %d bytes; a volume can have %d.", r.Image.VirtualBytes, int64(maxVolume))
	return c.problems
}

// checkBoot checks that AWS can give the image what it boots with.
func (t *target) checkBoot(c *checker, i deploy.Image) {
	const uefi = string(types.BootModeValuesUefi)
	mode := t.s.BootMode
	if mode == "" && (i.Arch == host.ARM64 || i.Firmware == qemu.UEFI || i.Firmware == qemu.UEFISecure) {
		mode = uefi
	}
	c.want(i.Arch != host.ARM64 || mode == uefi, "boot_mode", "arm64 boots by UEFI", "boot_mode %q is not for arm64: remove it.", mode)
	c.want(!i.TPM || mode == uefi, "boot_mode", "A TPM needs boot mode uefi", "The image is for machines with a TPM, which only AMIs with "+
		"boot_mode \"uefi\" get. Build it with firmware = \"uefi\", or without a TPM.")
	if i.Firmware == qemu.UEFISecure {
		c.problems = append(c.problems, deploy.Problem{Field: "boot_mode", Warning: true, Summary: "Secure Boot will be off on AWS", Detail: "Instances " +
			"of an AMI that has no UEFI variables of its own start without keys. The image boots all the same; to have Secure Boot " +
			"there, register its snapshot once more with --uefi-data (see Amazon's user guide, \"UEFI Secure Boot\")."})
	}
}

// checkCredentials finds out if there are any, and if AWS takes them.
func (t *target) checkCredentials(ctx context.Context) ([]deploy.Problem, error) {
	if _, err := t.base.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return []deploy.Problem{{Field: "profile", Summary: "No AWS credentials", Detail: fmt.Sprintf(
			"Neither the environment, the shared configuration files nor the machine has any that work: %v. Set profile "+
				"or AWS_PROFILE, log in with \"aws sso login\", or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.", err)}}, nil
	}
	_, err := t.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, func(o *sts.Options) { o.Retryer = t.retryer(checkAttempts) })
	switch {
	case err == nil:
		return nil, nil
	case !refused(err):
		return nil, unreachable(err)
	case strings.Contains(err.Error(), "STS: AssumeRole"):
		return []deploy.Problem{{Field: "assume_role", Summary: "The role cannot be assumed", Detail: fmt.Sprintf(
			"%v. The role's trust policy must allow it for these credentials, with the same external_id.", err)}}, nil
	}
	return []deploy.Problem{{Summary: "AWS refuses the credentials", Detail: fmt.Sprintf(
		"%v. They may have expired or been withdrawn; log in again, or choose another profile.", err)}}, nil
}

// checkRegions looks for regions that do not exist or that the account has not opted in to.
func (t *target) checkRegions(ctx context.Context, _ deploy.Request) ([]deploy.Problem, error) {
	if len(t.s.copies()) == 0 {
		return nil, nil
	}
	out, err := t.ec2(t.s.Region).DescribeRegions(ctx, &ec2.DescribeRegionsInput{AllRegions: aws.Bool(true)}, t.quick)
	if err != nil {
		return nil, fmt.Errorf("cannot list the regions: %w", err)
	}
	known := map[string]string{}
	for _, r := range out.Regions {
		known[aws.ToString(r.RegionName)] = aws.ToString(r.OptInStatus)
	}
	var c checker
	for _, region := range t.s.copies() {
		status, ok := known[region]
		c.want(ok, "regions", "Unknown region", "There is no region %s.", region)
		c.want(status != "not-opted-in", "regions", "Region not enabled",
			"The account has not opted in to %s: enable it with \"aws account enable-region --region-name %s\".", region, region)
	}
	return c.problems, nil
}

// checkBucket looks if the bucket is there, ours to use, and in the home region, which ImportSnapshot needs.
func (t *target) checkBucket(ctx context.Context, _ deploy.Request) ([]deploy.Problem, error) {
	if t.s.Method != S3Import {
		return nil, nil
	}
	out, err := t.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(t.s.S3Bucket)},
		func(o *s3.Options) { o.Retryer = t.retryer(checkAttempts) })
	region := ""
	if err == nil {
		region = aws.ToString(out.BucketRegion)
	}
	var resp *smithyhttp.ResponseError
	status := 0
	if errors.As(err, &resp) {
		status, region = resp.HTTPStatusCode(), resp.Response.Header.Get("X-Amz-Bucket-Region")
	}
	var c checker
	c.want(status != http.StatusNotFound, "s3_bucket", "No such bucket", "There is no bucket %q: make it in %s.", t.s.S3Bucket, t.s.Region)
	c.want(status != http.StatusForbidden, "s3_bucket", "The bucket is not open to you",
		"Access to %q is denied: it may belong to somebody else, or the permission s3:ListBucket is missing.", t.s.S3Bucket)
	c.want(region == "" || region == t.s.Region || t.s.Endpoints.S3 != "", "s3_bucket", "The bucket is elsewhere",
		"%q is in %s; an import needs one in %s.", t.s.S3Bucket, region, t.s.Region)
	if len(c.problems) == 0 && err != nil {
		return nil, fmt.Errorf("cannot look at the bucket %s: %w", t.s.S3Bucket, err)
	}
	return c.problems, nil
}
