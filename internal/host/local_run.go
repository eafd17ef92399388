//go:build linux || darwin

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// termGrace is how long a process may take to end by itself after SIGTERM.
	termGrace = 5 * time.Second
	// ioGrace is how long the pipes of a process that has ended may stay open, held by a child it left behind.
	ioGrace = 5 * time.Second
	// killGrace is how long a process may take to vanish after SIGKILL; one that waits for a dead disk may never.
	killGrace = ioGrace + 5*time.Second
	// stderrTail is how much of the standard error an ExitError keeps, in bytes.
	stderrTail = 4 << 10
)

// LookPath finds a program in PATH and returns its absolute path. A name with a slash is looked at as it is.
func (*Local) LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, exec.ErrDot), errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: %w", name, ErrNotFound)
	case err != nil:
		return "", err
	}
	return filepath.Abs(path)
}

// Run runs a command to its end. A Stdin whose Read never returns delays that end, by ten seconds when ctx ends.
func (l *Local) Run(ctx context.Context, c Cmd) error {
	p, err := l.Start(ctx, c)
	if err != nil {
		return err
	}
	err = p.Wait(ctx)
	select {
	case <-p.Done():
		return err
	default:
	}
	// ctx ended first. Its error is the answer; that the process will not die is worth telling as well.
	return errors.Join(err, p.Terminate(context.WithoutCancel(ctx)))
}

// Start starts a command in a process group of its own.
func (*Local) Start(ctx context.Context, c Cmd) (Process, error) {
	if len(c.Argv) == 0 {
		return nil, errors.New("cannot run a command: it is empty")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", c.Argv[0], err)
	}
	// Not CommandContext: it would kill the leader alone, and without notice.
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.WaitDelay = ioGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &localProcess{argv: c.Argv, cmd: cmd, done: make(chan struct{})}
	if c.Stderr == nil {
		cmd.Stderr = &p.stderr
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("%s: %w", c.Argv[0], ErrNotFound)
		}
		return nil, fmt.Errorf("cannot run a command: %w", err)
	}
	go p.reap()
	return p, nil
}

// localProcess is a child of ours that leads a process group.
type localProcess struct {
	argv   []string
	cmd    *exec.Cmd
	stderr tail
	done   chan struct{}
	err    error // written before done is closed
}

func (p *localProcess) reap() {
	defer close(p.done)
	err := p.cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		p.err = &ExitError{Argv: p.argv, Status: exitStatus(exit.ProcessState), Stderr: p.stderr.String()}
	case errors.Is(err, exec.ErrWaitDelay):
		p.err = fmt.Errorf("%s: ended, but a child of it still holds its output: %w", p.argv[0], err)
	default:
		p.err = fmt.Errorf("%s: %w", p.argv[0], err)
	}
}

// exitStatus is the exit status as a shell gives it: 128 + signal for a process that a signal ended.
func exitStatus(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

func (p *localProcess) PID() int { return p.cmd.Process.Pid }

func (p *localProcess) Done() <-chan struct{} { return p.done }

func (p *localProcess) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	select {
	case <-p.done: // both at once: what became of the process tells more
		return p.err
	default:
		return fmt.Errorf("%s: %w", p.argv[0], ctx.Err())
	}
}

// Terminate ends the process and the rest of its group. The process having ended is success, whatever its exit
// status; the error says that it has not.
func (p *localProcess) Terminate(ctx context.Context) error {
	select {
	case <-p.done:
		return nil // the id may belong to somebody else by now
	default:
	}
	p.signalGroup(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-ctx.Done():
	case <-time.After(termGrace):
	}
	// Also when the leader has gone: a child of it may have ignored the signal. While one lives the group's id
	// cannot be given to another, and a group without members is no error to us.
	p.signalGroup(syscall.SIGKILL)
	select {
	case <-p.done:
		return nil
	case <-time.After(killGrace):
		return fmt.Errorf("%s: process %d does not end after SIGKILL", p.argv[0], p.PID())
	}
}

// signalGroup does not return its error: that there is nobody to signal is what we are after, and anything
// else shows in the process not ending.
func (p *localProcess) signalGroup(sig syscall.Signal) { _ = syscall.Kill(-p.PID(), sig) }

// tail is a writer that keeps the last stderrTail bytes.
type tail struct{ buf []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.buf = append(t.buf, b...)
	if n := len(t.buf) - stderrTail; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(b), nil
}

func (t *tail) String() string { return string(t.buf) }
