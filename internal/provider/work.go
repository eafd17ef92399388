package provider

import (
	"context"
	"errors"
	"sync"
)

// errStopped is the cause of a build's cancelled context when a signal ended it.
var errStopped = errors.New("the provider was told to stop")

// Work is what the provider has under way, so that a signal can end all of it and wait for its clean-up.
type Work struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running falls to 0; nil while nothing runs
	ends    []func() error
}

// NewWork returns work that also ends with ctx.
func NewWork(ctx context.Context) *Work {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Work{ctx: ctx, cancel: cancel}
}

// Cancel ends everything under way, and everything begun later at once.
func (w *Work) Cancel() { w.cancel(errStopped) }

// Wait returns when nothing is under way.
func (w *Work) Wait() {
	w.mu.Lock()
	idle := w.idle
	w.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// Close gives back what the work held beyond its end, such as connections. The work is over by then.
func (w *Work) Close() error {
	w.mu.Lock()
	ends := w.ends
	w.ends = nil
	w.mu.Unlock()
	var errs []error
	for _, end := range ends {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// atEnd has Close call end.
func (w *Work) atEnd(end func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, end)
}

// begin registers one piece of work under ctx. The context it returns ends with ctx or with Cancel; end must be
// called once the work and its clean-up are done.
func (w *Work) begin(ctx context.Context) (_ context.Context, end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running++
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(w.ctx, func() { cancel(context.Cause(w.ctx)) })
	return ctx, func() {
		stop()
		cancel(nil)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.running--; w.running == 0 {
			close(w.idle)
			w.idle = nil
		}
	}
}
