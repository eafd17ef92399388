package ami

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// concurrencyCode is a throttling error by another name, which the SDK does not try again by itself.
const concurrencyCode = "ConcurrentLimitExceededException"

// throttles are the error codes that mean: slower.
var throttles = retry.ThrottleErrorCode{Codes: throttleCodes()}

func throttleCodes() map[string]struct{} {
	codes := map[string]struct{}{concurrencyCode: {}}
	for c := range retry.DefaultThrottleErrorCodes {
		codes[c] = struct{}{}
	}
	return codes
}

// retryer tries throttling and transient errors again, and nothing else.
func (t *target) retryer(attempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = t.pace.MaxBackoff
		o.Backoff = retry.BackoffDelayerFunc(t.backoff)
		o.RateLimiter = ratelimit.None // a large upload meets more throttling than its bucket of tokens has
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(certificate)}, o.Retryables...)
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(cutShort),
			retry.RetryableErrorCode{Codes: map[string]struct{}{concurrencyCode: {}}})
	})
}

// backoff doubles from attempt to attempt (the first is 1) and is spread over its second half.
func (t *target) backoff(attempt int, _ error) (time.Duration, error) {
	d := t.pace.MaxBackoff
	if shift := max(attempt, 1) - 1; shift < 20 {
		d = min(t.pace.Backoff<<shift, d)
	}
	return d/2 + rand.N(d/2+1), nil //nolint:gosec // jitter
}

// snapshotRetryer is the patience with a snapshot in writing. One that was just started may be "not found", and
// throttling is borne as long as it says so.
type snapshotRetryer struct {
	aws.Retryer
	started   time.Time // of the snapshot
	settle    time.Duration
	throttled func() bool
	failed    int
}

// MaxAttempts leaves it to IsErrorRetryable.
func (*snapshotRetryer) MaxAttempts() int { return 0 }

func (r *snapshotRetryer) IsErrorRetryable(err error) bool {
	switch {
	case throttles.IsErrorThrottle(err) == aws.TrueTernary:
		return r.throttled()
	case code(err) == ebsNotFound:
		return time.Since(r.started) < r.settle
	}
	r.failed++
	return r.failed < r.Retryer.MaxAttempts() && r.Retryer.IsErrorRetryable(err)
}

// witness is a retryer that remembers if an answer got lost: whether that try was carried out, nobody knows.
type witness struct {
	aws.Retryer
	lost bool
}

func (w *witness) of(r aws.Retryer) *witness {
	w.Retryer = r
	return w
}

func (w *witness) IsErrorRetryable(err error) bool {
	w.lost = w.lost || !refused(err)
	return w.Retryer.IsErrorRetryable(err)
}

// certificate errors come again, whatever the SDK thinks of connection errors.
func certificate(err error) aws.Ternary {
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// cutShort is an answer whose connection ended in its middle.
func cutShort(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// code is the API's code of an error, "" when the API did not answer.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// refused says that AWS answered, and would answer the same again.
func refused(err error) bool {
	var resp *smithyhttp.ResponseError
	return code(err) != "" && errors.As(err, &resp) && resp.HTTPStatusCode() < 500 && throttles.IsErrorThrottle(err) != aws.TrueTernary
}

// unreachable marks an error that is no answer as deploy.ErrUnreachable.
func unreachable(err error) error {
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		return fmt.Errorf("AWS %w: %w", deploy.ErrUnreachable, err)
	}
	return err
}

// poll looks until look is done or fails, a look every Pace.Poll. When ctx ends first, the error says what was seen
// last.
func (t *target) poll(ctx context.Context, what string, look func() (done bool, seen string, err error)) error {
	for {
		done, seen, err := look()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s, last seen %s: %w", what, seen, context.Cause(ctx))
		case <-time.After(t.pace.Poll):
		}
	}
}
