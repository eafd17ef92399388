//go:build linux || darwin

package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// holdLock makes this test binary a process that takes the lock it names, says so and holds it.
const holdLock = "PIM_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdLock); path != "" {
		_, err := host.NewLocal().Lock(context.Background(), path, nil)
		fmt.Println("locked", err)
		_, _ = io.Copy(io.Discard, os.Stdin) // until we are killed
		return
	}
	os.Exit(m.Run())
}

func TestLocal(t *testing.T) {
	hosttest.Run(t, func(*testing.T) host.Host { return host.NewLocal() })
}

func TestDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	hosttest.DiskFull(t, host.NewLocal(), "/dev/full")
}

func TestWriteFileOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := hosttest.WithSpace(host.NewLocal(), 5)
	err := host.WriteFile(h, name, []byte("too long"), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "old" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
}

func TestLockEndsWithItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holdLock+"="+path)
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("locked <nil>"))
	if _, err := io.ReadFull(stdout, said); err != nil || string(said) != "locked <nil>" {
		t.Fatalf("the holder said %q, %v", said, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waited := false
	unlock, err := host.NewLocal().Lock(ctx, path, func() {
		waited = true
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	if err != nil || !waited {
		t.Fatalf("waited %v, got %v", waited, err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestLockOnRemovedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	h := host.NewLocal()
	unlock, err := h.Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	again, err := h.Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unlock(), again()); err != nil {
		t.Error(err)
	}
}

func TestTerminateKillsAfterGrace(t *testing.T) {
	t.Parallel() // takes the whole grace period
	h := host.NewLocal()
	r, w := io.Pipe()
	p, err := h.Start(t.Context(), host.Cmd{
		Argv:   []string{"sh", "-c", `trap '' TERM; echo up; while :; do sleep 0.1; done`},
		Stdout: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := p.Terminate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var exit *host.ExitError
	if err := p.Wait(t.Context()); !errors.As(err, &exit) || exit.Status != 128+9 {
		t.Errorf("got %v, want status 137", err)
	}
}

func TestRunDoesNotWaitForGrandchildren(t *testing.T) {
	t.Parallel() // takes the whole grace period
	var out bytes.Buffer
	c := host.Cmd{Argv: []string{"sh", "-c", "sleep 20 & echo done"}, Stdout: &out}
	begun := time.Now()
	err := host.NewLocal().Run(t.Context(), c)
	if !errors.Is(err, exec.ErrWaitDelay) || out.String() != "done\n" {
		t.Errorf("got %q, %v; want the output and ErrWaitDelay", out.String(), err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestStartErrors(t *testing.T) {
	h := host.NewLocal()
	for _, name := range []string{"pim-no-such-program", "/pim/no/such/program"} {
		if _, err := h.LookPath(name); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("LookPath(%q): got %v", name, err)
		}
		if err := h.Run(t.Context(), host.Cmd{Argv: []string{name}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Run(%q): got %v", name, err)
		}
	}
	notExecutable := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.LookPath(notExecutable); err == nil || errors.Is(err, host.ErrNotFound) {
		t.Errorf("LookPath of a file that is no program: got %v", err)
	}
}

func TestExitErrorMessage(t *testing.T) {
	for want, e := range map[string]*host.ExitError{
		"qemu-img: exit status 1":          {Argv: []string{"qemu-img", "info"}, Status: 1},
		"qemu-img: exit status 1: no luck": {Argv: []string{"qemu-img"}, Status: 1, Stderr: " no luck\n"},
	} {
		if e.Error() != want {
			t.Errorf("got %q, want %q", e.Error(), want)
		}
	}
}
