package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// ErrDisconnected is wrapped by what fails because the connection to the machine is lost.
var ErrDisconnected = errors.New("the SSH connection is lost")

const (
	// handshakeTime bounds the way from a TCP connection to a usable SSH one.
	handshakeTime = 30 * time.Second
	// connectTime bounds a try to open a TCP connection: the kernel repeats it ever more rarely, so that a new try finds
	// a link that is up again sooner.
	connectTime = 10 * time.Second
	// maxLinks bounds the connections beside each other; sshd allows ten sessions in each.
	maxLinks = 16
)

// link is one SSH connection, perhaps through jump hosts.
type link struct {
	*ssh.Client
	base net.Conn // the TCP connection under all of it: closing it ends everything, and never blocks
	wire *wire    // what carries this very connection
}

// dialLink connects to the last of targets by way of the others.
func dialLink(ctx context.Context, targets []sshTarget) (_ *link, err error) {
	l := &link{}
	defer func() {
		if err != nil && l.base != nil {
			_ = l.base.Close()
		}
	}()
	var conn net.Conn
	for _, t := range targets {
		if l.base == nil {
			conn, err = (&net.Dialer{Timeout: connectTime}).DialContext(ctx, "tcp", t.addr)
			l.base = conn
		} else {
			conn, err = l.DialContext(ctx, "tcp", t.addr)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot connect to %s: %w", t.addr, contextCause(ctx, err))
		}
		l.wire = &wire{Conn: conn}
		if l.Client, err = t.handshake(ctx, l.wire, l.base); err != nil {
			return nil, fmt.Errorf("cannot connect to %s: %w", t.addr, err)
		}
	}
	return l, nil
}

// handshake makes an SSH connection of conn; base is closed when ctx ends.
func (t sshTarget) handshake(ctx context.Context, conn, base net.Conn) (*ssh.Client, error) {
	keys, err := t.hostKeys()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTime, fmt.Errorf("no SSH connection within %s", handshakeTime))
	defer cancel()
	creds, err := t.credentials(ctx)
	if err != nil {
		return nil, err
	}
	defer creds.close()
	stop := context.AfterFunc(ctx, func() {
		_ = base.Close()
		creds.close() // an agent may be asking a person, for ever
	})
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, t.addr, &ssh.ClientConfig{
		User:              t.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(creds.signers...)},
		HostKeyCallback:   keys.check,
		HostKeyAlgorithms: keys.algorithms(),
	})
	switch {
	case err == nil:
	case keys.err != nil:
		return nil, keys.err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case strings.Contains(err.Error(), "no common algorithm for host key"): // x/crypto has no values for these
		return nil, errors.Join(keys.none(), err)
	case strings.Contains(err.Error(), "unable to authenticate"):
		return nil, creds.explain(t)
	default:
		return nil, err
	}
	if !stop() {
		_ = c.Close()
		return nil, context.Cause(ctx)
	}
	return ssh.NewClient(c, channels, requests), nil
}

// contextCause is ctx's cause once it has ended, which tells more than what failed because of it.
func contextCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// wire notes when something was last received, and whether the connection is over.
type wire struct {
	net.Conn
	heard atomic.Int64 // when, in nanoseconds since began
	over  atomic.Bool
}

// began is a point on the monotonic clock, which stands still while this machine sleeps.
var began = time.Now()

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.heard.Store(int64(time.Since(began)))
	if err != nil {
		w.over.Store(true) // before anybody learns that his channel is closed
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil {
		w.over.Store(true)
	}
	return n, err
}

func (w *wire) Close() error {
	w.over.Store(true)
	return w.Conn.Close()
}

func (w *wire) silence() time.Duration { return time.Since(began) - time.Duration(w.heard.Load()) }

// sshConn is all there is of one time of being connected: one link, and more when sessions do not fit into it. They
// live and die together.
type sshConn struct {
	h    *SSH
	sftp *sftp.Client
	done chan struct{}

	mu      sync.Mutex
	links   []*link
	servers map[processRef]bool // the machine's processes of the links
	cause   error               // why it is over
}

