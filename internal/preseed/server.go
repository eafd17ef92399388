package preseed

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	// headerTime bounds how long a client may take over a request's head.
	headerTime = 30 * time.Second
	// maxRequests and maxPath bound what a client can make us remember.
	maxRequests = 4096
	maxPath     = 256
	// tokenMark stands for the token in what is logged.
	tokenMark = "<token>"
)

// Server gives one guest its files by HTTP, below a path nobody can guess, for as long as its installation runs.
// All methods are safe for concurrent use.
type Server struct {
	port  string
	token string
	http  http.Server
	done  chan struct{} // closed when the listener is no longer served
	err   error         // why it is not, set before done is closed

	mu        sync.Mutex
	files     map[string][]byte
	requests  []Request
	onRequest func(Request)
	receivers []receiver
	posts     int
	posted    int64 // bytes
}

// Request is one request that was answered.
type Request struct {
	Time   time.Time
	Method string
	Path   string // with "<token>" for the server's token, at most 256 bytes
	Status int
	Remote string // the client's address and port
}

func (r Request) String() string { return fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status) }

// Serve serves files by name on ln, which it closes in the end. It answers GET and HEAD of /TOKEN/NAME, and POST where
// Receive says so; everything else is not found, and recorded all the same. The token is 32 random bytes in base64url.
func Serve(ln net.Listener, files map[string][]byte) *Server {
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	token := make([]byte, 32)
	rand.Read(token)
	s := &Server{
		port:  port,
		token: base64.RawURLEncoding.EncodeToString(token),
		done:  make(chan struct{}),
		files: map[string][]byte{},
	}
	maps.Copy(s.files, files)
	s.http = http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		ErrorLog:          log.New(io.Discard, "", 0), // what a guest does to its connection is not our user's concern
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	}()
	return s
}

// BaseURL is the URL of the files as seen by someone to whom the listener's machine is host: "http://HOST:PORT/TOKEN/".
// It is a secret like the files.
func (s *Server) BaseURL(host string) string {
	return "http://" + net.JoinHostPort(host, s.port) + "/" + s.token + "/"
}

// Add serves one more file, or another content of one.
func (s *Server) Add(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = data
}

// OnRequest has f called with every request from now on; nil ends that. Calls may be concurrent.
func (s *Server) OnRequest(f func(Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRequest = f
}

// Requests are the requests so far, oldest first, at most the first 4096.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Close ends the server: at once for who waits, when they are answered for those who are being served, but no later
// than ctx. It returns why serving ended before, if it did. A second Close, and Close of nil, do nothing.
func (s *Server) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done // both close the listener, so this does not wait long
	if err = errors.Join(err, s.err); err != nil {
		return fmt.Errorf("cannot end the preseed server in order: %w", err)
	}
	return nil
}

// ServeHTTP answers one request. It is recorded first, so that whoever has the answer finds the record.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.receive(w, r) {
		return
	}
	data, ok := s.find(r)
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	s.record(Request{Time: time.Now(), Method: r.Method, Path: s.redact(r.URL.Path), Status: status, Remote: r.RemoteAddr})
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store") // the answers hold a password's hash, and a proxy may be in between
	h.Set("Content-Length", fmt.Sprint(len(data)))
	w.Write(data) //nolint:errcheck // a client that has gone is no error of ours; net/http sends no body to HEAD
}

func (s *Server) find(r *http.Request) ([]byte, bool) {
	name, ok := s.below(r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[name]
	return data, ok
}

// below is the name that a request asks for below the token; false where the token is not ours.
func (s *Server) below(r *http.Request) (string, bool) {
	token, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return name, subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) == 1
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	if len(s.requests) < maxRequests {
		s.requests = append(s.requests, r)
	}
	f := s.onRequest
	s.mu.Unlock()
	if f != nil {
		f(r)
	}
}

// redact makes a path fit for a log: without the token, on one line, and not endless.
func (s *Server) redact(path string) string {
	path = s.Redact(path)
	path = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, path)
	if len(path) > maxPath {
		path = strings.ToValidUTF8(path[:maxPath-3], "") + "…"
	}
	return path
}
