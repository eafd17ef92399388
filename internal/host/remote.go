package host

import (
	"context"
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
	// Held tells whether the lock file at path is still locked by us.
	Held(path string) bool
	// Reattach finds a process again that was started through a lost connection. The error of one of which nothing is
	// left wraps ErrNotFound.
	Reattach(ctx context.Context, ref ProcessRef) (*SSHProcess, error)
}
