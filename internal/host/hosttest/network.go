package hosttest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

type listenFunc = func(network, address string) (net.Listener, error)

func network(t *testing.T, newHost func(t *testing.T) host.Host, listen listenFunc) {
	t.Run("dial unix", func(t *testing.T) {
		// Not t.TempDir(), which is longer than a socket's path may be.
		dir, err := os.MkdirTemp("", "pim")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		socket := filepath.Join(dir, "s")
		ln, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		testEcho(t, ln, newHost(t), "unix", socket)
	})
	t.Run("dial tcp", func(t *testing.T) {
		ln, err := listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		testEcho(t, ln, newHost(t), "tcp", ln.Addr().String())
	})
	t.Run("listen", func(t *testing.T) {
		h := newHost(t)
		ln, err := h.Listen(bounded(t), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		testEcho(t, ln, h, "tcp", ln.Addr().String())
	})
	t.Run("closing ends Accept", func(t *testing.T) {
		ln, err := newHost(t).Listen(bounded(t), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		go func() { _, err := ln.Accept(); result <- err }()
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		if err := receive(t, "end of Accept", result); err == nil {
			t.Error("Accept returned a connection")
		}
	})
	t.Run("deadlines", func(t *testing.T) {
		near, far := connected(t, newHost(t), listen)
		b := make([]byte, 5)
		for range 2 { // in the future, and then in the past
			if err := near.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := near.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: got %d, %v; want a passed deadline", n, err)
			}
		}
		result := make(chan error, 1)
		if err := near.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() { _, err := near.Read(b); result <- err }()
		if err := near.SetDeadline(time.Now().Add(time.Millisecond)); err != nil { // while it waits
			t.Fatal(err)
		}
		if err := receive(t, "end of Read", result); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read under way: got %v, want a passed deadline", err)
		}
		if err := near.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(far, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(near, b); err != nil || string(b) != "hello" {
			t.Errorf("after the deadlines: got %q, %v", b, err)
		}
		if err := near.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var err error
		for buf := make([]byte, 1<<20); err == nil; {
			_, err = near.Write(buf) // until nothing more fits in between
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: got %v, want a passed deadline", err)
		}
	})
	t.Run("closing ends Read", func(t *testing.T) {
		near, _ := connected(t, newHost(t), listen)
		result := make(chan error, 1)
		go func() { _, err := near.Read(make([]byte, 1)); result <- err }()
		if err := near.Close(); err != nil {
			t.Error(err)
		}
		if err := receive(t, "end of Read", result); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	})
	t.Run("much in both directions", func(t *testing.T) {
		near, far := connected(t, newHost(t), listen)
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() {
			_, _ = io.Copy(far, io.LimitReader(far, int64(len(data))))
			_ = far.Close()
		}()
		go near.Write(data) //nolint:errcheck // shows in what comes back
		if got, err := io.ReadAll(near); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, %v; want %d and the end", len(got), err, len(data))
		}
	})
	t.Run("refused", func(t *testing.T) {
		h := newHost(t)
		missing := filepath.Join(t.TempDir(), "s")
		if c, err := h.Dial(bounded(t), "unix", missing); err == nil {
			_ = c.Close()
			t.Error("dialled a socket that is not there")
		}
		if c, err := h.Dial(ended(t), "tcp", "127.0.0.1:1"); err == nil {
			_ = c.Close()
			t.Error("dialled with a context that had ended")
		}
		for _, a := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "127.0.0.1"} {
			if ln, err := h.Listen(bounded(t), "tcp", a); err == nil {
				_ = ln.Close()
				t.Errorf("listens on %q, which is not loopback", a)
			}
		}
	})
}

// testEcho accepts one connection on ln, reached by dialling, and sends something there and back.
func testEcho(t *testing.T, ln net.Listener, d host.Dialer, network, address string) {
	t.Helper()
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	c, err := d.Dial(bounded(t), network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		b := make([]byte, 5)
		_, _ = io.ReadFull(c, b)
		got <- string(b)
	}()
	if s := receive(t, "echo", got); s != "hello" {
		t.Errorf("got %q", s)
	}
}

// connected returns a connection that the host dialled, and its other end.
func connected(t *testing.T, h host.Host, listen listenFunc) (near, far net.Conn) {
	t.Helper()
	ln, err := listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if near, err = h.Dial(bounded(t), "tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}
