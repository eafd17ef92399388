package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// Dial connects to a "unix" or "tcp" address as seen from the machine. Its SSH server must allow forwarding
// (AllowTcpForwarding, AllowStreamLocalForwarding: both are its defaults).
func (h *SSH) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "unix" && network != "tcp" {
		return nil, net.UnknownNetworkError(network)
	}
	conn, err := h.current()
	if err != nil {
		return nil, err
	}
	c, err := conn.link(0).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s on %s: %w", address, h.name, conn.explain(err))
	}
	return newSSHStream(conn, c), nil
}

// Listen listens on a loopback "tcp" address of the machine.
func (h *SSH) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if err := loopbackOnly(network, address); err != nil {
		return nil, err
	}
	conn, err := h.current()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type result struct {
		ln  net.Listener
		err error
	}
	c := make(chan result, 1)
	go func() {
		ln, err := conn.link(0).Listen(network, address)
		c <- result{ln, err}
	}()
	select {
	case r := <-c:
		if r.err != nil {
			return nil, fmt.Errorf("cannot listen on %s of %s: %w", address, h.name, conn.explain(r.err))
		}
		return &sshListener{r.ln, conn}, nil
	case <-ctx.Done():
		go func() {
			if r := <-c; r.err == nil {
				_ = r.ln.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// sshListener is a port of the machine.
type sshListener struct {
	net.Listener
	conn *sshConn
}

func (l *sshListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		if errors.Is(err, io.EOF) { // what x/crypto says for both
			err = net.ErrClosed
		}
		return nil, l.conn.explain(err)
	}
	return newSSHStream(l.conn, c), nil
}

// Close gives the port back; when the connection is lost there is nothing to give back.
func (l *sshListener) Close() error {
	if err := l.Listener.Close(); err != nil && !l.conn.lost() {
		return err
	}
	return nil
}
