package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// routeError is that no machine may build an image.
type routeError struct{ err error }

func (e *routeError) Error() string { return e.err.Error() }
func (e *routeError) Unwrap() error { return e.err }

// locate finds where an image is stored, here or where it may be built, nil when nowhere; and else the machines that can
// build it, in the order they are named. Errors: *routeError; one that says of each machine what keeps it.
func (r *runtime) locate(ctx context.Context, s build.Spec, key string) (has *machine, able []*machine, err error) {
	if local := r.machines.local; local.has(ctx, s, key) {
		return local, nil, nil
	}
	route, err := r.route(s.Arch, s.Emulation)
	if err != nil {
		return nil, nil, &routeError{err}
	}
	tflog.Debug(ctx, "chose builders", map[string]any{"name": s.Name, "builders": route.Builders, "why": route.Why})
	found := r.machines.candidates(ctx, route.Builders)
	for _, c := range found {
		if c.err == nil && c.has(ctx, s, key) {
			return c.machine, nil, nil
		}
	}
	var errs []error
	for _, c := range found {
		if c.err == nil {
			c.err = c.fits(ctx, s)
		}
		switch {
		case c.err == nil:
			able = append(able, c.machine)
		case c.name == profile.Local && len(found) == 1:
			errs = append(errs, c.err)
		default:
			tflog.Warn(ctx, "cannot build on a machine", map[string]any{"builder": c.name, "error": c.err.Error()})
			errs = append(errs, fmt.Errorf("%s: %w", c.name, c.err))
		}
	}
	if len(able) == 0 {
		return nil, nil, errors.Join(errs...)
	}
	return nil, able, nil
}

// candidate is a machine, or why it cannot be used.
type candidate struct {
	name string
	*machine
	err error
}

// candidates asks all machines at once, so that one that does not answer is waited for only once.
func (ms *machines) candidates(ctx context.Context, names []string) []candidate {
	found := make([]candidate, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			m, err := ms.get(ctx, name)
			found[i] = candidate{name, m, err}
		})
	}
	asking.Wait()
	return found
}

// assign takes the machine with the most free build slots, of these the one with the most free memory, of these the
// first. Builds of this process count from now until done is called, also while they wait.
func (ms *machines) assign(ctx context.Context, able []*machine) (m *machine, done func()) {
	free, memory := make([]int, len(able)), make([]int64, len(able))
	if len(able) > 1 {
		var asking sync.WaitGroup
		for i, m := range able {
			asking.Go(func() {
				var err error
				if free[i], err = m.builder.FreeSlots(ctx); err != nil {
					tflog.Warn(ctx, "cannot count the free build slots", map[string]any{"builder": m.name, "error": err.Error()})
				}
				memory[i] = freeMemory(m.host)
			})
		}
		asking.Wait()
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	left := func(i int) int {
		if able[i].slots == 0 {
			return math.MaxInt - able[i].assigned
		}
		return min(free[i], able[i].slots-able[i].assigned)
	}
	best := 0
	for i := range able {
		if left(i) > left(best) || left(i) == left(best) && memory[i] > memory[best] {
			best = i
		}
	}
	m = able[best]
	m.assigned++
	return m, func() {
		ms.mu.Lock()
		defer ms.mu.Unlock()
		m.assigned--
	}
}

// freeMemory is what programs could take on a Linux, in KiB, 0 where nobody says (proc(5)).
func freeMemory(h host.Files) int64 {
	text, err := host.ReadFile(h, "/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemAvailable:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib
		}
	}
	return 0
}

// search looks for an image here, and only when it is not here on the remotes. Errors: those of find here, joined
// with what was wrong elsewhere.
func (r *runtime) search(ctx context.Context, remotes []string, find func(*cache.Store) (*cache.Image, error)) (*cache.Image, *machine, error) {
	local := r.machines.local
	img, err := find(local.store)
	if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, cache.ErrCorrupt) {
		return img, local, err
	}
	for _, c := range r.machines.candidates(ctx, remotes) {
		if c.err == nil {
			if img, c.err = find(c.store); c.err == nil {
				return img, c.machine, nil
			}
		}
		if !errors.Is(c.err, fs.ErrNotExist) {
			tflog.Warn(ctx, "cannot look for an image on a machine", map[string]any{"builder": c.name, "error": c.err.Error()})
			err = errors.Join(err, fmt.Errorf("%s: %w", c.name, c.err))
		}
	}
	return nil, nil, err
}
