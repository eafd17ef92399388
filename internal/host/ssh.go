package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SSH is another machine, reached by SSH. It needs OpenSSH's server there (6.5 or later) and a POSIX shell, for Lock
// also flock(1) or Perl, and nothing of ours.
//
// # When the connection is lost
//
// A link that is silent for SSHConfig.DeadAfter is taken for dead. Then every call that is under way, and every later
// one, fails with an error that wraps ErrDisconnected, until Reconnect has succeeded. What becomes of things:
//
//   - What Start started goes on, unless it depends on streams of ours (Stdin, Stdout, Stderr). Its Process is done,
//     with ErrDisconnected; Reattach gives another.
//   - What Run ran is ended by Reconnect, since nobody knows how far it was.
//   - Locks are held for SSHConfig.LockGrace. After a Reconnect within that time they are as before; else they are
//     free for others, and Held and unlock say so. A provider that is killed gives its locks back after the same time.
//   - Open files, connections and listeners are gone. Reconnect ends the lost connection's server process over there,
//     so that ports it listened on can be listened on again.
//
// Close gives back all locks at once, and leaves what Start started alone.
type SSH struct {
	name    string
	targets []sshTarget
	dead    time.Duration
	patient time.Duration
	grace   time.Duration
	arch    Arch
	umask   fs.FileMode

	redial  chan struct{} // holds one token: who has it may connect
	closing context.Context
	close   context.CancelFunc

	mu   sync.Mutex
	conn *sshConn

	orphans orphans
	locks   sshLocks
	sshFiles
}

var _ Remote = (*SSH)(nil)

// redialMin and redialMax are the pauses between tries to connect again.
const (
	redialMin = 250 * time.Millisecond
	redialMax = 5 * time.Second
)

// DialSSH connects to a machine. ctx bounds that only; Close ends it. The error wraps ErrUnknownHostKey,
// ErrChangedHostKey or ErrSSHAuth where one of these is the cause, and says what to do about it.
func DialSSH(ctx context.Context, config SSHConfig) (*SSH, error) {
	targets, err := config.route()
	h := &SSH{name: first(config.Name, config.Host), targets: targets, dead: config.DeadAfter, patient: config.Patience, grace: config.LockGrace}
	if err != nil {
		return nil, h.failed(err)
	}
	if h.dead <= 0 {
		h.dead = defaultDeadAfter
	}
	if h.patient == 0 {
		h.patient = DefaultPatience
	}
	h.patient = max(0, h.patient)
	if h.grace <= 0 {
		// The loss is noticed after dead, and then waited for; by then the last beat may be a quarter of the grace old.
		h.grace = (h.dead+h.patient)*4/3 + killGrace
	}
	h.redial = make(chan struct{}, 1)
	h.orphans.refs = map[processRef]orphan{}
	h.locks.held = map[*sshLock]bool{}
	h.sshFiles = sshFiles{h}
	conn, err := h.dial(ctx)
	if err != nil {
		return nil, h.failed(err)
	}
	h.conn = conn
	h.closing, h.close = context.WithCancel(context.Background())
	go h.beats()
	return h, nil
}

func (h *SSH) failed(err error) error { return fmt.Errorf("cannot reach %s by SSH: %w", h.name, err) }

// Name is the remote's name.
func (h *SSH) Name() string { return h.name }

// Arch is what the machine says itself.
func (h *SSH) Arch() Arch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.arch
}

// Patience is how long a lost connection is worth waiting for.
func (h *SSH) Patience() time.Duration { return h.patient }

// LockGrace is how long others may have to wait for our locks once the connection is lost.
func (h *SSH) LockGrace() time.Duration { return h.grace }

// Disconnected is closed once the connection there is now is lost.
func (h *SSH) Disconnected() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conn.done
}

// current is the connection, or the reason that there is none. A connection is lost as soon as any call has said so.
func (h *SSH) current() (*sshConn, error) {
	h.mu.Lock()
	conn := h.conn
	h.mu.Unlock()
	if conn.lost() {
		return nil, conn.explain(io.ErrUnexpectedEOF)
	}
	return conn, nil
}

