package ami

import (
	"context"
	"errors"
	"testing"
)

// take acquires n slots, all of which must be free.
func take(t *testing.T, l *limiter, n int) []*slot {
	t.Helper()
	var slots []*slot
	for range n {
		s, err := l.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, s)
	}
	return slots
}

// full tells if there is no free slot.
func full(t *testing.T, l *limiter) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := l.acquire(ctx)
	if err == nil {
		l.active-- // as if it had never been
		return false
	}
	if !errors.Is(err, context.Canceled) || s != nil {
		t.Fatalf("acquired %v: %v", s, err)
	}
	return true
}

func TestLimiterGrows(t *testing.T) {
	t.Parallel()
	l := newLimiter(20)
	slots := take(t, l, initialLimit)
	if !full(t, l) {
		t.Errorf("it lets in more than %d at first", initialLimit)
	}
	for _, s := range slots {
		s.release(true)
	}
	if l.limit != 2*initialLimit {
		t.Errorf("after one round trip the limit is %v", l.limit)
	}
	for range 10 {
		take(t, l, 1)[0].release(true)
	}
	if l.limit != 20 {
		t.Errorf("it grows to %v, more than 20", l.limit)
	}
	if l := newLimiter(3); l.limit != 3 {
		t.Errorf("of 3 at most it begins with %v", l.limit)
	}
}

func TestLimiterHalvesOncePerRoundTrip(t *testing.T) {
	t.Parallel()
	l := newLimiter(64)
	slots := take(t, l, 8)
	for _, s := range slots {
		s.throttled()
	}
	if l.limit != 4 {
		t.Fatalf("eight throttled requests that began together leave %v", l.limit)
	}
	slots[0].throttled() // its second try
	if l.limit != 2 {
		t.Errorf("another try that is throttled leaves %v", l.limit)
	}
	for range 5 {
		slots[1].throttled()
	}
	if l.limit != 1 {
		t.Errorf("the limit is %v, not 1", l.limit)
	}
	for _, s := range slots {
		s.release(false)
	}
	if l.limit != 1 {
		t.Errorf("failures let in more: %v", l.limit)
	}
	take(t, l, 1)[0].release(true)
	for range 2 {
		take(t, l, 1)[0].release(true)
	}
	if l.limit < 2.5 || l.limit > 3.5 {
		t.Errorf("after a throttling and two round trips the limit is %v, not about 3", l.limit)
	}
}

func TestLimiterWakesWaiting(t *testing.T) {
	t.Parallel()
	l := newLimiter(1)
	held := take(t, l, 1)[0]
	got := make(chan error, 1)
	go func() {
		_, err := l.acquire(t.Context())
		got <- err
	}()
	held.release(true)
	if err := <-got; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := l.acquire(ctx)
		got <- err
	}()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ends with %v", err)
	}
}
