package host_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// TestSSHPendingCallsEndWithTheConnection cuts the connection under everything that can be under way.
func TestSSHPendingCallsEndWithTheConnection(t *testing.T) {
	losses := map[string]func(*hosttest.SSHD){"cut": (*hosttest.SSHD).Cut, "dead": (*hosttest.SSHD).Freeze}
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			s := hosttest.StartSSHD(t)
			c := s.Client()
			c.DeadAfter = 2 * time.Second
			h := dialSSH(t, c)
			pending := everythingPending(t, h)
			gone := h.Disconnected()
			lose(s)
			for what, result := range pending {
				if err := within(t, what, result); !errors.Is(err, host.ErrDisconnected) {
					t.Errorf("%s: got %v, want ErrDisconnected", what, err)
				}
			}
			within(t, "word of the loss", gone)
			later := map[string]error{"Run": h.Run(t.Context(), host.Cmd{Argv: []string{"true"}})}
			_, later["Stat"] = h.Stat("/")
			_, later["Dial"] = h.Dial(t.Context(), "tcp", "127.0.0.1:1")
			_, later["Listen"] = h.Listen(t.Context(), "tcp", "127.0.0.1:0")
			_, later["Lock"] = h.Lock(t.Context(), filepath.Join(t.TempDir(), "l"), nil)
			_, later["LookPath"] = h.LookPath("sh")
			later["RemoveAll"] = h.RemoveAll(filepath.Join(t.TempDir(), "none"))
			for what, err := range later {
				if !errors.Is(err, host.ErrDisconnected) {
					t.Errorf("%s afterwards: got %v, want ErrDisconnected", what, err)
				}
			}
		})
	}
}

// everythingPending begins calls that do not end by themselves.
func everythingPending(t *testing.T, h *host.SSH) map[string]<-chan error {
	t.Helper()
	pending := map[string]<-chan error{}
	do := func(what string, call func() error) {
		c := make(chan error, 1)
		pending[what] = c
		go func() { c <- call() }()
	}
	pending["Run"], _ = begun(t, h, "exec sleep 600")
	p, err := h.Start(t.Context(), host.Cmd{Argv: []string{"sleep", "600"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after its connection was lost
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(h.Reconnect(ctx), p.Terminate(ctx)); err != nil {
			t.Error(err)
		}
	})
	do("Wait", func() error { return p.Wait(t.Context()) })
	lock := filepath.Join(t.TempDir(), "l")
	unlock, err := host.NewLocal().Lock(t.Context(), lock, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unlock() })
	waits := make(chan bool, 1)
	do("Lock", func() error { _, err := h.Lock(t.Context(), lock, func() { waits <- true }); return err })
	within(t, "wait for the lock", waits)
	ln, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	do("Accept", func() error { _, err := ln.Accept(); return err })
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	c, err := h.Dial(t.Context(), "tcp", far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	do("Read", func() error { _, err := c.Read(make([]byte, 1)); return err })
	do("Write", func() error { _, err := io.Copy(c, rand.Reader); return err }) // nobody reads it
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := h.Run(t.Context(), host.Cmd{Argv: []string{"mkfifo", fifo}}); err != nil {
		t.Fatal(err)
	}
	keep, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keep.Close() })
	f, err := h.OpenFile(fifo, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	do("file", func() error { _, err := f.Read(make([]byte, 1)); return err })
	return pending
}

func TestSSHReconnect(t *testing.T) {
	needProc(t)
	for name, lose := range map[string]func(*hosttest.SSHD){"cut": (*hosttest.SSHD).Cut, "dead": (*hosttest.SSHD).Freeze} {
		t.Run(name, func(t *testing.T) {
			s := hosttest.StartSSHD(t)
			c := s.Client()
			c.DeadAfter = 4 * time.Second // a busy machine is no dead one
			h := dialSSH(t, c)
			result, pid := begun(t, h, "trap '' PIPE HUP TERM; while :; do sleep 0.1; done")
			ln, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			lock := filepath.Join(t.TempDir(), "l")
			unlock, err := h.Lock(t.Context(), lock, nil)
			if err != nil {
				t.Fatal(err)
			}
			lose(s)
			if err := within(t, "end of Run", result); !errors.Is(err, host.ErrDisconnected) {
				t.Fatal(err)
			}
			if !lives(pid) {
				t.Fatal("the command ended with the connection: this tests nothing")
			}
			within(t, "word of the loss", h.Disconnected())
			if err := h.Reconnect(bounded(t)); err != nil {
				t.Fatal(err)
			}
			if lives(pid) {
				t.Error("a command of Run is still there")
			}
			again, err := h.Listen(t.Context(), "tcp", ln.Addr().String())
			if err != nil {
				t.Errorf("on the port there was: %v", err)
			} else {
				_ = again.Close()
			}
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := host.NewLocal().Lock(ctx, lock, cancel); !errors.Is(err, context.Canceled) {
				t.Errorf("the lock is not held any more: %v", err)
			}
			if err := unlock(); err != nil {
				t.Error(err)
			}
			free, err := host.NewLocal().Lock(t.Context(), lock, func() { t.Error("unlock left it locked") })
			if err != nil {
				t.Fatal(err)
			}
			_ = free()
			if err := h.Reconnect(t.Context()); err != nil || s.Connections() > 2 {
				t.Errorf("when nothing is lost: %v, %d connections", err, s.Connections())
			}
		})
	}
}

