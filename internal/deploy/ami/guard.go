package ami

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// stalledError is about a request during which nothing moved for too long. AWS's own clients wait for ever (coldsnap's issue
// 437): a connection can die without a sign.
type stalledError struct{ idle time.Duration }

func (e *stalledError) Error() string { return fmt.Sprintf("no byte moved for %s", e.idle) }

// Timeout makes the SDK try again.
func (*stalledError) Timeout() bool { return true }

// guard is an HTTP client that gives up a request when no byte of it or of its answer moves for too long. However long
// it takes in all is no failure.
type guard struct {
	client aws.HTTPClient
	idle   time.Duration
}

func (g *guard) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	stalled := &stalledError{g.idle}
	w := &watch{ctx: ctx, cancel: cancel, idle: g.idle, timer: time.AfterFunc(g.idle, func() { cancel(stalled) })}
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedBody{req.Body, w, func() {}}
	}
	resp, err := g.client.Do(req)
	if err != nil {
		w.stop()
		return nil, w.explain(err)
	}
	resp.Body = &watchedBody{resp.Body, w, w.stop}
	return resp, nil
}

// watch is the clock of one request; whatever moves sets it back.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain turns the context's error of a stalled request into the reason.
func (w *watch) explain(err error) error {
	var stalled *stalledError
	if errors.As(context.Cause(w.ctx), &stalled) {
		return stalled
	}
	return err
}

type watchedBody struct {
	io.ReadCloser
	watch  *watch
	closed func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 && b.watch.ctx.Err() == nil {
		b.watch.timer.Reset(b.watch.idle)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.watch.explain(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}
