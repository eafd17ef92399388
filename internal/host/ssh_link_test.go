package host_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// TestSSHMachine is the whole suite with a machine that has a network and a file system of its own.
func TestSSHMachine(t *testing.T) {
	shared := t.TempDir()
	t.Setenv("TMPDIR", shared)
	m := hosttest.StartMachine(t, hosttest.MachineOptions{Share: []string{shared}})
	h := m.Connect(t)
	if _, err := h.Stat(m.Identity); err == nil {
		t.Error("the machine sees files of this one: what follows would prove less")
	}
	hosttest.RunOn(t, func(*testing.T) host.Host { return h }, m.Listen)
}

// TestSSHLinkDownForAMoment unplugs the cable for less than the connection may be silent: nobody notices.
func TestSSHLinkDownForAMoment(t *testing.T) {
	m := hosttest.StartMachine(t, hosttest.MachineOptions{})
	c := m.Client()
	c.DeadAfter, c.LockGrace = time.Minute, 20*time.Second
	h := dialSSH(t, c)
	dir := hosttest.WorkDir
	unlock, err := h.Lock(bounded(t), dir+"/lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	lines, result := counting(t, h)
	copied := make(chan error, 1)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	r, w := io.Pipe()
	go func() { copied <- upload16(h, dir+"/file", r) }()
	if _, err := w.Write(data[:5<<20]); err != nil {
		t.Fatal(err)
	}
	next(t, lines)

	m.LinkDown()
	silent := time.After(5 * time.Second)
	go func() {
		_, err := w.Write(data[5<<20:]) // into the dead link
		_ = w.CloseWithError(err)
	}()
	<-silent
	select {
	case <-h.Disconnected():
		t.Error("the connection was given up")
	case err := <-copied:
		t.Errorf("the copy ended without a link: %v", err)
	default:
	}
	m.LinkUp()

	if err := within(t, "end of the copy", copied); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(m.Here(dir + "/file")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
	before := next(t, lines)
	for range 100 { // what was said meanwhile, and then more
		if n := next(t, lines); n != before+1 {
			t.Fatalf("after line %d came %d", before, n)
		}
		before++
	}
	m.Do("! flock -n " + dir + "/lock true")
	if err := unlock(); err != nil {
		t.Error(err)
	}
	m.Do("flock -n " + dir + "/lock true")
	select {
	case err := <-result:
		t.Errorf("the command ended: %v", err)
	default:
	}
}

// counting runs a command that counts, twenty times a second.
func counting(t *testing.T, h host.Host) (lines *bufio.Scanner, result <-chan error) {
	t.Helper()
	r, w := io.Pipe()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		done <- h.Run(ctx, host.Cmd{Argv: []string{"sh", "-c", "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.05; done"}, Stdout: w})
	}()
	return bufio.NewScanner(r), done
}

// next is the next number of counting.
func next(t *testing.T, lines *bufio.Scanner) (n int) {
	t.Helper()
	if !lines.Scan() {
		t.Fatal("no more lines: ", lines.Err())
	}
	if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func upload16(h host.Files, name string, r io.Reader) error {
	f, err := h.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// TestSSHLinkDownForLonger unplugs the cable until the connection is given up.
func TestSSHLinkDownForLonger(t *testing.T) {
	m := hosttest.StartMachine(t, hosttest.MachineOptions{})
	c := m.Client()
	c.DeadAfter, c.LockGrace = 2*time.Second, 2*time.Minute
	h := dialSSH(t, c)
	lock := hosttest.WorkDir + "/lock"
	unlock, err := h.Lock(bounded(t), lock, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.Start(t.Context(), host.Cmd{Argv: []string{"sleep", "600"}})
	if err != nil {
		t.Fatal(err)
	}
	_, result := counting(t, h)

	m.LinkDown()
	within(t, "word of the loss", h.Disconnected())
	_, stat := h.Stat("/")
	for what, err := range map[string]error{
		"Run": within(t, "end of Run", result), "Wait": p.Wait(bounded(t)), "Stat": stat,
	} {
		if !errors.Is(err, host.ErrDisconnected) {
			t.Errorf("%s: got %v, want ErrDisconnected", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := h.Reconnect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Reconnect without a link: %v", err)
	}
	again := make(chan error, 1)
	go func() { again <- h.Reconnect(bounded(t)) }()
	m.LinkUp()
	if err := within(t, "connection", again); err != nil {
		t.Fatal(err)
	}
	m.Do("! flock -n " + lock + " true")
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if running := strings.Join(m.Processes(), "\n"); strings.Contains(running, "echo $n") || !strings.Contains(running, "sleep 600") {
		t.Errorf("what Run ran must have ended, and what Start started not; there is:\n%s", running)
	}
	q, err := h.Reattach(t.Context(), p.(*host.SSHProcess).Ref())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Terminate(bounded(t)); err != nil {
		t.Error(err)
	}
}

// TestSSHLeaseEndsWithoutALink has a provider lose its lock with its link, and then hear of it.
func TestSSHLeaseEndsWithoutALink(t *testing.T) {
	m := hosttest.StartMachine(t, hosttest.MachineOptions{})
	c := m.Client()
	c.DeadAfter, c.LockGrace = 2*time.Second, 2*time.Second
	h := dialSSH(t, c)
	lock := hosttest.WorkDir + "/lock"
	unlock, err := h.Lock(bounded(t), lock, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.LinkDown()
	m.Do("flock -w 60 " + lock + " true") // somebody on the machine waits for it
	within(t, "word of the loss", h.Disconnected())
	m.LinkUp()
	if err := h.Reconnect(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if err := unlock(); !errors.Is(err, host.ErrLockLost) {
		t.Errorf("got %v, want ErrLockLost", err)
	}
}

// TestSSHHostKeyChangesMeanwhile changes the key under a connection. That goes on; no new one comes about.
func TestSSHHostKeyChangesMeanwhile(t *testing.T) {
	m := hosttest.StartMachine(t, hosttest.MachineOptions{})
	c := m.Client()
	c.DeadAfter = 2 * time.Second
	h := dialSSH(t, c)
	key := m.ChangeHostKey()
	changed := ssh.FingerprintSHA256(key)
	if err := h.Run(bounded(t), host.Cmd{Argv: []string{"true"}}); err != nil {
		t.Errorf("on the connection there was: %v", err)
	}
	says := []string{changed, ssh.FingerprintSHA256(m.HostKey), m.KnownHosts + ":1", "ssh-keygen -R"}
	refuses(t, c, host.ErrChangedHostKey, says...)
	m.LinkDown()
	within(t, "word of the loss", h.Disconnected())
	m.LinkUp()
	err := h.Reconnect(bounded(t))
	if !errors.Is(err, host.ErrChangedHostKey) {
		t.Fatalf("got %v, want ErrChangedHostKey", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("got %v, which does not say %q", err, s)
		}
	}
	if _, err := h.Stat(filepath.Dir(hosttest.WorkDir)); !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("it was used although it is not trusted: %v", err)
	}
	m.Trust(key)
	if err := errors.Join(h.Reconnect(bounded(t)), h.Run(bounded(t), host.Cmd{Argv: []string{"true"}})); err != nil {
		t.Errorf("with the new key known: %v", err)
	}
}
