// Package deploytest holds the conformance suite of deploy.Target, and the faults it injects.
package deploytest

import (
	"errors"
	"net/http"
	"sync"
)

// Mode is how a request fails.
type Mode string

// How a request can fail. Each happens once, to one request.
const (
	Refuse Mode = "refused" // answered with a transient error, and not carried out
	Lose   Mode = "lost"    // carried out, but the connection ends before the answer
	Hang   Mode = "hung"    // neither carried out nor answered until the caller gives up
)

// Modes lists them.
var Modes = []Mode{Refuse, Lose, Hang}

// Faults makes one request of those that go through it fail. The zero value lets all through, and counts.
type Faults struct {
	mu   sync.Mutex
	seen int
	at   int // the request to fail, counted from 1; 0 for none
	mode Mode
	call func() // called instead, at the request to fail
	log  []string
}

// Arm makes the n-th request from now on fail, counted from 1; 0 disarms.
func (f *Faults) Arm(n int, mode Mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.at, f.mode, f.call, f.log = 0, n, mode, nil, nil
}

// Call has do called when the n-th request from now on arrives, which then goes on.
func (f *Faults) Call(n int, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.at, f.mode, f.call, f.log = 0, n, "", do, nil
}

// Requests are the requests seen since Arm or Call, such as "POST /nodes/pve1/qemu".
func (f *Faults) Requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

// Next counts a request and says how it fails, "" for not at all.
func (f *Faults) Next(request string) Mode {
	f.mu.Lock()
	f.seen++
	f.log = append(f.log, request)
	hit, mode, call := f.seen == f.at, f.mode, f.call
	f.mu.Unlock()
	switch {
	case !hit:
		return ""
	case call != nil:
		call()
		return ""
	}
	return mode
}

// Handler puts the faults in front of a server. refuse writes the server's own kind of transient error.
func (f *Faults) Handler(next http.Handler, refuse http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch f.Next(r.Method + " " + r.URL.Path) {
		case Refuse:
			refuse(w, r)
		case Lose:
			next.ServeHTTP(discard{http.Header{}}, r)
			panic(http.ErrAbortHandler)
		case Hang:
			// A server notices that its client is gone only once it has read the request.
			buf := make([]byte, 64<<10)
			for {
				if _, err := r.Body.Read(buf); err != nil {
					break
				}
			}
			<-r.Context().Done()
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// discard is where the answer goes that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// ErrInjected is wrapped by the failures of a Host.
var ErrInjected = errors.New("injected failure")
