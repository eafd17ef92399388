package awstest

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := New(t, Options{})
	for name, tc := range map[string]struct {
		key, secret, token, region string
		ec2, ebs, sts              string // error codes
		status                     [3]int
	}{
		"right":      {key: AccessKey, secret: SecretKey, region: home},
		"other key":  {"AKIDOTHER", SecretKey, "", home, "AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", [3]int{401, 403, 403}},
		"secret":     {AccessKey, "other", "", home, "AuthFailure", "InvalidSignatureException", "SignatureDoesNotMatch", [3]int{401, 403, 403}},
		"token":      {AccessKey, SecretKey, "other", home, "AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", [3]int{401, 403, 403}},
		"no opt-in":  {AccessKey, SecretKey, "", "ap-east-1", "AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", [3]int{401, 403, 403}},
		"mars":       {AccessKey, SecretKey, "", "mars-1", "AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId", [3]int{401, 403, 403}},
		"opted in":   {key: AccessKey, secret: SecretKey, region: "eu-south-1"},
		"other home": {key: AccessKey, secret: SecretKey, region: abroad},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := s.Config(tc.region)
			cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
			cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: tc.key, SecretAccessKey: tc.secret, SessionToken: tc.token}, nil
			})
			_, err := ec2.NewFromConfig(cfg).DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
			wantError(t, err, tc.status[0], tc.ec2)
			_, err = ebs.NewFromConfig(cfg).StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
			wantError(t, err, tc.status[1], tc.ebs)
			_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			wantError(t, err, tc.status[2], tc.sts)
		})
	}
}

func TestUnsigned(t *testing.T) {
	t.Parallel()
	s := New(t, Options{})
	for path, want := range map[string]string{"/": "<Code>MissingAuthenticationToken</Code>", "/snapshots": `"Message"`} {
		answer := must(http.Post(s.URL+path, "text/plain", strings.NewReader("Action=DescribeImages")))
		var body bytes.Buffer
		_, err := body.ReadFrom(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusForbidden || !strings.Contains(body.String(), want) {
			t.Errorf("%s: %s, %q, %v", path, answer.Status, body.String(), err)
		}
	}
}

// A header that was changed or added after the signing, and a body that was changed, are noticed.
func TestForged(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	forge := func(change func(*smithyhttp.Request)) func(*ebs.Options) {
		return ebs.WithAPIOptions(func(stack *middleware.Stack) error {
			return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("forge", func(
				ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
			) (middleware.FinalizeOutput, middleware.Metadata, error) {
				change(in.Request.(*smithyhttp.Request))
				return next.HandleFinalize(ctx, in)
			}), middleware.After)
		})
	}
	for name, change := range map[string]func(*smithyhttp.Request){
		"header": func(r *smithyhttp.Request) { r.Header.Set("X-Amz-Checksum", "x") },
		"query":  func(r *smithyhttp.Request) { r.URL.RawQuery = "x=1" },
		"date":   func(r *smithyhttp.Request) { r.Header.Set("X-Amz-Date", "20010101T000000Z") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := a.ebs.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)}, forge(change))
			wantError(t, err, 403, "InvalidSignatureException")
		})
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	a.Deny("RegisterImage", "StartSnapshot", "AssumeRole")
	_, err := a.register("snap-0123456789", func(in *ec2.RegisterImageInput) { in.DryRun = aws.Bool(true) })
	wantError(t, err, 403, "UnauthorizedOperation")
	_, err = a.start(nil)
	wantError(t, err, 403, "AccessDeniedException")
	a.Deny()
	_, err = a.register("snap-0123456789", func(in *ec2.RegisterImageInput) { in.DryRun = aws.Bool(true) })
	wantError(t, err, 412, "DryRunOperation")
	_, err = a.start(nil)
	wantError(t, err, 0, "")
}

func TestSTS(t *testing.T) {
	t.Parallel()
	a := open(t, Options{ExternalID: "customer"})
	cfg := a.Config(home)
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	client := sts.NewFromConfig(cfg)
	who := must(client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))
	if *who.Account != Account || *who.Arn != "arn:aws:iam::"+Account+":user/pim" {
		t.Errorf("%+v", who)
	}
	assume := func(role, external, session string) (*sts.AssumeRoleOutput, error) {
		return client.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, ExternalId: &external, RoleSessionName: &session})
	}
	_, err := assume(RoleARN+"x", "customer", "pim")
	wantError(t, err, 403, "AccessDenied")
	_, err = assume(RoleARN, "other", "pim")
	wantError(t, err, 403, "AccessDenied")
	_, err = assume(RoleARN, "customer", "p m")
	wantError(t, err, 400, "ValidationError")
	role := must(assume(RoleARN, "customer", "pim")).Credentials
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: *role.AccessKeyId, SecretAccessKey: *role.SecretAccessKey, SessionToken: *role.SessionToken}, nil
	})
	who = must(sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))
	if want := "arn:aws:sts::" + Account + ":assumed-role/pim/pim"; *who.Arn != want {
		t.Errorf("%s, want %s", *who.Arn, want)
	}
	_, err = ebs.NewFromConfig(cfg).StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	wantError(t, err, 0, "")
}
