package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LookPath finds a program in the PATH that commands get: the login's own, and after it /usr/local/bin, the
// administrator's folders and Homebrew's.
func (h *SSH) LookPath(name string) (string, error) {
	var out strings.Builder
	err := h.Run(context.Background(), Cmd{Argv: scriptArgv("look.sh", name), Stdout: &out})
	var exit *ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	return strings.TrimSuffix(out.String(), "\n"), err
}

// Run runs a command to its end. What it leaves in the background is waited for as Local does.
func (h *SSH) Run(ctx context.Context, c Cmd) error {
	conn, err := h.current()
	if err != nil {
		return err
	}
	return conn.run(ctx, c)
}

func (c *sshConn) run(ctx context.Context, cmd Cmd) error {
	s, err := c.begin(ctx, "run.sh", cmd)
	if err != nil {
		return err
	}
	c.h.orphans.add(s.ref, orphan{conn: c})
	select {
	case <-s.done:
		err = s.err
	case <-ctx.Done():
		err = fmt.Errorf("%s: %w", cmd.Argv[0], ctx.Err())
		err = errors.Join(err, s.terminate(context.WithoutCancel(ctx)))
	}
	select {
	case <-s.done:
		if !errors.Is(s.err, ErrDisconnected) {
			c.h.orphans.remove(s.ref)
		}
	default: // it does not end
	}
	return err
}

// terminate ends the command over there, and then the session.
func (s *session) terminate(ctx context.Context) error {
	err := s.conn.terminate(ctx, s.ref, s.done)
	select {
	case <-s.done:
		return nil // also when somebody else was faster
	case <-time.After(killGrace):
		_ = s.ch.Close()
		return errors.Join(err, fmt.Errorf("%s: process %s does not end after SIGKILL", s.argv[0], s.pid))
	}
}

// terminate ends a process group: SIGTERM, and SIGKILL after a grace period or when ctx ends.
func (c *sshConn) terminate(ctx context.Context, ref processRef, done <-chan struct{}) error {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), termGrace+killGrace)
	defer cancel()
	if ctx.Err() != nil {
		return c.end(own, ref, 0)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.end(own, ref, termGrace) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case <-done: // the leader has ended; the script sees to its children
		return <-ended
	}
	return c.end(own, ref, 0)
}

// end ends a process group after a grace period. It knows no process by its number alone.
func (c *sshConn) end(ctx context.Context, ref processRef, grace time.Duration) error {
	tenths := strconv.FormatInt(int64(grace/(time.Second/10)), 10)
	s, err := c.begin(ctx, "run.sh", Cmd{Argv: scriptArgv("end.sh", ref.pid, ref.born, tenths)})
	if err != nil {
		return err
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		return fmt.Errorf("cannot end process %s: %w", ref.pid, ctx.Err())
	}
	if s.err != nil {
		return fmt.Errorf("cannot end process %s: %w", ref.pid, s.err)
	}
	return nil
}

// Start starts a command that outlives the connection. Without Stdin, Stdout and Stderr nothing ties it to us. Its
// PID is the command's own; the group's leader is a shell above it. Its standard error is kept in a temporary folder
// of the machine, which goes when the process was waited for.
func (h *SSH) Start(ctx context.Context, c Cmd) (Process, error) {
	conn, err := h.current()
	if err != nil {
		return nil, err
	}
	s, err := conn.begin(ctx, "start.sh", c)
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(s.pid)
	if err != nil {
		return nil, fmt.Errorf("the machine gives %q as a process: %w", s.pid, err)
	}
	p := &SSHProcess{h: h, ref: ProcessRef{Argv: c.Argv, PID: pid, Group: s.ref.pid, Born: s.ref.born, Dir: s.dir}, done: make(chan struct{})}
	go p.follow(s)
	return p, nil
}

// ProcessRef is a process of another machine by which a later run can find it again; it can be stored as JSON.
type ProcessRef struct {
	Argv  []string `json:"argv"`
	PID   int      `json:"pid"`
	Group string   `json:"group"` // the leader of its process group
	Born  string   `json:"born"`  // when that began, in the machine's own words: process ids are used again
	Dir   string   `json:"dir"`   // where its standard error and exit status are
}

func (r ProcessRef) leader() processRef { return processRef{r.Group, r.Born} }

// String is the reference as JSON.
func (r ProcessRef) String() string {
	b, _ := json.Marshal(r) // strings and a number
	return string(b)
}

// SSHProcess is a Process on another machine.
type SSHProcess struct {
	h    *SSH
	ref  ProcessRef
	done chan struct{}
	err  error // before done is closed
}

// Ref is what Reattach needs.
func (p *SSHProcess) Ref() ProcessRef { return p.ref }

// PID is the process's number on its machine.
func (p *SSHProcess) PID() int { return p.ref.PID }

// Done is closed once the process has ended, or nothing can be learned of it because the connection is lost.
func (p *SSHProcess) Done() <-chan struct{} { return p.done }

