package provider

import (
	"context"
	"errors"
	"testing"
)

func TestCancelEndsWorkAndWaitsForIt(t *testing.T) {
	w := NewWork(context.Background())
	ctx, end := w.begin(context.Background())
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
	w := NewWork(context.Background())
	w.Cancel()
	ctx, end := w.begin(context.Background())
	<-ctx.Done()
	end()
	w.Wait()
}

func TestWaitReturnsWhenTheLastWorkEnds(t *testing.T) {
	w := NewWork(context.Background())
	w.Wait() // nothing runs
	_, endFirst := w.begin(context.Background())
	_, endSecond := w.begin(context.Background())
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
	w := NewWork(context.Background())
	parent, cancel := context.WithCancel(context.Background())
	ctx, end := w.begin(parent)
	defer end()
	cancel()
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), errStopped) {
		t.Error("work that its caller ended says it was stopped")
	}
}
