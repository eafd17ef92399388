package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qmp"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// soon bounds what must not take any time at all.
const soon = 10 * time.Second

// connect gives a monitor on a new fake QEMU, and ends it with the test.
func connect(t *testing.T, onEvent func(qmp.Event), serve func(s *qmpServer)) *monitor {
	t.Helper()
	if onEvent == nil {
		onEvent = func(qmp.Event) {}
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	m, err := dialMonitor(ctx, host.NewLocal(), serveQMP(t, serve), onEvent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.Disconnect()
		<-m.done // a reader that stays is a leak, and the test's time-out tells where
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.wait) > 0 {
			t.Errorf("%d commands are still waited for", len(m.wait))
		}
	})
	return m
}

// ask runs a command that must succeed at once.
func ask(t *testing.T, m *monitor, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	out, err := m.run(ctx, []byte(command))
	if err != nil {
		t.Errorf("%s: %v", command, err)
	}
	return string(out)
}

func TestMonitorLargeReplies(t *testing.T) {
	m := connect(t, nil, func(s *qmpServer) {
		s.greet()
		for c, ok := s.hear(); ok; c, ok = s.hear() {
			s.answer(c, `"`+strings.Repeat(c.Execute, 1<<20)+`"`)
		}
	})
	first := ask(t, m, `{"execute": "a"}`)
	second := ask(t, m, `{"execute": "b"}`)
	if strings.Count(first, "a") != 1<<20 || strings.Count(second, "b") != 1<<20 || strings.Contains(first, "b") {
		t.Errorf("got %d and %d bytes", len(first), len(second))
	}
}

// QEMU may answer out-of-band commands in any order: every command gets its own answer.
func TestMonitorConcurrentCommands(t *testing.T) {
	const n = 50
	m := connect(t, nil, func(s *qmpServer) {
		s.greet()
		var all []qmpCommand
		for c, ok := s.hear(); ok; c, ok = s.hear() {
			if all = append(all, c); len(all) < n {
				continue
			}
			for i := range all {
				c := all[n-1-i]
				s.answer(c, string(c.Arguments))
			}
			all = nil
		}
	})
	for range 3 {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				want := fmt.Sprintf(`"number-%d"`, i)
				if got := ask(t, m, `{"execute": "echo", "arguments": `+want+`}`); !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
		wg.Wait()
	}
}

// Events come before, between and after answers, in any number, and hold up nothing.
func TestMonitorEvents(t *testing.T) {
	const n = 5000
	var mu sync.Mutex
	var seen []string
	onEvent := func(e qmp.Event) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(e.Event, e.Data["n"]))
	}
	m := connect(t, onEvent, func(s *qmpServer) {
		s.say(`{"event": "E", "data": {"n": 0}, "timestamp": {"seconds": 1, "microseconds": 2}}`)
		s.greet()
		for c, ok := s.hear(); ok; c, ok = s.hear() {
			for i := range n {
				s.say(`{"event": "E", "data": {"n": %d}, "timestamp": {"seconds": 1, "microseconds": 2}}`, i+1)
			}
			s.answer(c, "{}")
		}
	})
	ask(t, m, `{"execute": "x"}`)
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != n+1 {
		t.Fatalf("got %d events, want %d", len(seen), n+1)
	}
	for i, got := range seen {
		if want := fmt.Sprint("E", i); got != want {
			t.Fatalf("event %d is %s", i, got)
		}
	}
}

// A command that was given up leaves nothing behind: its late answer is not taken for that of the next.
func TestMonitorCancel(t *testing.T) {
	heard := make(chan struct{})
	m := connect(t, nil, func(s *qmpServer) {
		s.greet()
		late, _ := s.hear()
		close(heard)
		c, _ := s.hear()
		s.answer(late, `"late"`)
		s.answer(c, `"mine"`)
		s.hear()
	})
	reason := errors.New("the build was interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-heard
		cancel(reason)
	}()
	if _, err := m.run(ctx, []byte(`{"execute": "slow"}`)); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	if got := ask(t, m, `{"execute": "quick"}`); !strings.Contains(got, "mine") {
		t.Errorf("got %s", got)
	}
}