// Wait is as Process says. An error that wraps ErrDisconnected says nothing about the process: see SSH.Reattach.
func (p *SSHProcess) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	select {
	case <-p.done:
		return p.err
	default:
		return fmt.Errorf("%s: %w", p.ref.Argv[0], ctx.Err())
	}
}

// Terminate is as Process says. It also works on a process of which the connection was lost, after a Reconnect.
func (p *SSHProcess) Terminate(ctx context.Context) error {
	select {
	case <-p.done:
		if !errors.Is(p.err, ErrDisconnected) {
			return nil
		}
	default:
	}
	conn, err := p.h.current()
	if err == nil {
		err = conn.terminate(ctx, p.ref.leader(), p.done)
	}
	if errors.Is(err, ErrDisconnected) {
		p.h.orphans.add(p.ref.leader(), orphan{dir: p.ref.Dir}) // Reconnect ends it
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.ref.Argv[0], err)
	}
	select {
	case <-p.done:
		if errors.Is(p.err, ErrDisconnected) {
			_ = p.h.RemoveAll(p.ref.Dir) // nobody follows it any more
		}
		return nil
	case <-time.After(killGrace):
		return fmt.Errorf("%s: process %d does not end after SIGKILL", p.ref.Argv[0], p.ref.PID)
	}
}

// follow waits for a process whose session we have.
func (p *SSHProcess) follow(s *session) {
	defer close(p.done)
	<-s.done
	p.settle(s.err)
}

// settle notes how it ended, with what it said, and removes what the machine kept of it.
func (p *SSHProcess) settle(err error) {
	var exit *ExitError
	if errors.As(err, &exit) && exit.Stderr == "" {
		exit.Stderr = p.h.readTail(path.Join(p.ref.Dir, "stderr"))
	}
	if p.err = err; !errors.Is(err, ErrDisconnected) {
		_ = p.h.RemoveAll(p.ref.Dir) // a temporary folder
	}
}

// readTail returns the end of a file that may not be there.
func (h *SSH) readTail(name string) string {
	f, err := h.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > stderrTail {
		_, _ = f.Seek(-stderrTail, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, stderrTail))
	return string(b)
}

// Reattach finds a process again that was started through a connection that is lost, also by another run of the
// provider. It may have ended meanwhile: then Wait says how. The error of one of which nothing is left wraps
// ErrNotFound. ctx bounds the search only.
func (h *SSH) Reattach(ctx context.Context, ref ProcessRef) (*SSHProcess, error) {
	conn, err := h.current()
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	s, err := conn.begin(ctx, "run.sh", Cmd{Argv: scriptArgv("watch.sh", ref.Group, ref.Born, ref.Dir), Stdout: in})
	if err != nil {
		return nil, fmt.Errorf("cannot find process %d again: %w", ref.PID, err)
	}
	h.orphans.add(s.ref, orphan{conn: conn})
	go func() {
		<-s.done
		_ = in.Close()
		if !errors.Is(s.err, ErrDisconnected) {
			h.orphans.remove(s.ref)
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = s.ch.Close() })
	defer stop()
	var state string
	if _, err := fmt.Fscanln(out, &state); err != nil {
		_ = out.Close()
		<-s.done
		return nil, fmt.Errorf("cannot find process %d again: %w", ref.PID, errors.Join(ctx.Err(), s.err, conn.explain(err)))
	}
	if state == "gone" {
		return nil, fmt.Errorf("process %d: %w", ref.PID, ErrNotFound)
	}
	conn.h.orphans.remove(ref.leader())
	p := &SSHProcess{h: h, ref: ref, done: make(chan struct{})}
	go p.reattached(s, out)
	return p, nil
}

// reattached waits for a process through the script that watches it.
func (p *SSHProcess) reattached(s *session, out io.Reader) {
	defer close(p.done)
	text, _ := io.ReadAll(out)
	<-s.done
	code, err := strconv.Atoi(strings.TrimSpace(string(text)))
	switch {
	case s.err != nil:
		p.settle(s.err)
	case err != nil: // its supervisor was killed with it
		p.settle(&ExitError{Argv: p.ref.Argv, Status: 128 + 9})
	case code != 0:
		p.settle(&ExitError{Argv: p.ref.Argv, Status: code})
	default:
		p.settle(nil)
	}
}

// orphans are commands that have to end when their connection is lost.
type orphans struct {
	mu   sync.Mutex
	refs map[processRef]orphan
}

// orphan is the connection a command runs in, and the folder to remove with it.
type orphan struct {
	conn *sshConn
	dir  string
}

func (o *orphans) add(ref processRef, of orphan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refs[ref] = of
}

func (o *orphans) remove(ref processRef) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.refs, ref)
}

// before are those that do not run in c.
func (o *orphans) before(c *sshConn) map[processRef]orphan {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := map[processRef]orphan{}
	for ref, of := range o.refs {
		if of.conn != c {
			before[ref] = of
		}
	}
	return before
}
