package provision_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/provision/provisiontest"
)

// regains connects to a guest whose every connection ends after so many bytes of output, and counts how often it was
// connected to again.
func regains(t *testing.T, after int) (*provisiontest.Server, *provision.Guest, *atomic.Int32) {
	t.Helper()
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	s.SetFaults(provisiontest.Faults{CutAfter: after})
	g, err := provision.Connect(t.Context(), s.Dial, s.Addr, id, "root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	var n atomic.Int32
	g.OnLost(func(context.Context) error { n.Add(1); return nil })
	return s, g, &n
}

func TestRunGoesOnAfterLostConnections(t *testing.T) {
	s, g, n := regains(t, 5000)
	var out bytes.Buffer
	body := "seq 1 3000; sleep 0.3; seq 3001 6000; exit 7"
	err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte(body), Timeout: time.Minute}, &out)
	var failed *provision.ScriptError
	if !errors.As(err, &failed) || failed.Status != 7 || strings.Join(failed.Tail[18:], " ") != "5999 6000" {
		t.Errorf("got error %v, want the script's status", err)
	}
	want, _ := g.Output(t.Context(), "seq 1 900") // a beginning that fits into one connection
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6000 || lines[5999] != "6000" || !strings.HasPrefix(out.String(), string(want)) || n.Load() < 4 {
		t.Errorf("%d lines after %d losses", len(lines), n.Load())
	}
	if l := leftovers(t, s); len(l) > 0 {
		t.Errorf("left in the guest: %v", l)
	}
}

// TestRunRunsOnce loses the connection as often as it can at the script's begin.
func TestRunRunsOnce(t *testing.T) {
	s, g, n := regains(t, 0)
	out := &until{text: "one", f: s.Cut}
	body := "echo one; echo x >>\"$PIM_ROOT/times\"; sleep 0.5; echo two"
	if err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte(body)}, out); err != nil {
		t.Fatal(err)
	}
	times, err := os.ReadFile(filepath.Join(s.Root, "times"))
	if err != nil || string(times) != "x\n" || out.seen.String() != "one\ntwo\n" || n.Load() != 1 {
		t.Errorf("ran %q times, said %q, %d losses, %v", times, out.seen.String(), n.Load(), err)
	}
}

func TestRunWaitsForAllThatHoldsItsOutput(t *testing.T) {
	_, g := connect(t)
	var out bytes.Buffer
	if err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("{ sleep 1; echo late; } & echo first")}, &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "first\nlate\n" {
		t.Errorf("got %q", out.String())
	}
}

// TestRunLosesARestartedGuest has a guest that is within reach again, but was restarted meanwhile, and one that is not.
func TestRunLosesARestartedGuest(t *testing.T) {
	gone := errors.New("the guest has ended")
	for name, c := range map[string]struct {
		lost func(s *provisiontest.Server) error
		want string
	}{
		"restarted": {func(s *provisiontest.Server) error { return os.RemoveAll(filepath.Join(s.Root, "run")) }, "the guest was restarted"},
		"gone":      {func(*provisiontest.Server) error { return gone }, gone.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			s, g, _ := regains(t, 0)
			g.OnLost(func(context.Context) error { return c.lost(s) })
			out := &until{text: "started", f: s.Cut}
			err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("echo started; exec sleep 2"), Timeout: time.Minute}, out)
			var failed *provision.ScriptError
			if !errors.As(err, &failed) || failed.Status != -1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %s", err, c.want)
			}
		})
	}
}

// TestRunWithoutRoomForItsOutput must not take an output that is cut off for a good one.
func TestRunWithoutRoomForItsOutput(t *testing.T) {
	s, g := connect(t)
	s.Stub("cat", `case $(readlink /proc/$$/fd/1) in */output) head -c 10; exit 1 ;; esac; exec /bin/cat "$@"`)
	err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("seq 1 100000; exit 0")}, nil)
	if err == nil || !strings.Contains(err.Error(), "no exit status") {
		t.Errorf("got error %v", err)
	}
	if l := leftovers(t, s); len(l) > 0 {
		t.Errorf("left in the guest: %v", l)
	}
}

// TestRunKilledBeforeItBegins has a script that was cancelled, of which a late client must not make one that runs.
func TestRunKilledBeforeItBegins(t *testing.T) {
	s, g := connect(t)
	s.Stub("setsid", `touch "$PIM_ROOT/run/asked"; sleep 1; exec /usr/bin/setsid "$@"`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for range time.Tick(10 * time.Millisecond) {
			if ctx.Err() != nil {
				return
			}
			if _, err := os.Stat(filepath.Join(s.Root, "run", "asked")); err == nil {
				cancel()
			}
		}
	}()
	if err := g.Run(ctx, provision.Script{Name: "x", Body: []byte(sleeper)}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.Root, "pids")); err == nil {
		gone(t, s)
	}
}
