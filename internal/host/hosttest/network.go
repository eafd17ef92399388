package hosttest

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func network(t *testing.T, newHost func(t *testing.T) host.Host) {
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
		ln, err := net.Listen("tcp", "127.0.0.1:0")
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
