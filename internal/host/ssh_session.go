package host

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// processRef is a process by which it can be found again: the leader of its group and when that began, in the
// machine's own words.
type processRef struct{ pid, born string }

// session is a command that runs in a session of ours.
type session struct {
	conn   *sshConn
	ch     ssh.Channel
	argv   []string
	ref    processRef
	pid    string // of the command itself
	dir    string // where a supervisor leaves what becomes of it, "" without one
	stderr tail
	done   chan struct{}
	err    error // before done is closed
}

var errNotRun = errors.New("the SSH server did not run it, but something else (ForceCommand? no login shell?)")

// begin runs a command in a session of its own and returns once it has begun. kind is run.sh or start.sh.
func (c *sshConn) begin(ctx context.Context, kind string, cmd Cmd) (*session, error) {
	if len(cmd.Argv) == 0 {
		return nil, errors.New("cannot run a command: it is empty")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", cmd.Argv[0], err)
	}
	s := &session{conn: c, argv: cmd.Argv, done: make(chan struct{})}
	word, err := s.open(ctx, kind, cmd)
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", cmd.Argv[0], c.explain(err))
	}
	select {
	case fields := <-word:
		err = s.begun(fields)
	case <-s.done:
		select {
		case fields := <-word: // it ended at once
			err = s.begun(fields)
		default:
			if err = s.err; err == nil {
				err = errNotRun
			}
		}
	case <-ctx.Done():
		go s.abandon(word) //nolint:gosec // G118: ctx has ended
		return nil, fmt.Errorf("cannot run %s: %w", cmd.Argv[0], ctx.Err())
	}
	if err != nil {
		<-s.done
		return nil, fmt.Errorf("cannot run %s: %w", cmd.Argv[0], err)
	}
	return s, nil
}

// open starts the session. What the mark's line says comes on the channel.
func (s *session) open(ctx context.Context, kind string, cmd Cmd) (<-chan []string, error) {
	ch, requests, err := s.conn.channel(ctx)
	if err != nil {
		return nil, err
	}
	s.ch = ch
	streams := ""
	if cmd.Stdin != nil {
		streams += "i"
	}
	if cmd.Stdout != nil {
		streams += "o"
	}
	if cmd.Stderr != nil {
		streams += "e"
	}
	mark := "pim-" + rand.Text()
	first := make(chan []string, 1)
	chatter := &tail{}
	out := &marked{in: bufio.NewReader(ch), mark: mark, to: cmd.Stdout, first: first}
	errs := &marked{in: bufio.NewReader(ch.Stderr()), mark: mark, to: cmd.Stderr, chatter: chatter}
	if errs.to == nil {
		errs.to = &s.stderr
	}
	copied := make(chan error, 2)
	go func() { copied <- out.copy() }()
	go func() { copied <- errs.copy() }()
	exited := make(chan int, 1)
	closed := make(chan struct{})
	go func() { status(requests, exited); close(closed) }()
	go s.reap(copied, exited, closed, chatter)
	payload := ssh.Marshal(struct{ Command string }{commandLine(kind, mark, streams, cmd)})
	if ok, err := ch.SendRequest("exec", true, payload); err != nil || !ok {
		_ = ch.Close()
		return nil, errors.Join(errors.New("the SSH server runs no command"), err)
	}
	go func() {
		if cmd.Stdin != nil {
			_, _ = io.Copy(ch, cmd.Stdin) // a command may end without having read it all
		}
		_ = ch.CloseWrite()
	}()
	return first, nil
}

// begun reads what the mark's line says.
func (s *session) begun(fields []string) error {
	switch {
	case len(fields) > 5 && fields[0] == "started":
		s.ref, s.pid = processRef{fields[1], fields[2]}, fields[3]
		if fields[5] != "-" {
			s.conn.servedBy(processRef{fields[4], fields[5]})
		}
		if len(fields) > 6 {
			s.dir = fields[6]
		}
		return nil
	case len(fields) > 0 && fields[0] == "missing":
		return fmt.Errorf("%s: %w", s.argv[0], ErrNotFound)
	case len(fields) > 0 && fields[0] == "nodir":
		return errors.New("its folder is not there")
	}
	return fmt.Errorf("the machine answers %q", fields)
}

// abandon ends a command that has begun after its caller went.
func (s *session) abandon(first <-chan []string) {
	ctx, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	select {
	case fields := <-first:
		if s.begun(fields) == nil {
			_ = s.conn.end(ctx, s.ref, 0)
		}
	case <-s.done:
	case <-ctx.Done():
	}
	_ = s.ch.Close()
}

