package host

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// streamBuffer is how much a stream reads or writes at a time, in bytes: four of SSH's packets.
const streamBuffer = 128 << 10

// sshStream gives a channel what a net.Conn promises and a channel has not: deadlines, a Close that ends what is
// under way, and errors that tell the end of the stream from the loss of the connection. Reads and writes of the
// channel run in goroutines of their own, which may outlast the call that wanted them.
type sshStream struct {
	net.Conn // the channel
	conn     *sshConn
	closed   chan struct{}
	close    sync.Once
	in, out  half
}

// half is one direction.
type half struct {
	deadline deadline
	mu       sync.Mutex // held by the one Read or Write there is at a time
	buf      []byte
	rest     []byte // read, but not asked for yet
	busy     bool   // the channel has buf
	result   chan transfer
	err      error // the end
}

type transfer struct {
	n   int
	err error
}

func newSSHStream(conn *sshConn, channel net.Conn) *sshStream {
	s := &sshStream{Conn: channel, conn: conn, closed: make(chan struct{})}
	for _, h := range []*half{&s.in, &s.out} {
		h.result = make(chan transfer, 1)
		h.deadline.passed = make(chan struct{})
	}
	return s
}

func (s *sshStream) Read(p []byte) (int, error) {
	h := &s.in
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rest) == 0 && len(p) > 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}

// fill waits for the channel to deliver something.
func (s *sshStream) fill() error {
	h := &s.in
	if err := s.ready(h); err != nil {
		return err
	}
	if !h.busy {
		if h.err != nil {
			return h.err
		}
		if h.buf == nil {
			h.buf = make([]byte, streamBuffer)
		}
		h.busy = true
		go func() {
			n, err := s.Conn.Read(h.buf)
			h.result <- transfer{n, err}
		}()
	}
	t, err := s.await(h)
	if err != nil {
		return err
	}
	h.rest = h.buf[:t.n]
	if t.err != nil {
		h.err = s.end(t.err)
		if t.n == 0 {
			return h.err
		}
	}
	return nil
}

// Write hands p to the channel. After a deadline has passed some of p may still be written.
func (s *sshStream) Write(p []byte) (int, error) {
	h := &s.out
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		if err := s.ready(h); err != nil {
			return written, err
		}
		if h.busy { // by a Write that gave up
			t, err := s.await(h)
			if err != nil {
				return written, err
			}
			if t.err != nil {
				h.err = s.end(t.err)
			}
		}
		if h.err != nil || written == len(p) {
			return written, h.err
		}
		h.buf = append(h.buf[:0], p[written:min(len(p), written+streamBuffer)]...)
		h.busy = true
		go func() {
			n, err := s.Conn.Write(h.buf)
			h.result <- transfer{n, err}
		}()
		t, err := s.await(h)
		if err != nil {
			return written, err
		}
		written += t.n
		if t.err != nil {
			h.err = s.end(t.err)
		}
	}
}

// ready tells why nothing may begin.
func (s *sshStream) ready(h *half) error {
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
	}
	select {
	case <-h.deadline.wait():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// await waits for what the channel does.
func (s *sshStream) await(h *half) (transfer, error) {
	select {
	case t := <-h.result:
		h.busy = false
		return t, nil
	case <-s.closed:
		return transfer{}, net.ErrClosed
	case <-h.deadline.wait():
		return transfer{}, os.ErrDeadlineExceeded
	}
}

// end is the error a channel's one stands for.
func (s *sshStream) end(err error) error {
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
		return s.conn.explain(err)
	}
}

// Close closes the stream; reads and writes under way end with net.ErrClosed.
func (s *sshStream) Close() error {
	err := net.ErrClosed
	s.close.Do(func() {
		close(s.closed)
		// A channel's Close waits for what is being written, which may be for long.
		go func() { _ = s.Conn.Close() }()
		err = nil
	})
	return err
}

// CloseWrite tells the other side that nothing more comes.
func (s *sshStream) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		if err := c.CloseWrite(); err != nil && !errors.Is(err, io.EOF) {
			return s.end(err)
		}
	}
	return nil
}

func (s *sshStream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *sshStream) SetReadDeadline(t time.Time) error  { return s.setDeadline(&s.in, t) }
func (s *sshStream) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.out, t) }

func (s *sshStream) setDeadline(h *half, t time.Time) error {
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
		h.deadline.set(t)
		return nil
	}
}

// deadline is a point in time that can be moved, also while somebody waits for it.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // closed once it has
}

// wait returns the channel that is closed when the deadline passes.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

// set moves the deadline; the zero time is none. Who waits already is told of an earlier one, and of a later one too
// as long as the old one has not passed.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // its function has run, or will without our lock
	}
	d.timer = nil
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	passed := d.passed
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(passed) })
		return
	}
	close(passed)
}
