package provider

import (
	"context"
	"errors"
	"testing"
)

func TestCancelEndsWorkAndWaitsForIt(t *testing.T) {
	w := NewWork(t.Context())
	ctx, end := w.begin(t.Context())
	go func() {
		<-ctx.Done()
		end()
	}()
	w.Cancel()
	w.Wait()
	if !errors.Is(context.Cause(ctx), errStopped) {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
}

func TestWorkBegunAfterCancelEndsAtOnce(t *testing.T) {
	w := NewWork(t.Context())
	w.Cancel()
	ctx, end := w.begin(t.Context())
	<-ctx.Done()
	end()
	w.Wait()
}

func TestWaitReturnsWhenTheLastWorkEnds(t *testing.T) {
	w := NewWork(t.Context())
	w.Wait() // nothing runs
	_, endFirst := w.begin(t.Context())
	_, endSecond := w.begin(t.Context())
	endFirst()
	waited := make(chan struct{})
	go func() { w.Wait(); close(waited) }()
	select {
	case <-waited:
		t.Error("Wait returned while work was under way")
	default:
	}
	endSecond()
	<-waited
}

func TestWorkEndsWithItsOwnContext(t *testing.T) {
	w := NewWork(t.Context())
	parent, cancel := context.WithCancel(t.Context())
	ctx, end := w.begin(parent)
	defer end()
	cancel()
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), errStopped) {
		t.Error("work that its caller ended says it was stopped")
	}
}
