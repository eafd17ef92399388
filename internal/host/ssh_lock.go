package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sshLocks are the locks we hold on a machine. Each is held by a process there, which ends when it hears nothing from
// us for the grace time: so a lock outlives a short loss of the connection, but not its owner.
type sshLocks struct {
	mu   sync.Mutex
	held map[*sshLock]bool // whether it is ours, or still waited for
}

type sshLock struct {
	h    *SSH
	path string
	s    *session
	ref  processRef
}

// ErrLockLost is wrapped by the error of giving back a lock that was lost meanwhile, because the connection was lost
// for too long: somebody else may have held it.
var ErrLockLost = errors.New("the lock was lost")

// Lock takes an flock(2), as Local does: the two keep each other out. How long it outlives a lost connection is said
// at SSH.
func (h *SSH) Lock(ctx context.Context, path string, waiting func()) (func() error, error) {
	conn, err := h.current()
	if err != nil {
		return nil, err
	}
	perl, err := remote.ReadFile("remote/lock.pl")
	if err != nil {
		return nil, err
	}
	grace := strconv.Itoa(max(1, int(h.grace/time.Second)))
	out, in := io.Pipe()
	s, err := conn.begin(ctx, "run.sh", Cmd{Argv: scriptArgv("lock.sh", path, grace, string(perl)), Stdout: in})
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	l := &sshLock{h: h, path: path, s: s, ref: s.ref}
	h.orphans.add(l.ref, orphan{conn: conn}) // until it is ours
	h.locks.set(l, false)
	go func() {
		<-s.done
		_ = in.Close()
	}()
	if err := l.take(ctx, out, waiting); err != nil {
		_ = out.Close()
		h.locks.drop(l)
		if !errors.Is(err, ErrDisconnected) {
			h.orphans.remove(l.ref)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	h.locks.set(l, true)
	h.orphans.remove(l.ref)
	return sync.OnceValue(l.unlock), nil
}

// take waits until the process says that it has the lock.
func (l *sshLock) take(ctx context.Context, out io.Reader, waiting func()) error {
	s, lines := l.s, make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-s.done:
				return
			}
			if scan.Text() == "locked" {
				return // it says nothing more
			}
		}
	}()
	for {
		select {
		case line, ok := <-lines:
			switch {
			case !ok:
				<-s.done
				if s.err == nil {
					return errors.New("its holder ended")
				}
				return s.err
			case line == "locked":
				return nil
			case waiting != nil:
				waiting()
				waiting = nil
			}
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.terminate(context.WithoutCancel(ctx)))
		}
	}
}

// unlock ends the process that holds the lock.
func (l *sshLock) unlock() error {
	ctx, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	if lost := !l.h.locks.drop(l) || l.ended(); lost {
		if l.h.closing.Err() != nil {
			return nil // Close did it
		}
		return fmt.Errorf("cannot unlock %s: %w: its holder on %s has ended", l.path, ErrLockLost, l.h.name)
	}
	conn, err := l.h.current()
	if err == nil {
		err = conn.end(ctx, l.ref, 0)
	}
	if errors.Is(err, ErrDisconnected) {
		l.h.orphans.add(l.ref, orphan{}) // Reconnect ends it; else it ends by itself
	}
	if err != nil {
		return fmt.Errorf("cannot unlock %s: %w", l.path, err)
	}
	return nil
}

// ended tells whether the holder is known to have ended.
func (l *sshLock) ended() bool {
	select {
	case <-l.s.done:
		return !errors.Is(l.s.err, ErrDisconnected)
	default:
		return false
	}
}

// set notes a lock that is ours, or waited for.
func (s *sshLocks) set(l *sshLock, ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[l] = ours
}

// drop forgets a lock, and tells whether it was ours.
func (s *sshLocks) drop(l *sshLock) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ours := s.held[l]
	delete(s.held, l)
	return ours
}

// Held tells whether a lock of ours was still held when the machine was last asked, as Reconnect and KeepLocks do.
func (h *SSH) Held(path string) bool {
	h.locks.mu.Lock()
	defer h.locks.mu.Unlock()
	for l, ours := range h.locks.held {
		if ours && l.path == path && !l.ended() {
			return true
		}
	}
	return false
}

func (s *sshLocks) all() []*sshLock {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*sshLock
	for l := range s.held {
		all = append(all, l)
	}
	return all
}

// beats keeps the locks alive until Close.
func (h *SSH) beats() {
	tick := time.NewTicker(h.grace / 4)
	defer tick.Stop()
	for {
		select {
		case <-h.closing.Done():
			return
		case <-tick.C:
		}
		select {
		case h.redial <- struct{}{}:
			h.beat()
			<-h.redial
		default: // Reconnect sees to them
		}
	}
}

// beat keeps the locks alive. One that is lost ends the connection, too: whoever works under it must not go on.
func (h *SSH) beat() {
	conn, err := h.current()
	if err != nil {
		return
	}
	if lost, _ := h.locks.beat(h.closing, conn); lost { // what failed, the next one may do better
		conn.fail(ErrLockLost)
	}
}

// KeepLocks tells the holders of all locks that we are there, and learns which of them have ended.
func (h *SSH) KeepLocks(ctx context.Context) error {
	conn, err := h.current()
	if err != nil {
		return err
	}
	_, err = h.locks.beat(ctx, conn)
	return err
}

// beat tells the holders of all locks that we are there, and drops those that have ended: lost says that one was ours.
// They count their own time, which goes on while this machine sleeps.
func (s *sshLocks) beat(ctx context.Context, conn *sshConn) (lost bool, err error) {
	locks := s.all()
	if len(locks) == 0 {
		return false, nil
	}
	var args []string
	for _, l := range locks {
		args = append(args, l.ref.pid, l.ref.born)
	}
	var gone strings.Builder
	if err := conn.run(ctx, Cmd{Argv: scriptArgv("beat.sh", args...), Stdout: &gone}); err != nil {
		return false, err
	}
	for line := range strings.Lines(gone.String()) {
		for _, l := range locks {
			if strings.TrimSpace(line) == l.ref.pid+" "+l.ref.born {
				lost = s.drop(l) || lost
			}
		}
	}
	return lost, nil
}

// releaseAll gives back all locks.
func (s *sshLocks) releaseAll(ctx context.Context, conn *sshConn) error {
	var errs []error
	for _, l := range s.all() {
		s.drop(l)
		errs = append(errs, conn.end(ctx, l.ref, 0))
	}
	return errors.Join(errs...)
}
