package ami

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Options are what a target takes beside its settings.
type Options struct {
	Pace deploy.Pace // the zero value is deploy.DefaultPace
	// Settle is how long AWS may go on denying what was just made; 0 for two minutes.
	Settle time.Duration
}

// settle is how long a new snapshot or AMI may be "not found"; coldsnap measured up to two minutes (its issue 43).
const settle = 2 * time.Minute

// dialTimeout bounds the wait for a connection: without a route there is no answer at all.
const dialTimeout = 10 * time.Second

type target struct {
	s      Settings
	pace   deploy.Pace
	settle time.Duration
	cfg    aws.Config
	base   aws.CredentialsProvider // what was found, before a role is assumed
	ebs    *ebs.Client
	s3     *s3.Client
	sts    *sts.Client
}

// New is the target of complete settings. It reads the SDK's configuration files and sends nothing. A profile that does
// not exist is a *deploy.FieldError.
func New(ctx context.Context, s Settings, o Options) (deploy.Target, error) {
	s.defaults()
	if o.Settle == 0 {
		o.Settle = settle
	}
	t := &target{s: s, pace: o.Pace.OrDefault(), settle: o.Settle}
	if err := t.configure(ctx); err != nil {
		return nil, err
	}
	t.ebs = ebs.NewFromConfig(t.cfg, func(o *ebs.Options) { o.BaseEndpoint = endpoint(o.BaseEndpoint, s.Endpoints.EBS) })
	t.sts = t.stsClient(t.cfg)
	t.s3 = s3.NewFromConfig(t.cfg, func(o *s3.Options) {
		o.BaseEndpoint = endpoint(o.BaseEndpoint, s.Endpoints.S3)
		o.UsePathStyle = s.Endpoints.S3 != ""
	})
	return t, nil
}

// configure loads the SDK's configuration: the default chain of credentials, with our patience.
func (t *target) configure(ctx context.Context) error {
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(tr *http.Transport) { tr.MaxIdleConnsPerHost, tr.MaxIdleConns = t.s.Concurrency, 0 }).
		WithReadTimeout(t.pace.Idle)
	load := []func(*config.LoadOptions) error{
		config.WithRegion(t.s.Region),
		config.WithHTTPClient(client),
		config.WithRetryer(func() aws.Retryer { return t.retryer(t.pace.Attempts) }),
		// Outside of EC2 nobody answers there, and a plan must not wait for it: a fast client, and no second try.
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) {
			o.Client = imds.New(imds.Options{Retryer: aws.NopRetryer{}})
		}),
	}
	if t.s.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(t.s.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		err = fmt.Errorf("cannot load the AWS configuration: %w", err)
		if t.s.Profile != "" {
			err = &deploy.FieldError{Field: "profile", Err: err}
		}
		return err
	}
	// The configuration may have given the client certificates. Ours watches each request, which is more exact.
	if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		cfg.HTTPClient = c.WithReadTimeout(0)
	}
	cfg.HTTPClient = &guard{client: cfg.HTTPClient, idle: t.pace.Idle}
	t.base = cfg.Credentials
	if role := t.s.AssumeRole; role.RoleARN != "" {
		provider := stscreds.NewAssumeRoleProvider(t.stsClient(cfg), role.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = role.SessionName
			if role.ExternalID != "" {
				o.ExternalID = aws.String(role.ExternalID)
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(provider)
	}
	t.cfg = cfg
	return nil
}

func (t *target) stsClient(cfg aws.Config) *sts.Client {
	return sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = endpoint(o.BaseEndpoint, t.s.Endpoints.STS) })
}

// ec2 is a client for a region.
func (t *target) ec2(region string) *ec2.Client {
	return ec2.NewFromConfig(t.cfg, func(o *ec2.Options) {
		o.Region = region
		o.BaseEndpoint = endpoint(o.BaseEndpoint, t.s.Endpoints.EC2)
	})
}

// endpoint is the setting's, or the one that the SDK's configuration has.
func endpoint(configured *string, setting string) *string {
	if setting == "" {
		return configured
	}
	return aws.String(setting)
}
