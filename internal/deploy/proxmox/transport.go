package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxAnswer bounds how much of a refusal is read.
const maxAnswer = 64 << 10

// errIdle ends a request that made no progress.
var errIdle = errors.New("no answer and no progress for too long")

// transport gives each request up once it makes no progress, and turns every answer but success into an *apiError.
// go-proxmox alone would lose the text of some and take others for success.
type transport struct {
	next http.RoundTripper
	idle time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := time.AfterFunc(t.idle, func() { cancel(errIdle) })
	end := func() {
		watch.Stop()
		cancel(nil)
	}
	progress := func() { watch.Reset(t.idle) }
	req = req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedBody{ReadCloser: req.Body, ctx: ctx, progress: progress}
	}
	resp, err := t.next.RoundTrip(req)
	if err == nil {
		resp.Body = &watchedBody{ReadCloser: resp.Body, ctx: ctx, progress: progress, end: end}
		if err = refusal(resp); err == nil {
			return resp, nil
		}
		resp.Body.Close()
	}
	if errors.Is(context.Cause(ctx), errIdle) {
		err = errIdle
	}
	end()
	return nil, err
}

// refusal is the error that a response stands for, nil for success.
func refusal(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	// Before 8.4 the text is only in the reason phrase.
	_, reason, _ := strings.Cut(resp.Status, " ")
	refused := &apiError{Status: resp.StatusCode, Message: reason}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	var body struct {
		Message string            `json:"message"`
		Errors  map[string]string `json:"errors"`
	}
	if json.Unmarshal(data, &body) == nil {
		refused.Fields = body.Errors
		if body.Message != "" {
			refused.Message = strings.TrimSpace(body.Message)
		}
	}
	return refused
}

// watchedBody reports progress, and ends with errIdle when there was none.
type watchedBody struct {
	io.ReadCloser
	ctx      context.Context
	progress func()
	end      func() // nil for a request's body
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.progress()
	}
	if err != nil && errors.Is(context.Cause(b.ctx), errIdle) {
		err = errIdle
	}
	return n, err
}

func (b *watchedBody) Close() error {
	if b.end != nil {
		b.end()
	}
	return b.ReadCloser.Close()
}
