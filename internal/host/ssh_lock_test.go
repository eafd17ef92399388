package host_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// excludes tests that who holds a lock keeps another out until it gives it back.
func excludes(t *testing.T, holder, other host.Locker) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := holder.Lock(bounded(t), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	waits, got := make(chan bool, 1), make(chan error, 1)
	go func() {
		unlock, err := other.Lock(bounded(t), path, func() { waits <- true })
		if err == nil {
			err = unlock()
		}
		got <- err
	}()
	within(t, "wait for the lock", waits)
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if err := within(t, "lock", got); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock file: %v, %v", info.Mode(), err)
	}
}

func TestSSHAndLocalLocksExcludeEachOther(t *testing.T) {
	s := hosttest.StartSSHD(t)
	a, b, local := s.Connect(t), s.Connect(t), host.NewLocal()
	excludes(t, a, local)
	excludes(t, local, a)
	excludes(t, a, b)
	excludes(t, a, a)
}

func TestSSHLockOnRemovedFile(t *testing.T) {
	h := hosttest.StartSSHD(t).Connect(t)
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := host.NewLocal().Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Lock(bounded(t), path, func() {
		if err := errors.Join(os.Remove(path), unlock()); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := host.NewLocal().Lock(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("it holds a file that is gone: %v", err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}

func TestSSHLockEndsAfterItsGrace(t *testing.T) {
	s := hosttest.StartSSHD(t)
	c := s.Client()
	c.LockGrace = 3 * time.Second // a busy machine's heartbeats come late
	h := dialSSH(t, c)
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := h.Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	// While we are there it is held for longer than that.
	ctx, cancel := context.WithTimeout(t.Context(), 3*c.LockGrace)
	defer cancel()
	if _, err := host.NewLocal().Lock(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it was not held: %v", err)
	}
	s.Cut()
	other, err := host.NewLocal().Lock(bounded(t), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Reconnect(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if err := unlock(); !errors.Is(err, host.ErrLockLost) {
		t.Errorf("got %v, want ErrLockLost", err)
	}
	if err := other(); err != nil {
		t.Error(err)
	}
}

// A lock whose holder has ended under a connection that stands, as after a night's sleep of this machine, is lost like the
// connection: nobody goes on as if he had it.
func TestSSHLockThatIsLostAlone(t *testing.T) {
	for name, learn := range map[string]func(*testing.T, *host.SSH) error{
		"by asking":        func(t *testing.T, h *host.SSH) error { return h.KeepLocks(bounded(t)) },
		"by the next beat": func(t *testing.T, h *host.SSH) error { within(t, "word of it", h.Disconnected()); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := hosttest.StartSSHD(t).Client()
			c.LockGrace = 3 * time.Second
			h := dialSSH(t, c)
			path := filepath.Join(t.TempDir(), "l")
			unlock, err := h.Lock(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.KeepLocks(bounded(t)); err != nil || !h.Held(path) {
				t.Errorf("it is not held: %v", err)
			}
			hosttest.EndHolder(t, path)
			if err := learn(t, h); err != nil {
				t.Error(err)
			}
			if err := unlock(); h.Held(path) || !errors.Is(err, host.ErrLockLost) {
				t.Errorf("it is held, or %v", err)
			}
			if err := errors.Join(h.Reconnect(bounded(t)), h.Run(t.Context(), host.Cmd{Argv: []string{"true"}})); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSSHCloseGivesLocksBack(t *testing.T) {
	s := hosttest.StartSSHD(t)
	h := dialSSH(t, s.Client())
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := h.Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Close(), h.Close()); err != nil {
		t.Error(err)
	}
	free, err := host.NewLocal().Lock(t.Context(), path, func() { t.Error("it is held after Close") })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(free(), unlock()); err != nil {
		t.Error(err)
	}
	if err := h.Reconnect(t.Context()); !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("Reconnect after Close: %v", err)
	}
}

// TestLockInPerl tests what holds locks on systems without flock(1), such as macOS.
func TestLockInPerl(t *testing.T) {
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skip("no perl")
	}
	program, err := os.ReadFile("remote/lock.pl")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := host.NewLocal().Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "perl", "-e", string(program), path, "1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "waiting" {
		t.Fatalf("it says %q", lines.Text())
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "locked" {
		t.Fatalf("it says %q", lines.Text())
	}
	waited := false
	free, err := host.NewLocal().Lock(bounded(t), path, func() { waited = true }) // it hears nothing from us
	if err != nil || !waited {
		t.Errorf("waited: %v, %v", waited, err)
	} else if err := errors.Join(free(), cmd.Wait()); err != nil {
		t.Error(err)
	}
}
