//go:build linux || darwin

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// How often a lock that somebody holds is tried: soon at first, since most are held for an instant, then at
// leisure, since the others are held for a whole build.
const (
	lockPollMin = 5 * time.Millisecond
	lockPollMax = 500 * time.Millisecond
)

// Lock takes an flock(2). It belongs to the open file, so it also holds between two calls in one process, and
// the kernel drops it with the process. The file is never removed: see sameFile for one that somebody else did.
func (l *Local) Lock(ctx context.Context, path string, waiting func()) (func() error, error) {
	for poll := lockPollMin; ; poll = min(2*poll, lockPollMax) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		f, err := tryLock(path)
		if err == nil {
			return sync.OnceValue(f.Close), nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(poll):
		}
	}
}

// tryLock returns the locked file, or EWOULDBLOCK when somebody else holds it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = ignoringEINTR(func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) })
	if err == nil && !sameFile(f, path) {
		err = syscall.EWOULDBLOCK // try again, on the file that is there now
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sameFile tells whether f is still what path names. A user who empties the lock directory while we wait would
// otherwise leave us with a lock on a file nobody else can ever open.
func sameFile(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}
