package build

import (
	"context"
	"fmt"
	"math"
	"time"
)

// How often the slots are tried while all are taken: builds take minutes, and a try costs a remote a process each.
const (
	slotPollMin = 100 * time.Millisecond
	slotPollMax = 5 * time.Second
)

// slot waits until fewer than MaxParallel builds run, and counts as one until release is called.
func (b *Builder) slot(ctx context.Context) (release func() error, err error) {
	if b.MaxParallel <= 0 {
		return func() error { return nil }, nil
	}
	for poll := slotPollMin; ; poll = min(2*poll, slotPollMax) {
		for n := range b.MaxParallel {
			release, err := b.Store.TrySlot(ctx, n)
			if err != nil {
				return nil, fmt.Errorf("cannot take a build slot: %w", err)
			}
			if release != nil {
				return release, nil
			}
		}
		if poll == slotPollMin {
			b.progress(ctx, fmt.Sprintf("all build slots of %s are taken (max_parallel_builds = %d): waiting for one", b.Host.Name(), b.MaxParallel))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot take a build slot: %w", context.Cause(ctx))
		case <-time.After(poll):
		}
	}
}

// FreeSlots is how many builds could begin now, as good as it can be known: slots come and go. Without MaxParallel it
// is math.MaxInt.
func (b *Builder) FreeSlots(ctx context.Context) (int, error) {
	if b.MaxParallel <= 0 {
		return math.MaxInt, nil
	}
	free := 0
	for n := range b.MaxParallel {
		release, err := b.Store.TrySlot(ctx, n)
		if err != nil {
			return 0, fmt.Errorf("cannot count the free build slots: %w", err)
		}
		if release == nil {
			continue
		}
		free++
		if err := release(); err != nil {
			return 0, fmt.Errorf("cannot count the free build slots: %w", err)
		}
	}
	return free, nil
}
