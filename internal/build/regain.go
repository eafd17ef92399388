package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
)

// A build on another machine outlives the loss of the connection to it: the guest goes on there, and whoever finds the
// connection lost calls regain, which waits for another one and takes up what the build has there. What is done
// without the guest's memory is simply done again (see repeatable).

// notBackError is a connection that did not come back in time, or with which the build was lost.
type notBackError struct {
	machine string
	err     error
}

func (e *notBackError) Error() string {
	return fmt.Sprintf("the connection to %s was lost: %v", e.machine, e.err)
}

func (e *notBackError) Unwrap() []error { return []error{host.ErrDisconnected, e.err} }

var (
	errNotLost   = errors.New("the connection to its machine was not")
	errNotWaited = errors.New("it is not waited for (reconnect_timeout)")
	errLockLost  = errors.New("it came back too late, another build may have begun")
)

// regaining is what a build knows of lost connections.
type regaining struct {
	mu   sync.Mutex
	gone error // why there is no hope any more
}

// link stands for the connection there is now: there is another one when this is lost. nil for this machine, which is never
// out of reach.
func (b *Builder) link() <-chan struct{} {
	if r, ok := b.Host.(host.Remote); ok {
		return r.Disconnected()
	}
	return nil
}

// regain waits until the machine can be reached again after the loss of a connection, since, and takes up what the build
// has there. Errors: errNotLost; a *notBackError after Remote.Patience, or when a lock did not last; ctx's cause. It may
// be called by several at once.
func (st *state) regain(ctx context.Context, since <-chan struct{}) error {
	remote, ok := st.Host.(host.Remote)
	if !ok {
		return errNotLost
	}
	if since == st.link() && !st.outOfReach() {
		return errNotLost
	}
	st.regaining.mu.Lock()
	defer st.regaining.mu.Unlock()
	if st.regaining.gone != nil {
		return st.regaining.gone
	}
	limit, cancel := context.WithTimeoutCause(ctx, remote.Patience(), fmt.Errorf("it did not come back within %s", remote.Patience()))
	defer cancel()
	lost := st.outOfReach()
	if lost && remote.Patience() == 0 {
		st.regaining.gone = &notBackError{remote.Name(), errNotWaited}
		return st.regaining.gone
	}
	if lost {
		st.note(ctx, "connection", "lost", "the connection to "+remote.Name()+" was lost, waiting for it")
	}
	err := st.reconnect(limit, remote)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		st.regaining.gone = &notBackError{remote.Name(), err}
		return st.regaining.gone
	case lost:
		st.note(ctx, "connection", "back", "the connection to "+remote.Name()+" is back")
	}
	return nil
}

// reconnect connects and takes up what there is, again when the connection is lost meanwhile.
func (st *state) reconnect(ctx context.Context, remote host.Remote) error {
	for {
		err := remote.Reconnect(ctx)
		if err == nil {
			err = st.takeUp(ctx)
		}
		if !errors.Is(err, host.ErrDisconnected) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// outOfReach asks the machine something: the loss of a connection may first show in what goes through it.
func (st *state) outOfReach() bool {
	_, err := st.Host.Stat(st.dir)
	return errors.Is(err, host.ErrDisconnected)
}

// takeUp has what the build has on the machine work through the connection there is now. It may be called again.
func (st *state) takeUp(ctx context.Context) error {
	if err := st.holds(ctx, st.locks...); err != nil {
		return err
	}
	if st.vm != nil {
		if err := st.vm.Reattach(ctx); err != nil {
			return err
		}
	}
	now := st.link()
	if st.server == nil || st.serving == now {
		return nil
	}
	select {
	case <-st.server.Done(): // its listener went with the connection
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ln, err := st.Host.Listen(ctx, "tcp", "127.0.0.1:"+st.server.Port())
	if err != nil {
		return fmt.Errorf("cannot listen for the installer again: %w", err)
	}
	st.server.Resume(ln)
	st.serving = now
	return nil
}

// holds asks the machine whether it holds locks of ours; errLockLost when not.
func (b *Builder) holds(ctx context.Context, keys ...string) error {
	held, err := b.Store.Held(ctx, keys...)
	if err == nil && !held {
		err = errLockLost
	}
	return err
}

// stillOurs is holds where no connection was lost: the machine also gives locks up while this one sleeps, and what is there
// afterwards may be another build's. That is a *notBackError, too.
func (b *Builder) stillOurs(ctx context.Context, keys ...string) error {
	err := b.holds(ctx, keys...)
	if errors.Is(err, errLockLost) {
		err = &notBackError{b.Host.Name(), err}
	}
	return err
}

// repeatable makes a step that is done again, from its begin, when the connection is lost on the way and comes back.
func repeatable(step func(context.Context, *state) error) func(context.Context, *state) error {
	return func(ctx context.Context, st *state) error {
		for {
			since, begun := st.link(), len(st.cleanups)
			err := step(ctx, st)
			if !lost(err) || ctx.Err() != nil {
				return err
			}
			if again := st.regain(ctx, since); errors.Is(again, errNotLost) {
				return err
			} else if again != nil {
				return errors.Join(again, err)
			}
			if err := st.undo(ctx, begun); err != nil {
				return err
			}
		}
	}
}

// lost tells whether an error may come of a lost connection.
func lost(err error) bool {
	return errors.Is(err, host.ErrDisconnected) || errors.Is(err, provision.ErrConnectionLost)
}

// undo runs all clean-ups but the first n, for a step that begins anew.
func (st *state) undo(ctx context.Context, n int) error {
	var errs []error
	for _, c := range slices.Backward(st.cleanups[n:]) {
		if err := c.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("cannot %s: %w", c.what, err))
		}
	}
	st.cleanups = st.cleanups[:n]
	st.vm, st.guest, st.server = nil, nil, nil
	return errors.Join(errs...)
}
