package provision

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial opens a connection as seen from the machine the guest runs on; host.Host's Dial is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Why a connection did not come about, wrapped by the errors of Connect and WaitSSH.
var (
	// ErrNoBanner: the port is open but no SSH server speaks. QEMU's user networking accepts connections long
	// before the guest does.
	ErrNoBanner = errors.New("no SSH server answers")
	// ErrHostKey: an SSH server with another host key answers, such as the one of a live installer.
	ErrHostKey = errors.New("another system answers: the SSH host key is not the expected one")
	// ErrAuth: the expected guest refuses the key.
	ErrAuth = errors.New("the guest refuses the SSH key")
)

// bannerTime is how long an SSH server may take to say its first word before the connection is tried anew,
// handshakeTime how long the rest may take; a guest under emulation needs seconds.
const (
	bannerTime    = 10 * time.Second
	handshakeTime = time.Minute
)

// peer is who we connect to, and as whom.
type peer struct {
	dial     Dial
	addr     string
	user     string
	signer   ssh.Signer
	hostKeys []ssh.PublicKey // any of these
}

// Connect opens an SSH connection to addr as user, with id's client key, to the server that has id's host key
// and no other. It is bounded by ctx, and fails early when no SSH server answers.
func Connect(ctx context.Context, dial Dial, addr string, id Identity, user string) (*Guest, error) {
	p, err := id.peer(dial, addr, user)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the guest: %w", err)
	}
	return p.connect(ctx)
}

// WaitSSH tries Connect at once and then so often until it succeeds or ctx ends. seen, if not nil, is told why
// each try failed. The error has ctx's cause and what the last try showed.
func WaitSSH(ctx context.Context, dial Dial, addr string, id Identity, user string, every time.Duration, seen func(error)) (*Guest, error) {
	p, err := id.peer(dial, addr, user)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the guest: %w", err)
	}
	return p.wait(ctx, every, seen)
}

func (id Identity) peer(dial Dial, addr, user string) (peer, error) {
	if id.keys == nil {
		return peer{}, errNoKeys
	}
	client, err := ssh.NewSignerFromSigner(id.keys().client)
	if err != nil {
		return peer{}, err
	}
	host, err := ssh.NewPublicKey(id.keys().host.Public())
	if err != nil {
		return peer{}, err
	}
	return peer{dial, addr, user, client, []ssh.PublicKey{host}}, nil
}

func (p peer) wait(ctx context.Context, every time.Duration, seen func(error)) (*Guest, error) {
	last := errors.New("nothing yet")
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		g, err := p.connect(ctx)
		if err == nil {
			return g, nil
		}
		// A try that was cut short shows nothing; a dialer may notice ctx's deadline before ctx does.
		if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			last = err
			if seen != nil {
				seen(err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot reach the guest by SSH: %w; last seen: %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

func (p peer) connect(ctx context.Context) (*Guest, error) {
	g, err := p.handshake(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the guest: %w", err)
	}
	return g, nil
}

func (p peer) handshake(ctx context.Context) (_ *Guest, err error) {
	raw, err := p.dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = raw.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	limit := time.AfterFunc(bannerTime, func() { _ = raw.Close() })
	defer limit.Stop()
	conn := &peekedConn{raw, bufio.NewReader(raw)}
	if _, err := conn.r.Peek(1); err != nil {
		if errors.Is(err, net.ErrClosed) {
			return nil, fmt.Errorf("%w within %s", ErrNoBanner, bannerTime)
		}
		return nil, fmt.Errorf("%w: the connection was closed at once", ErrNoBanner)
	}
	limit.Reset(handshakeTime)
	config, stranger := p.config()
	c, channels, requests, err := ssh.NewClientConn(conn, p.addr, config)
	if err != nil {
		return nil, p.explain(err, stranger.Load())
	}
	if !stop() || !limit.Stop() {
		return nil, errHandshake
	}
	return newGuest(ssh.NewClient(c, channels, requests), p), nil
}

var errHandshake = fmt.Errorf("the SSH handshake did not end within %s", handshakeTime)

// explain names the errors of a handshake that tell a person something.
func (p peer) explain(err error, stranger bool) error {
	text := err.Error() // x/crypto has no error values for these
	switch {
	case stranger || strings.Contains(text, "no common algorithm for host key"):
		return ErrHostKey
	case strings.Contains(text, "unable to authenticate"):
		return fmt.Errorf("%w (user %s)", ErrAuth, p.user)
	case errors.Is(err, net.ErrClosed):
		return errHandshake
	}
	return err
}

// config accepts the pinned host keys alone, and asks the server for one of their kinds. stranger tells whether
// the server had another one.
func (p peer) config() (c *ssh.ClientConfig, stranger *atomic.Bool) {
	stranger = new(atomic.Bool)
	c = &ssh.ClientConfig{
		User: p.user,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(p.signer)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			for _, k := range p.hostKeys {
				if bytes.Equal(k.Marshal(), key.Marshal()) {
					return nil
				}
			}
			stranger.Store(true)
			return ErrHostKey
		},
	}
	for _, k := range p.hostKeys {
		if k.Type() == ssh.KeyAlgoRSA {
			c.HostKeyAlgorithms = append(c.HostKeyAlgorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		c.HostKeyAlgorithms = append(c.HostKeyAlgorithms, k.Type())
	}
	return c, stranger
}

// peekedConn is a connection of which the first bytes have been looked at.
type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *peekedConn) Read(p []byte) (int, error) { return c.r.Read(p) }
