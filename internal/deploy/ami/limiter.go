package ami

import (
	"context"
	"sync"
)

// limiter bounds the requests under way, by what AWS bears: each success lets in more, throttling halves. It begins
// with a few and doubles per round trip until it is throttled the first time, then it grows by one per round trip.
type limiter struct {
	mu      sync.Mutex
	cond    *sync.Cond
	limit   float64
	most    float64
	active  int
	halved  int  // how often; a request started before the last time says nothing new
	careful bool // it was throttled once
}

// initialLimit is where a limiter begins.
const initialLimit = 8

func newLimiter(most int) *limiter {
	l := &limiter{limit: float64(min(most, initialLimit)), most: float64(most)}
	l.cond = sync.NewCond(&l.mu)
	return l
}

// slot is the permission for one request.
type slot struct {
	l    *limiter
	seen int
}

// acquire waits for a slot, or for ctx to end.
func (l *limiter) acquire(ctx context.Context) (*slot, error) {
	defer context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cond.Broadcast()
	})()
	l.mu.Lock()
	defer l.mu.Unlock()
	for float64(l.active)+1 > l.limit {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l.cond.Wait()
	}
	l.active++
	return &slot{l, l.halved}, nil
}

// throttled halves the limit, once for all requests that were under way together. The slot is kept for the next try.
func (s *slot) throttled() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if s.seen == s.l.halved {
		s.l.halved++
		s.l.careful = true
		s.l.limit = max(1, s.l.limit/2)
	}
	s.seen = s.l.halved
}

// release gives the slot back.
func (s *slot) release(success bool) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	if success {
		more := 1.0
		if l.careful {
			more /= l.limit
		}
		l.limit = min(l.limit+more, l.most)
	}
	l.cond.Broadcast()
}
