package host

import (
	"context"
	"errors"
	"time"
)

// Remote is a Host behind a connection that can be lost while the machine goes on, and taken up again: see SSH for what
// becomes of what was under way.
type Remote interface {
	Host
	// Disconnected is closed once the connection there is now is lost.
	Disconnected() <-chan struct{}
	// Reconnect connects again if the connection is lost. It tries until ctx ends.
	Reconnect(ctx context.Context) error
	// Patience is how long a lost connection is worth waiting for: so long at least are locks held.
	Patience() time.Duration
	// LockGrace is after which time at most others can have our locks.
	LockGrace() time.Duration
	// KeepLocks tells the machine that we are there, and learns which of our locks it has given up.
	KeepLocks(ctx context.Context) error
	// Held tells whether the lock file at path was still locked by us when the machine was last asked.
	Held(path string) bool
	// Reattach finds a process again that was started through a lost connection. The error of one of which nothing is
	// left wraps ErrNotFound.
	Reattach(ctx context.Context, ref ProcessRef) (*SSHProcess, error)
}

// BackAfter tells whether what failed with err on h can be tried again: because the connection was lost, and has come back
// within the Patience. Locks of the first attempt are given back then. waiting is told that the connection is waited for.
func BackAfter(ctx context.Context, h Host, err error, waiting func(message string)) bool {
	remote, ok := h.(Remote)
	if !ok || !errors.Is(err, ErrDisconnected) || remote.Patience() == 0 {
		return false
	}
	waiting("the connection to " + remote.Name() + " was lost, waiting for it")
	ctx, cancel := context.WithTimeout(ctx, remote.Patience())
	defer cancel()
	return remote.Reconnect(ctx) == nil
}
