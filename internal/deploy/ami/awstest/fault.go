package awstest

import (
	"io"
	"slices"
)

// Fault is what goes wrong with a request. See Options.Inject.
type Fault string

// What can go wrong with a request.
const (
	Throttled Fault = "throttled" // refused: too many requests
	Busy      Fault = "busy"      // refused: too much at once (ConcurrentLimitExceededException); throttled in EC2
	Broken    Fault = "broken"    // refused: an internal error, status 500
	Missing   Fault = "missing"   // EBS direct: the snapshot is not known yet
	Drop      Fault = "drop"      // the connection ends, nothing is done
	Lost      Fault = "lost"      // done, and then the connection ends
	Stall     Fault = "stall"     // some of the body is read, and then nothing happens
	Later     Fault = "later"     // accepted, but what is done in the background will fail
)

// Nth has the n-th request of an action go wrong, counted from 1.
func Nth(action string, n int, f Fault) func(string, int) Fault {
	return func(a string, i int) Fault { return when(a == action && i == n, f) }
}

// First has the first n requests of an action go wrong.
func First(action string, n int, f Fault) func(string, int) Fault {
	return func(a string, i int) Fault { return when(a == action && i <= n, f) }
}

// Every has every n-th request of an action go wrong.
func Every(action string, n int, f Fault) func(string, int) Fault {
	return func(a string, i int) Fault { return when(a == action && i%n == 0, f) }
}

// Any is the first fault that one of them has for a request.
func Any(faults ...func(string, int) Fault) func(string, int) Fault {
	return func(action string, n int) Fault {
		for _, f := range faults {
			if fault := f(action, n); fault != "" {
				return fault
			}
		}
		return ""
	}
}

func when(hit bool, f Fault) Fault {
	if hit {
		return f
	}
	return ""
}

// fault is how the service says that something went wrong.
func (c *call) fault(f Fault) *apiError {
	ebs := c.scope.service == "ebs"
	switch {
	case ebs && f == Busy:
		return &apiError{status: 400, code: "ConcurrentLimitExceededException", message: "Too many requests at once."}
	case ebs && f == Broken:
		return &apiError{status: 500, code: "InternalServerException", message: "An internal error has occurred."}
	case ebs && f == Missing:
		return noSnapshot("the snapshot")
	case ebs:
		return &apiError{
			status: 400, code: "RequestThrottledException", message: "Rate exceeded.", reason: "ACCOUNT_THROTTLED",
		}
	case f == Broken:
		return &apiError{status: 500, code: "InternalError", message: "An internal error has occurred"}
	case c.scope.service == "sts":
		return &apiError{status: 400, code: "Throttling", message: "Rate exceeded"}
	}
	return &apiError{status: 503, code: "RequestLimitExceeded", message: "Request limit exceeded."}
}

// Stats are about the requests of one action.
type Stats struct {
	Requests int
	Bytes    int64 // of the bodies, as far as they were read
	InFlight int   // most at once
	flying   int
}

// Stats are about the requests of one action so far, such as "PutSnapshotBlock".
func (s *Server) Stats(action string) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.stats[action]; st != nil {
		return *st
	}
	return Stats{}
}

// Requests are the requests so far in the order of their arrival, such as "eu-central-1 RegisterImage".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// count notes a request.
func (s *Server) count(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stats[c.action] == nil {
		s.stats[c.action] = &Stats{}
	}
	st := s.stats[c.action]
	st.Requests++
	c.n = st.Requests
	st.Bytes += int64(len(c.payload))
	s.log = append(s.log, c.scope.region+" "+c.action)
}

// enter says what goes wrong with a request, and counts it as under way until leave is called.
func (s *Server) enter(c *call) (f Fault, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats[c.action]
	st.flying++
	st.InFlight = max(st.InFlight, st.flying)
	ebs := c.scope.service == "ebs"
	if ebs {
		s.flying++
		if s.o.InFlight > 0 && s.flying > s.o.InFlight {
			err = c.fault(Throttled)
		}
	}
	return s.o.Inject(c.action, c.n), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.flying--
		if ebs {
			s.flying--
		}
	}, err
}

// countingBody counts what is read of a body.
type countingBody struct {
	io.ReadCloser
	s      *Server
	action string
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.stats[b.action].Bytes += int64(n)
	return n, err
}
