package preseed

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// maxPost and maxPosts bound what one post, and all of them together, can make us hold or keep, in bytes.
	maxPost  = 2 << 20
	maxPosts = 64 << 20
	// postTime bounds how long a client may take over a post's body.
	postTime = 2 * time.Minute
)

// Receive has f called with what is posted to /TOKEN/NAME for every NAME that begins with prefix, with the rest of the
// name. A post is at most 2 MiB, all of them together are 64 MiB; beyond that they are refused. It is not among the
// requests. Calls may be concurrent; the client has its answer when f returns.
func (s *Server) Receive(prefix string, f func(name string, body []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receivers = append(s.receivers, receiver{prefix, f})
}

type receiver struct {
	prefix string
	f      func(name string, body []byte)
}

// Posts is how many posts were received so far.
func (s *Server) Posts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts
}

// receive answers a post that somebody waits for; false for any other request.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) bool {
	name, ok := s.below(r)
	if r.Method != http.MethodPost || !ok {
		return false
	}
	for _, to := range s.waiting() {
		rest, ok := strings.CutPrefix(name, to.prefix)
		if !ok {
			continue
		}
		body, status := s.body(w, r)
		if status == http.StatusNoContent {
			to.f(rest, body)
		}
		w.WriteHeader(status)
		return true
	}
	return false
}

func (s *Server) waiting() []receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receivers[:len(s.receivers):len(s.receivers)]
}

// body reads a post within its bounds.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	//nolint:errcheck // where a deadline cannot be set the guest's end is one
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(postTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPost))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge
	} else if err != nil {
		return nil, http.StatusBadRequest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posted += int64(len(body)); s.posted > maxPosts {
		return nil, http.StatusRequestEntityTooLarge
	}
	s.posts++
	return body, http.StatusNoContent
}

// Redact is text without the server's token.
func (s *Server) Redact(text string) string { return strings.ReplaceAll(text, s.token, tokenMark) }