// dial connects, and learns what must be known of the machine.
func (h *SSH) dial(ctx context.Context) (*sshConn, error) {
	c, err := connect(ctx, h)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(h.probe(ctx, c), c.openFiles(ctx)); err != nil {
		c.fail(err)
		return nil, err
	}
	return c, nil
}

// Reconnect connects again after the connection was lost; when it is not, nothing happens. It tries until ctx ends or
// the machine cannot be trusted any more. Then it cleans up: see SSH.
func (h *SSH) Reconnect(ctx context.Context) error {
	select {
	case h.redial <- struct{}{}:
		defer func() { <-h.redial }()
	case <-ctx.Done():
		return h.failed(context.Cause(ctx))
	}
	if h.closing.Err() != nil {
		return h.failed(fmt.Errorf("%w: it was closed", ErrDisconnected))
	}
	if _, err := h.current(); err == nil {
		return nil
	}
	var conn *sshConn
	for pause := redialMin; conn == nil; pause = min(2*pause, redialMax) {
		var err error
		conn, err = h.dial(ctx)
		if errors.Is(err, ErrUnknownHostKey) || errors.Is(err, ErrChangedHostKey) {
			return h.failed(err)
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return h.failed(fmt.Errorf("%w; last seen: %w", context.Cause(ctx), err))
			}
		case <-pauseFor(pause, err):
		}
	}
	h.mu.Lock()
	old := h.conn
	h.conn = conn
	h.mu.Unlock()
	err := h.cleanUp(ctx, old)
	_, unheard := h.locks.beat(ctx, conn)
	return errors.Join(err, unheard)
}

// pauseFor is a pause after an error, and none after success.
func pauseFor(d time.Duration, err error) <-chan time.Time {
	if err == nil {
		d = 0
	}
	return time.After(d)
}

// cleanUp ends what the lost connection left: the server's processes, and commands of Run.
func (h *SSH) cleanUp(ctx context.Context, old *sshConn) error {
	conn, err := h.current()
	if err != nil {
		return err
	}
	old.mu.Lock()
	var args []string
	for ref := range old.servers {
		args = append(args, ref.pid, ref.born)
	}
	old.mu.Unlock()
	errs := []error{conn.run(ctx, Cmd{Argv: scriptArgv("drop.sh", args...)})}
	if errs[0] != nil {
		conn.inherit(old) // they are left to the next Reconnect
	}
	for ref, of := range h.orphans.before(conn) {
		err := conn.end(ctx, ref, 0)
		if err == nil && of.dir != "" {
			err = h.RemoveAll(of.dir)
		}
		if err == nil {
			h.orphans.remove(ref)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Close ends the connection. It may be called again.
func (h *SSH) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	var err error
	if conn, lost := h.current(); lost == nil {
		err = h.locks.releaseAll(ctx, conn)
		conn.fail(errors.New("it was closed"))
	}
	h.close()
	return err
}

// probe learns what must be known of a connection, and of the machine when it is the first.
func (h *SSH) probe(ctx context.Context, c *sshConn) error {
	facts, err := c.probe(ctx)
	if err != nil {
		return err
	}
	if facts["group"] == "" || facts["group"] != facts["pid"] {
		return errors.New("its SSH server gives commands no process group of their own; OpenSSH's does")
	}
	mask, err := strconv.ParseUint(facts["umask"], 8, 12)
	if err != nil {
		return fmt.Errorf("its umask is %q: %w", facts["umask"], err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.umask = fs.FileMode(mask) & fs.ModePerm
	h.arch = unameArch(facts["arch"])
	return nil
}

// unameArch translates what uname -m says; an architecture that no image is built for keeps that name.
func unameArch(machine string) Arch {
	switch machine {
	case "x86_64", "amd64":
		return X86_64
	case "aarch64", "arm64":
		return ARM64
	}
	return Arch(machine)
}

// probe asks the machine.
func (c *sshConn) probe(ctx context.Context) (map[string]string, error) {
	var out strings.Builder
	if err := c.run(ctx, Cmd{Argv: scriptArgv("probe.sh"), Stdout: &out}); err != nil {
		return nil, err
	}
	facts := map[string]string{}
	for line := range strings.Lines(out.String()) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		facts[key] = value
	}
	return facts, nil
}