// connect makes the first link.
func connect(ctx context.Context, h *SSH) (*sshConn, error) {
	c := &sshConn{h: h, done: make(chan struct{}), servers: map[processRef]bool{}}
	if _, err := c.addLink(ctx, 0); err != nil {
		return nil, err
	}
	return c, nil
}

// addLink opens another link, unless somebody else did since there were have of them.
func (c *sshConn) addLink(ctx context.Context, have int) (*link, error) {
	if l := c.link(have); l != nil {
		return l, nil
	}
	if have == maxLinks {
		return nil, fmt.Errorf("%d connections are full of sessions", maxLinks)
	}
	l, err := dialLink(ctx, c.h.targets)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		_ = l.base.Close()
		return nil, c.cause
	}
	c.links = append(c.links, l)
	go func() { c.fail(l.Wait()) }()
	go c.watch(l)
	return l, nil
}

func (c *sshConn) link(i int) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < len(c.links) {
		return c.links[i]
	}
	return nil
}

// servedBy notes a process of the server.
func (c *sshConn) servedBy(ref processRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers[ref] = true
}

// inherit notes the processes of the server of an earlier connection.
func (c *sshConn) inherit(old *sshConn) {
	old.mu.Lock()
	servers := slices.Collect(maps.Keys(old.servers))
	old.mu.Unlock()
	for _, ref := range servers {
		c.servedBy(ref)
	}
}

// watch asks the other side for a sign of life when it is silent, and gives up when none comes.
func (c *sshConn) watch(l *link) {
	tick := time.NewTicker(c.h.dead / 5)
	defer tick.Stop()
	var asking atomic.Bool
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		switch silence := l.wire.silence(); {
		case silence >= c.h.dead*4/5:
			c.fail(fmt.Errorf("nothing was heard for %s", silence.Round(time.Second/10)))
			return
		case silence >= c.h.dead/5 && asking.CompareAndSwap(false, true):
			go func() {
				_, _, _ = l.SendRequest("keepalive@openssh.com", true, nil) // any answer is one
				asking.Store(false)
			}()
		}
	}
}

// fail ends the connection with all its links.
func (c *sshConn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = c.disconnected(err)
	for _, l := range c.links {
		l.wire.over.Store(true)
		_ = l.base.Close()
	}
	close(c.done)
}

func (c *sshConn) disconnected(err error) error {
	return fmt.Errorf("%s: %w: %v", c.h.name, ErrDisconnected, err) //nolint:errorlint // an EOF of ours must not look like a file's
}

// lost tells whether the connection is over, also when only its reader knows so far.
func (c *sshConn) lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		if l.wire.over.Load() {
			return true
		}
	}
	return c.cause != nil
}

// explain puts the loss of the connection in the place of the errors that come of it.
func (c *sshConn) explain(err error) error {
	if err == nil || errors.Is(err, ErrDisconnected) || !c.lost() {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	return c.disconnected(err)
}

// channel opens a session's channel. sshd counts sessions (MaxSessions, ten of them) and refuses what is too much;
// then it is opened in another link.
func (c *sshConn) channel(ctx context.Context) (ssh.Channel, <-chan *ssh.Request, error) {
	for i := 0; ; i++ {
		have := c.link(i)
		l, err := c.addLink(ctx, i)
		if err != nil {
			return nil, nil, c.explain(err)
		}
		ch, requests, err := openSession(ctx, l)
		var refused *ssh.OpenChannelError
		if err == nil || !errors.As(err, &refused) || have == nil {
			return ch, requests, c.explain(err)
		}
	}
}

// openSession is OpenChannel with a context.
func openSession(ctx context.Context, l *link) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		ch       ssh.Channel
		requests <-chan *ssh.Request
		err      error
	}
	result := make(chan opened, 1)
	go func() {
		ch, requests, err := l.OpenChannel("session", nil)
		result <- opened{ch, requests, err}
	}()
	select {
	case o := <-result:
		return o.ch, o.requests, o.err
	case <-ctx.Done():
		go func() {
			if o := <-result; o.err == nil {
				go ssh.DiscardRequests(o.requests)
				_ = o.ch.Close()
			}
		}()
		return nil, nil, ctx.Err()
	}
}