// A QEMU that reads nothing holds up the connection, not the caller.
func TestMonitorBlockedWrite(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	m := connect(t, nil, func(s *qmpServer) {
		s.greet()
		<-release
	})
	large := `{"execute": "x", "arguments": "` + strings.Repeat("x", 4<<20) + `"}`
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := m.run(ctx, []byte(large)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
}

func TestMonitorServerCloses(t *testing.T) {
	for name, c := range map[string]struct {
		last func(s *qmpServer, c qmpCommand)
		want error
	}{
		"without an answer":      {func(*qmpServer, qmpCommand) {}, errMonitorClosed},
		"in the middle of one":   {func(s *qmpServer, _ qmpCommand) { s.say(`{"return": {"a":`) }, errMonitorClosed},
		"after something else":   {func(s *qmpServer, _ qmpCommand) { s.say(`-- no JSON --`) }, errMonitorClosed},
		"after a strange answer": {func(s *qmpServer, _ qmpCommand) { s.say(`{"return": {}, "id": {"a": 1}}`) }, errMonitorClosed},
		"after the answer":       {func(s *qmpServer, c qmpCommand) { s.answer(c, "{}") }, nil}, // as to "quit"
	} {
		t.Run(name, func(t *testing.T) {
			m := connect(t, nil, func(s *qmpServer) {
				s.greet()
				if cmd, ok := s.hear(); ok {
					c.last(s, cmd)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			if _, err := m.run(ctx, []byte(`{"execute": "quit"}`)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			<-m.done
			if _, err := m.run(ctx, []byte(`{"execute": "more"}`)); !errors.Is(err, errMonitorClosed) {
				t.Errorf("afterwards: got %v", err)
			}
		})
	}
}

// lateContext lets run look at what has happened only when QEMU has gone.
type lateContext struct {
	context.Context
	gone <-chan struct{}
}

func (c lateContext) Done() <-chan struct{} {
	select {
	case <-c.gone:
	case <-c.Context.Done():
	}
	return c.Context.Done()
}

// An answer that was read counts, also when the connection's end has been seen too.
func TestMonitorAnswerBeforeTheEnd(t *testing.T) {
	for range 20 { // select chooses by chance
		m := connect(t, nil, func(s *qmpServer) {
			s.greet()
			if c, ok := s.hear(); ok {
				s.answer(c, "{}")
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		if _, err := m.run(lateContext{ctx, m.done}, []byte(`{"execute": "quit"}`)); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

// All commands that wait are told when QEMU ends.
func TestMonitorServerClosesOnMany(t *testing.T) {
	const n = 20
	m := connect(t, nil, func(s *qmpServer) {
		s.greet()
		for range n {
			s.hear()
		}
	})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			if _, err := m.run(ctx, []byte(`{"execute": "x"}`)); !errors.Is(err, errMonitorClosed) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
}

func TestMonitorErrors(t *testing.T) {
	m := connect(t, nil, func(s *qmpServer) {
		s.greet()
		for c, ok := s.hear(); ok; c, ok = s.hear() {
			s.say(`{"error": {"class": "CommandNotFound", "desc": "The command %s has not been found"}, "id": %s}`, c.Execute, c.ID)
		}
	})
	if _, err := m.run(t.Context(), []byte(`{"execute": "x"}`)); err == nil || err.Error() != "The command x has not been found" {
		t.Errorf("got %v", err)
	}
	if err := m.typed(t.Context()).SystemPowerdown(); err == nil || !strings.Contains(err.Error(), "system_powerdown") {
		t.Errorf("a typed command: got %v", err)
	}
	if _, err := m.run(t.Context(), []byte(`no JSON`)); err == nil {
		t.Error("no error for a command that is no JSON")
	}
}

func TestDialMonitorWithoutGreeting(t *testing.T) {
	gone := make(chan struct{})
	socket := serveQMP(t, func(s *qmpServer) { // accepts and is silent, as a QEMU does that talks to somebody else
		s.hear()
		s.hear() // the end of the connection
		close(gone)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := dialMonitor(ctx, host.NewLocal(), socket, func(qmp.Event) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	select {
	case <-gone:
	case <-time.After(soon):
		t.Error("the connection is left open")
	}
}

func TestQuitAt(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(s *qmpServer, quit qmpCommand)
		says  string // in the error, "" for none
	}{
		"answers and ends": {func(s *qmpServer, quit qmpCommand) { s.answer(quit, "{}") }, ""},
		"ends at once":     {func(*qmpServer, qmpCommand) {}, ""},
		"refuses": {func(s *qmpServer, quit qmpCommand) {
			s.say(`{"error": {"class": "x", "desc": "no"}, "id": %s}`, quit.ID)
		}, "no"},
		"answers and stays": {func(s *qmpServer, quit qmpCommand) { s.answer(quit, "{}"); s.hear() }, context.DeadlineExceeded.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			socket := serveQMP(t, func(s *qmpServer) {
				s.greet()
				if quit, ok := s.hear(); ok && quit.Execute == "quit" {
					c.serve(s, quit)
				}
			})
			limit := soon
			if c.says == context.DeadlineExceeded.Error() {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := QuitAt(ctx, host.NewLocal(), socket)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	if err := QuitAt(t.Context(), host.NewLocal(), t.TempDir()+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a socket: got %v", err)
	}
}
