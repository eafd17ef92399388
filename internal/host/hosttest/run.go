package hosttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func run(t *testing.T, newHost func(t *testing.T) host.Host) {
	t.Run("arguments, environment and input reach the command as they are", func(t *testing.T) {
		h, dir := newHost(t), realDir(t)
		var out bytes.Buffer
		err := h.Run(bounded(t), host.Cmd{
			Argv:   []string{"sh", "-c", `printf '%s|' "$@" "$PIM_TEST" "$(pwd -P)" "$(cat)"`, "sh", "a b", `$HOME'"\*`, ""},
			Env:    []string{"PIM_TEST=x y"},
			Dir:    dir,
			Stdin:  strings.NewReader("in"),
			Stdout: &out,
		})
		if want := `a b|$HOME'"\*||x y|` + dir + `|in|`; err != nil || out.String() != want {
			t.Errorf("got %q, %v; want %q", out.String(), err, want)
		}
	})
	t.Run("the host's environment stays", func(t *testing.T) {
		if err := newHost(t).Run(bounded(t), shell(`test -n "$PATH"`)); err != nil {
			t.Error(err)
		}
	})
	t.Run("output and errors are apart", func(t *testing.T) {
		var out, errs bytes.Buffer
		c := shell("echo out; echo err >&2")
		c.Stdout, c.Stderr = &out, &errs
		if err := newHost(t).Run(bounded(t), c); err != nil || out.String() != "out\n" || errs.String() != "err\n" {
			t.Errorf("got %q, %q, %v", out.String(), errs.String(), err)
		}
	})

	failures := []struct {
		name, script string
		status       int
		stderr       string
	}{
		{"exit status", "exit 3", 3, ""},
		{"message", "echo no luck >&2; exit 1", 1, "no luck\n"},
		{"signal", "kill -KILL $$", 128 + 9, ""},
		{"long message", "yes | head -c 10000 >&2; echo end >&2; exit 2", 2, strings.Repeat("y\n", 2046) + "end\n"},
	}
	for _, c := range failures {
		t.Run(c.name, func(t *testing.T) {
			err := newHost(t).Run(bounded(t), shell(c.script))
			var exit *host.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("got %v, want an *ExitError", err)
			}
			if exit.Status != c.status || !strings.HasSuffix(c.stderr, exit.Stderr) || exit.Stderr == "" && c.stderr != "" {
				t.Errorf("got status %d, stderr %.99q; want %d, %.99q", exit.Status, exit.Stderr, c.status, c.stderr)
			}
			if len(exit.Stderr) > 4<<10 {
				t.Errorf("kept %d bytes of stderr", len(exit.Stderr))
			}
		})
	}
	t.Run("no such program", func(t *testing.T) {
		h := newHost(t)
		if _, err := h.LookPath("pim-no-such-program"); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("LookPath: got %v, want ErrNotFound", err)
		}
		if err := h.Run(bounded(t), host.Cmd{Argv: []string{"pim-no-such-program"}}); err == nil {
			t.Error("Run: got no error")
		}
		if err := h.Run(bounded(t), host.Cmd{}); err == nil {
			t.Error("Run of nothing: got no error")
		}
	})
	t.Run("a program is found by its absolute path", func(t *testing.T) {
		if p, err := newHost(t).LookPath("sh"); err != nil || !filepath.IsAbs(p) {
			t.Errorf("got %q, %v", p, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(bounded(t))
		r, w := io.Pipe()
		c := shell("echo up; sleep 600 & wait") // the sleep holds our pipe until it is ended as well
		c.Stdout = w
		result := make(chan error, 1)
		go func() { result <- newHost(t).Run(ctx, c) }()
		readLine(t, r)
		cancel()
		if err := receive(t, "end of the command", result); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	t.Run("cancelled before", func(t *testing.T) {
		if err := newHost(t).Run(ended(t), shell("exit 3")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

func process(t *testing.T, newHost func(t *testing.T) host.Host) {
	t.Run("it outlives the context of its start", func(t *testing.T) {
		h := newHost(t)
		ctx, cancel := context.WithCancel(bounded(t))
		r, w := io.Pipe()
		p, err := h.Start(ctx, host.Cmd{Argv: []string{"cat"}, Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: got %v, want context.Canceled", err)
		}
		select {
		case <-p.Done():
			t.Error("it ended with the context")
		default:
		}
		if p.PID() <= 0 {
			t.Errorf("PID() = %d", p.PID())
		}
		_ = w.Close()
		if err := p.Wait(bounded(t)); err != nil {
			t.Error(err)
		}
		receive(t, "Done", p.Done())
	})
	t.Run("terminate lets it say goodbye", func(t *testing.T) {
		h := newHost(t)
		out, p := startTalking(t, h, `trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.1; done`)
		said := make(chan string, 1)
		go func() { b, _ := io.ReadAll(out); said <- string(b) }()
		if err := p.Terminate(bounded(t)); err != nil {
			t.Fatal(err)
		}
		var exit *host.ExitError
		if err := p.Wait(bounded(t)); !errors.As(err, &exit) || exit.Status != 7 {
			t.Errorf("Wait: got %v, want status 7", err)
		}
		_ = out.CloseWithError(io.EOF)
		if s := receive(t, "output", said); !strings.Contains(s, "bye") {
			t.Errorf("it said %q", s)
		}
		if err := p.Terminate(bounded(t)); err != nil {
			t.Errorf("terminating it again: %v", err)
		}
	})
	t.Run("terminate kills at once when its context ends", func(t *testing.T) {
		h := newHost(t)
		_, p := startTalking(t, h, `trap '' TERM; echo up; while :; do sleep 0.1; done`)
		if err := p.Terminate(ended(t)); err != nil {
			t.Fatal(err)
		}
		var exit *host.ExitError
		if err := p.Wait(bounded(t)); !errors.As(err, &exit) || exit.Status != 128+9 {
			t.Errorf("Wait: got %v, want status 137", err)
		}
	})
	t.Run("terminate ends the children too", func(t *testing.T) {
		h := newHost(t)
		r, w := io.Pipe()
		c := shell(`sh -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' & wait`)
		c.Stdout = w
		p, err := h.Start(bounded(t), c)
		if err != nil {
			t.Fatal(err)
		}
		child := readLine(t, r)
		go io.Copy(io.Discard, r) //nolint:errcheck // ends with the pipe
		if err := p.Terminate(ended(t)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "end of the child "+child, func() bool {
			var state bytes.Buffer
			ps := host.Cmd{Argv: []string{"ps", "-o", "stat=", "-p", child}, Stdout: &state}
			_ = h.Run(bounded(t), ps) // exit status 1: no such process
			return state.Len() == 0 || strings.HasPrefix(state.String(), "Z")
		})
	})
}

// shell is a command that runs a script.
func shell(script string) host.Cmd { return host.Cmd{Argv: []string{"sh", "-c", script}} }

// startTalking starts a script that says "up" once it is ready, and returns what else it says.
func startTalking(t *testing.T, h host.Host, script string) (*io.PipeReader, host.Process) {
	t.Helper()
	r, w := io.Pipe()
	c := shell(script)
	c.Stdout = w
	p, err := h.Start(bounded(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Terminate(context.WithoutCancel(t.Context())) })
	if line := readLine(t, r); line != "up" {
		t.Fatalf("it said %q, want up", line)
	}
	return r, p
}

// readLine reads one line, byte by byte so as to take no more.
func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	line := make(chan string, 1)
	go func() {
		var b []byte
		for c := make([]byte, 1); ; b = append(b, c[0]) {
			if _, err := io.ReadFull(r, c); err != nil || c[0] == '\n' {
				line <- string(b)
				return
			}
		}
	}()
	return receive(t, "output", line)
}

// realDir is a temporary directory by the name that pwd -P gives it.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
