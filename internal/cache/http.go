package cache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

const (
	// attempts is how often in a row a request may bring nothing new before it is given up.
	attempts = 5
	// maxSums bounds a SHA256SUMS file, in bytes; those of the distributions have some ten KiB.
	maxSums = 4 << 20
)

// StatusError is an HTTP response other than success.
type StatusError struct {
	URL    string // without user, password and query
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: HTTP status %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// errStalled is the cause of a request that was given up because nothing arrived.
var errStalled = errors.New("nothing arrived for too long")

// transientError is a failure that another attempt may not meet.
type transientError struct{ err error }

func (e *transientError) Error() string { return e.err.Error() }

func (e *transientError) Unwrap() error { return e.err }

// retry calls attempt until it succeeds, fails for good, or has failed too often in a row without progress.
func (s *Store) retry(ctx context.Context, attempt func(context.Context) (progressed bool, err error)) error {
	for failed := 0; ; {
		progressed, err := attempt(ctx)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		var transient *transientError
		if err == nil || !errors.As(err, &transient) {
			return err
		}
		if progressed {
			failed = 0
		}
		if failed++; failed == attempts {
			return fmt.Errorf("gave up after %d attempts: %w", attempts, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, last: %w", ctx.Err(), err)
		case <-time.After(s.backoff << (failed - 1)):
		}
	}
}

// response is an *http.Response whose body ends with an error when nothing arrives for too long.
type response struct {
	*http.Response
	Body io.ReadCloser // shadows the Response's
}

// get makes a request and returns a response of status 200 or 206. A failure of the server or the connection is a
// *transientError, any other status a *StatusError.
func (s *Store) get(ctx context.Context, rawURL string, header http.Header) (*response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(s.idle, func() { cancel(errStalled) })
	body := &watchedBody{ctx: ctx, cancel: cancel, watch: watch, idle: s.idle, url: redact(rawURL)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		body.stop()
		return nil, errors.New("malformed URL") // the error would quote all of it
	}
	req.Header = header
	resp, err := s.client.Do(req) //nolint:bodyclose // watchedBody closes it
	if err != nil {
		body.stop()
		return nil, body.explain(err)
	}
	body.ReadCloser = resp.Body
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent {
		return &response{resp, body}, nil
	}
	err = &StatusError{URL: redact(rawURL), Status: resp.StatusCode}
	if resp.StatusCode >= 500 {
		err = &transientError{err}
	}
	return nil, errors.Join(err, body.Close())
}

// watchedBody is a response's body with a limit on silence.
type watchedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	idle   time.Duration
	url    string
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil { // else what is buffered would come first
		return 0, b.explain(err)
	}
	b.watch.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.explain(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

func (b *watchedBody) stop() {
	b.watch.Stop()
	b.cancel(nil)
}

// explain gives an error of the connection without the URL that net/http puts into it, which may hold a password
// or a signature, and marks it as transient unless it would come again.
func (b *watchedBody) explain(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	if errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	err = fmt.Errorf("%s: %w", b.url, err)
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	if errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert) {
		return err
	}
	return &transientError{err}
}

// fetchSmall returns a small text file at an http, https or file URL.
func (s *Store) fetchSmall(ctx context.Context, rawURL string) (data []byte, err error) {
	if file, local, err := (ISO{URL: rawURL}).local(); err != nil {
		return nil, fmt.Errorf("checksum_url: %w", err)
	} else if local {
		return host.ReadFile(s.h, file)
	}
	err = s.retry(ctx, func(ctx context.Context) (bool, error) {
		resp, err := s.get(ctx, rawURL, http.Header{})
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		data, err = io.ReadAll(io.LimitReader(resp.Body, maxSums+1))
		return false, err
	})
	if err != nil {
		return nil, err
	}
	if len(data) > maxSums {
		return nil, fmt.Errorf("%s: larger than a list of checksums may be (%d bytes)", redact(rawURL), maxSums)
	}
	return data, nil
}

// redact leaves out of a URL what may be secret: user, password, query and fragment.
func redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return strings.TrimSuffix(u.String(), "?")
}
