package provision

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailLine is how much of a line a tail keeps, in bytes: a progress bar without line ends must not fill the
// memory, nor the diagnostic.
const tailLine = 1000

// tail keeps the last lines written to it, as a person would see them: without the escape of a carriage return,
// which starts the line anew. It is safe for concurrent use.
type tail struct {
	limit int

	mu   sync.Mutex
	done []string // whole lines
	open []byte   // the one still being written
	cr   bool     // a carriage return was last
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range p {
		switch {
		case c == '\n':
			t.done = append(t.done, string(t.open))
			t.done = t.done[max(0, len(t.done)-t.limit):]
			t.open, t.cr = t.open[:0], false
			continue
		case c == '\r':
			t.cr = true
			continue
		case t.cr:
			t.open, t.cr = t.open[:0], false
		}
		if len(t.open) < tailLine {
			t.open = append(t.open, c)
		}
	}
	return len(p), nil
}

// lines returns the last lines, oldest first, with an unended one among them.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := append([]string(nil), t.done...)
	if len(t.open) > 0 {
		all = append(all, string(t.open))
	}
	for i, l := range all {
		all[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return all[max(0, len(all)-t.limit):]
}

// stream passes a script's output on. A writer that fails must not stop the script, so its first error is kept
// for the end instead.
type stream struct {
	out io.Writer // nil for none
	tail
	total int64 // bytes so far
	err   error
}

func (s *stream) Write(p []byte) (int, error) {
	_, _ = s.tail.Write(p)
	s.total += int64(len(p))
	if s.out != nil && s.err == nil {
		_, s.err = s.out.Write(p)
	}
	return len(p), nil
}

// capped keeps what is written to it up to a limit. What comes after that is read all the same, because a
// command whose output nobody reads never ends.
type capped struct {
	limit int
	buf   bytes.Buffer
	over  bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.over = c.over || c.buf.Len()+len(p) > c.limit; !c.over {
		c.buf.Write(p)
	}
	return len(p), nil
}

// gate lets one write at a time through to its writers, until it is shut.
type gate struct {
	mu     sync.Mutex
	closed bool
}

// writer puts the gate before a writer; nil discards.
func (g *gate) writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return gated{g, w}
}

// shut returns when no write is under way, and none will be.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

type gated struct {
	gate *gate
	io.Writer
}

func (w gated) Write(p []byte) (int, error) {
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	if w.gate.closed {
		return len(p), nil
	}
	return w.Writer.Write(p)
}
