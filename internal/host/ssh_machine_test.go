package host_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// TestSSHLoginThatTalks has a login that says things before each command, and starts it from another shell, as
// somebody's .bashrc does.
func TestSSHLoginThatTalks(t *testing.T) {
	server := ""
	for _, name := range []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server"} {
		if _, err := os.Stat(name); err == nil {
			server = name
		}
	}
	if server == "" {
		t.Skip("no sftp-server")
	}
	login := filepath.Join(t.TempDir(), "login")
	text := "#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in *sftp-server) exec " + server + " ;; esac\n" +
		"echo welcome; echo to you >&2; printf 'on this'; printf day >&2\neval \"$SSH_ORIGINAL_COMMAND\"\n"
	if err := os.WriteFile(login, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	h := hosttest.StartSSHD(t, "ForceCommand "+login, "Subsystem sftp "+server).Connect(t)
	var out, errs bytes.Buffer
	c := host.Cmd{Argv: []string{"sh", "-c", "echo out; echo err >&2"}, Stdout: &out, Stderr: &errs}
	if err := h.Run(t.Context(), c); err != nil || out.String() != "out\n" || errs.String() != "err\n" {
		t.Errorf("got %q, %q, %v", out.String(), errs.String(), err)
	}
	p, err := h.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(bounded(t)); err != nil || out.String() != "out\nout\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	var exit *host.ExitError
	err = h.Run(t.Context(), host.Cmd{Argv: []string{"sh", "-c", "echo no luck >&2; exit 3"}})
	if !errors.As(err, &exit) || exit.Stderr != "no luck\n" {
		t.Errorf("got %v", err)
	}
}

// TestSSHServersThatWillNotDo tests that what a server lacks is said.
func TestSSHServersThatWillNotDo(t *testing.T) {
	for name, c := range map[string]struct{ config, says string }{
		"runs nothing": {"ForceCommand echo This account is not available. >&2; exit 1", "This account is not available."},
		"runs another": {"ForceCommand exit 0", "did not run it"},
		"no files":     {"Subsystem sftp /bin/false", "file"},
	} {
		t.Run(name, func(t *testing.T) {
			refuses(t, hosttest.StartSSHD(t, c.config).Client(), nil, "cannot reach test by SSH", c.says)
		})
	}
	t.Run("no forwarding", func(t *testing.T) {
		h := hosttest.StartSSHD(t, "DisableForwarding yes").Connect(t)
		if _, err := h.Dial(t.Context(), "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "prohibited") {
			t.Errorf("Dial: %v", err)
		}
		if _, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "cannot listen") {
			t.Errorf("Listen: %v", err)
		}
	})
}

func TestSSHDiskFull(t *testing.T) {
	h := hosttest.StartSSHD(t).Connect(t)
	if _, err := os.Stat("/dev/full"); err == nil {
		hosttest.DiskFull(t, h, "/dev/full")
	}
	dir := smallDisk(t)
	name := filepath.Join(dir, "f")
	f, err := h.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, io.LimitReader(zeros{}, 9<<20)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("copy: got %v, want ENOSPC", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := host.WriteFile(h, filepath.Join(dir, "g"), make([]byte, 99999), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("WriteFile: got %v, want ENOSPC", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "g*")); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// smallDisk is a file system of a few megabytes.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).Run(); err != nil {
		t.Skip("cannot mount a small file system here: ", err)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() })
	return dir
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestSSHPathsMustBeAbsolute(t *testing.T) {
	h := hosttest.StartSSHD(t).Connect(t)
	for what, err := range map[string]error{
		"RemoveAll": h.RemoveAll("x"), "RemoveAll of all": h.RemoveAll("/tmp/.."), "MkdirAll": h.MkdirAll("x", 0o700),
		"Remove": h.Remove("x"), "Rename": h.Rename("x", "/x"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func TestSSHMkdirAllErrors(t *testing.T) {
	h := hosttest.StartSSHD(t).Connect(t)
	name := write(t, filepath.Join(t.TempDir(), "f"), "")
	if err := h.MkdirAll(filepath.Join(name, "d"), 0o700); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: got %v", err)
	}
	if err := h.MkdirAll(name, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file: got %v", err)
	}
}

func TestSSHLookPath(t *testing.T) {
	h := hosttest.StartSSHD(t, "SetEnv SHLVL=9 PATH=/usr/bin:/bin").Connect(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "a program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	plain := write(t, filepath.Join(dir, "plain"), "")
	if got, err := h.LookPath(program); err != nil || got != program {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{plain, dir, "cd", "a program", ""} {
		if got, err := h.LookPath(name); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
	if got, err := h.LookPath("mkfs"); err != nil || !strings.Contains(got, "sbin/") {
		t.Logf("mkfs, an administrator's program: %q, %v", got, err)
	}
	if err := h.Run(t.Context(), host.Cmd{Argv: []string{"pim-none"}}); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("Run of nothing: %v", err)
	}
	if err := h.Run(t.Context(), host.Cmd{Argv: []string{"true"}, Dir: "/pim/none"}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("Run nowhere: %v", err)
	}
}
