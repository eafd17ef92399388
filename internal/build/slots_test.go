package build

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// twoBuilders are what two providers have that build into one store.
func twoBuilders(t *testing.T, one, other host.Host, dir string, limit int) (a, b *Builder) {
	t.Helper()
	builder := func(h host.Host) *Builder {
		return &Builder{Host: h, Store: cache.NewStore(h, filepath.Join(dir, "data"), filepath.Join(dir, "cache")), MaxParallel: limit}
	}
	return builder(one), builder(other)
}

func mustTake(t *testing.T, b *Builder) (release func() error) {
	t.Helper()
	release, err := b.slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func expectFree(t *testing.T, b *Builder, want int) {
	t.Helper()
	if free, err := b.FreeSlots(t.Context()); err != nil || free != want {
		t.Errorf("%d slots are free, %v; want %d", free, err, want)
	}
}

func TestSlots(t *testing.T) {
	slots(t, func(*testing.T) host.Host { return host.NewLocal() }, t.TempDir())
}

// Slots of a remote are counted over there.
func TestSlotsOfARemote(t *testing.T) {
	d := hosttest.StartSSHD(t)
	slots(t, func(t *testing.T) host.Host { return d.Connect(t) }, t.TempDir())
}

func slots(t *testing.T, connect func(*testing.T) host.Host, dir string) {
	a, b := twoBuilders(t, connect(t), connect(t), dir, 2)
	expectFree(t, b, 2)
	first := mustTake(t, a)
	expectFree(t, b, 1)
	second := mustTake(t, b)
	expectFree(t, a, 0)

	waits := make(chan string, 1)
	b.Progress = func(_ context.Context, m string) { waits <- m }
	taken := make(chan error, 1)
	go func() {
		release, err := b.slot(t.Context())
		if err == nil {
			err = release()
		}
		taken <- err
	}()
	if said := <-waits; !strings.Contains(said, "max_parallel_builds = 2") {
		t.Errorf("said %q", said)
	}
	select {
	case err := <-taken:
		t.Fatalf("took a third slot: %v", err)
	default:
	}
	if err := first(); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if err := second(); err != nil {
		t.Fatal(err)
	}
	expectFree(t, a, 2)
}

func TestSlotsWithoutLimit(t *testing.T) {
	a, b := twoBuilders(t, host.NewLocal(), host.NewLocal(), t.TempDir(), 0)
	mustTake(t, a)
	mustTake(t, a)
	expectFree(t, b, math.MaxInt)
}

func TestWaitForASlotEnds(t *testing.T) {
	a, b := twoBuilders(t, host.NewLocal(), host.NewLocal(), t.TempDir(), 1)
	mustTake(t, a)
	ctx, cancel := context.WithCancelCause(t.Context())
	b.Progress = func(context.Context, string) { cancel(errors.New("told to stop")) }
	if _, err := b.slot(ctx); err == nil || !strings.Contains(err.Error(), "told to stop") {
		t.Errorf("got %v", err)
	}
}

func TestSlotsOfABrokenStore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ := twoBuilders(t, host.NewLocal(), host.NewLocal(), dir, 1)
	if _, err := a.slot(t.Context()); err == nil {
		t.Error("took a slot of nothing")
	}
	if _, err := a.FreeSlots(t.Context()); err == nil {
		t.Error("counted slots of nothing")
	}
}

// TestBuildWaitsForASlot, and its time-out begins only afterwards.
func TestBuildWaitsForASlot(t *testing.T) {
	b, s := testBuild(t, map[string][]byte{"readme": []byte("x")})
	b.MaxParallel = 1
	release := mustTake(t, b)
	s.Timeouts.Build = time.Minute
	waited := false
	b.Progress = func(ctx context.Context, m string) {
		waits := strings.Contains(m, "build slots")
		if _, limited := ctx.Deadline(); limited == waits {
			t.Errorf("%s: under a time-out: %v", m, limited)
		}
		if waits {
			waited = true
			if err := release(); err != nil {
				t.Error(err)
			}
		}
	}
	fails(t, b, s, "install", "readme") // there is no installer on the ISO
	if !waited {
		t.Error("it did not wait")
	}
	expectFree(t, b, 1)
	onlyLogs(t, b, s)
}