func TestSSHReconnectTriesUntilItsContextEnds(t *testing.T) {
	s := hosttest.StartSSHD(t)
	h := dialSSH(t, s.Client())
	s.Silent(true)
	s.Cut()
	within(t, "word of the loss", h.Disconnected())
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := h.Reconnect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	s.Silent(false)
	results := make(chan error, 3)
	for range cap(results) {
		go func() { results <- h.Reconnect(bounded(t)) }()
	}
	for range cap(results) {
		if err := within(t, "connection", results); err != nil {
			t.Error(err)
		}
	}
	if n := s.Connections(); n > 2 {
		t.Errorf("%d connections", n)
	}
}

func TestSSHProcessOutlivesTheConnection(t *testing.T) {
	s := hosttest.StartSSHD(t)
	h := dialSSH(t, s.Client())
	dir := t.TempDir()
	begin := func(script string) *host.SSHProcess {
		p, err := h.Start(t.Context(), host.Cmd{Argv: []string{"sh", "-c", script}, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return p.(*host.SSHProcess)
	}
	waits := begin("while [ ! -e go ]; do sleep 0.05; done; echo no luck >&2; exit 5")
	ends := begin("while [ ! -e gone ]; do sleep 0.05; done; touch done")
	stays := begin("exec sleep 600")
	lost := begin("exec sleep 600")
	s.Cut()
	for _, p := range []*host.SSHProcess{waits, ends, stays, lost} {
		if err := p.Wait(bounded(t)); !errors.Is(err, host.ErrDisconnected) {
			t.Fatalf("got %v, want ErrDisconnected", err)
		}
	}
	touch(t, filepath.Join(dir, "gone"))
	eventually(t, "end of a process", func() bool { _, err := os.Stat(filepath.Join(ends.Ref().Dir, "status")); return err == nil })
	if err := lost.Terminate(t.Context()); !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("Terminate without a connection: %v", err)
	}

	other := dialSSH(t, s.Client()) // another run of the provider
	p, err := other.Reattach(t.Context(), waits.Ref())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.Canceled) || p.PID() != waits.PID() {
		t.Errorf("got %v, process %d", err, p.PID())
	}
	touch(t, filepath.Join(dir, "go"))
	var exit *host.ExitError
	if err := p.Wait(bounded(t)); !errors.As(err, &exit) || exit.Status != 5 || exit.Stderr != "no luck\n" {
		t.Errorf("got %v, want status 5 and its message", err)
	}
	if p, err = other.Reattach(t.Context(), ends.Ref()); err != nil || p.Wait(bounded(t)) != nil {
		t.Errorf("one that ended meanwhile: %v", err)
	}
	if _, err = other.Reattach(t.Context(), ends.Ref()); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("one that was waited for: %v", err)
	}
	if p, err = other.Reattach(t.Context(), stays.Ref()); err != nil {
		t.Fatal(err)
	}
	if err := p.Terminate(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Wait(t.Context()); !errors.As(err, &exit) || exit.Status != 128+15 {
		t.Errorf("got %v, want status 143", err)
	}
	if err := h.Reconnect(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Reattach(t.Context(), lost.Ref()); err == nil {
		t.Error("what was to be terminated is still there")
	}
}

func touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSSHCutInMidCopy(t *testing.T) {
	s := hosttest.StartSSHD(t)
	data := make([]byte, 16<<20)
	_, _ = rand.Read(data)
	dir := t.TempDir()
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	if err := os.WriteFile(source, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"read", "write"} {
		s.CutAfter(5 << 20)
		h := dialSSH(t, s.Client())
		s.CutAfter(0)
		if way == "read" {
			f, err := h.OpenFile(source, os.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, f); !errors.Is(err, host.ErrDisconnected) || n == 0 {
				t.Errorf("read %d, %v; want ErrDisconnected", n, err)
			}
			continue
		}
		f, err := h.OpenFile(target, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(f, strings.NewReader(string(data))); !errors.Is(err, host.ErrDisconnected) || n > 5<<20 {
			t.Errorf("wrote %d, %v; want ErrDisconnected", n, err)
		}
		got, err := os.ReadFile(target)
		if err != nil || len(got) == 0 || string(got) != string(data[:len(got)]) {
			t.Errorf("%d bytes arrived, %v: want a beginning of the file", len(got), err)
		}
		if err := f.Close(); !errors.Is(err, host.ErrDisconnected) {
			t.Errorf("Close: %v", err)
		}
	}
}

// TestSSHServesHTTP has an HTTP server behind a port of the machine: it moves deadlines into the past to interrupt
// reads, and goes on.
func TestSSHServesHTTP(t *testing.T) {
	h := hosttest.StartSSHD(t).Connect(t)
	ln, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadTimeout: 30 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(ln) })
	client := &http.Client{Transport: &http.Transport{DialContext: h.Dial}}
	for range 3 { // through one connection
		resp, err := client.Post("http://"+ln.Addr().String(), "text/plain", strings.NewReader(strings.Repeat("hello", 99999)))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) != 5*99999 {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
		_ = resp.Body.Close()
	}
	client.CloseIdleConnections()
	if err := server.Shutdown(bounded(t)); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestSSHManySessions has more sessions than one connection may have.
func TestSSHManySessions(t *testing.T) {
	s := hosttest.StartSSHD(t, "MaxSessions 3")
	h := s.Connect(t)
	dir := t.TempDir()
	var unlocks []func() error
	for _, name := range strings.Split("abcdefgh", "") {
		unlock, err := h.Lock(bounded(t), filepath.Join(dir, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		unlocks = append(unlocks, unlock)
	}
	if n := s.Connections(); n < 3 || n > 5 {
		t.Errorf("%d connections", n)
	}
	for _, unlock := range unlocks {
		if err := unlock(); err != nil {
			t.Error(err)
		}
	}
	if err := h.Run(t.Context(), host.Cmd{Argv: []string{"true"}}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "h")); errors.Is(err, fs.ErrNotExist) {
		t.Error("a lock file is gone")
	}
}