// status reads how the command ended off the session's requests, until the session is closed.
func status(requests <-chan *ssh.Request, exited chan<- int) {
	for r := range requests {
		var exit struct{ Status uint32 }
		var signal struct {
			Name string
			Rest []byte `ssh:"rest"`
		}
		switch {
		case r.Type == "exit-status" && ssh.Unmarshal(r.Payload, &exit) == nil:
			tell(exited, int(exit.Status))
		case r.Type == "exit-signal" && ssh.Unmarshal(r.Payload, &signal) == nil:
			tell(exited, 128+signals[ssh.Signal(signal.Name)])
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

// tell sends the first word and drops any further.
func tell(c chan<- int, n int) {
	select {
	case c <- n:
	default:
	}
}

// signals are the numbers of POSIX's signals by their names in RFC 4254.
var signals = map[ssh.Signal]int{
	ssh.SIGHUP: 1, ssh.SIGINT: 2, ssh.SIGQUIT: 3, ssh.SIGILL: 4, ssh.SIGABRT: 6, ssh.SIGFPE: 8, ssh.SIGKILL: 9,
	ssh.SIGSEGV: 11, ssh.SIGPIPE: 13, ssh.SIGALRM: 14, ssh.SIGTERM: 15,
}

// reap waits for the command's end and for all that it said.
func (s *session) reap(copied <-chan error, exited <-chan int, closed <-chan struct{}, chatter *tail) {
	defer close(s.done)
	code, left := -1, 2
	var grace <-chan time.Time
	for closed != nil || left > 0 {
		select {
		case code = <-exited:
			exited, grace = nil, time.After(ioGrace)
		case <-closed:
			if closed = nil; grace == nil {
				grace = time.After(ioGrace) // our own readers may hang in what they write to
			}
		case err := <-copied:
			if left--; s.err == nil && err != nil {
				s.err = fmt.Errorf("%s: %w", s.argv[0], err)
			}
		case <-grace:
			_ = s.ch.Close()
			if s.conn.lost() { // then that is why it hangs
				s.settle(-1, chatter)
				return
			}
			s.err = fmt.Errorf("%s: ended, but a child of it still holds its output: %w", s.argv[0], exec.ErrWaitDelay)
			return
		}
	}
	_ = s.ch.Close()
	select {
	case code = <-exited: // the last of the requests, when the session was closed at once
	default:
	}
	s.settle(code, chatter)
}

// settle says what the end means.
func (s *session) settle(code int, chatter *tail) {
	switch {
	case code > 0:
		s.err = &ExitError{Argv: s.argv, Status: code, Stderr: s.stderr.String()}
		if len(chatter.buf) > 0 { // it was not our command that said so
			s.err = fmt.Errorf("%w: %s", s.err, strings.TrimSpace(chatter.String()))
		}
	case code == 0:
	case s.conn.lost():
		s.err = s.conn.explain(fmt.Errorf("%s did not end before", s.argv[0]))
	case s.err == nil:
		s.err = fmt.Errorf("%s: its session was closed and its exit status is not known", s.argv[0])
	}
}

// marked is one of a command's streams, which begins after the line with the mark.
type marked struct {
	in      *bufio.Reader
	mark    string
	to      io.Writer       // nil to discard
	first   chan<- []string // gets the words after the mark; nil where there are none
	chatter *tail           // gets what comes before; may be nil
}

func (m *marked) copy() error {
	for {
		line, err := m.in.ReadString('\n')
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), m.mark); ok && err == nil {
			if m.first != nil {
				m.first <- strings.Fields(rest)
			}
			if m.chatter != nil {
				*m.chatter = tail{}
			}
			break
		}
		if m.chatter != nil {
			_, _ = m.chatter.Write([]byte(line))
		}
		if err != nil {
			return nil //nolint:nilerr // how it ended is told elsewhere
		}
	}
	if m.to == nil {
		m.to = io.Discard
	}
	return m.pass()
}

// pass hands on the rest. What the command says after our side cannot take it any more is left out, so that the
// command is not held up.
func (m *marked) pass() error {
	buf := make([]byte, 32<<10)
	for {
		n, err := m.in.Read(buf)
		if n > 0 {
			if _, err := m.to.Write(buf[:n]); err != nil {
				_, _ = io.Copy(io.Discard, m.in)
				return err
			}
		}
		if err != nil {
			return nil //nolint:nilerr // how it ended is told elsewhere
		}
	}
}
