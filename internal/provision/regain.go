package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// OnLost has f called when the connection to the guest is lost. f returns nil once the machine the guest runs on is
// within reach again: then the guest is connected to anew, and what was under way goes on. An error says that there is
// no such hope, because it was not the way to the guest that was lost but the guest. Without f every loss is one of the
// guest.
func (g *Guest) OnLost(f func(context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.regain = f
}

// regainEvery is how often a guest whose machine is within reach again is tried, regainTime for how long. It runs, so
// its SSH server answers at once unless it is busy, or lets nobody in any more (see Finalize).
const (
	regainEvery = time.Second
	regainTime  = time.Minute
)

// ErrClosed is a guest that does not let us in again after the connection was lost.
var ErrClosed = errors.New("the guest cannot be reached again")

// repeat calls f with the connection, and again with another when that was lost on the way. f must do nothing twice.
func (g *Guest) repeat(ctx context.Context, f func(*ssh.Client) error) error {
	for {
		client := g.now()
		err := f(client)
		if !errors.Is(err, ErrConnectionLost) || ctx.Err() != nil {
			return err
		}
		if err := g.again(ctx, client, err); err != nil {
			return err
		}
	}
}

// again connects anew after lost was lost, unless somebody else has done so.
func (g *Guest) again(ctx context.Context, lost *ssh.Client, why error) error {
	g.mu.Lock()
	regain, client := g.regain, g.client
	g.mu.Unlock()
	if client != lost {
		return nil
	}
	if regain == nil {
		return why
	}
	if err := regain(ctx); err != nil {
		return fmt.Errorf("%w: %w", why, err)
	}
	limit, cancel := context.WithTimeoutCause(ctx, regainTime, fmt.Errorf("not within %s", regainTime))
	defer cancel()
	other, err := g.peer.wait(limit, regainEvery, nil)
	if err != nil {
		return fmt.Errorf("%w: %w: %w", why, ErrClosed, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.client.Close() // it is lost
	g.client = other.client
	return nil
}
