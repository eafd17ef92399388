package provision_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/provision/provisiontest"
)

// leftovers are what Run left of its own in the guest.
func leftovers(t *testing.T, s *provisiontest.Server) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Root, "root", ".pim-*"))
	if err != nil {
		t.Fatal(err)
	}
	running, err := filepath.Glob(filepath.Join(s.Root, "run", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(found, running...)
}

func TestRun(t *testing.T) {
	tests := map[string]struct {
		script provision.Script
		want   string
	}{
		"sh":           {provision.Script{Body: []byte("#!/bin/sh\necho out; echo err >&2; echo out\n")}, "out\nerr\nout\n"},
		"no shebang":   {provision.Script{Body: []byte("echo $((1 + 1))\n")}, "2\n"},
		"bash":         {provision.Script{Body: []byte("#!/bin/bash\na=(x y); echo ${a[1]}")}, "y\n"},
		"own env":      {provision.Script{Body: []byte("echo \"$PIM_X|$DEBIAN_FRONTEND\""), Env: map[string]string{"PIM_X": "it's \"$HOME\"\n\\"}}, "it's \"$HOME\"\n\\|noninteractive\n"},
		"no stdin":     {provision.Script{Body: []byte("cat; echo end")}, "end\n"},
		"root-only":    {provision.Script{Body: []byte("cd \"${0%/*}\"; stat -c %a . script env")}, "700\n700\n600\n"},
		"cwd":          {provision.Script{Body: []byte("pwd")}, "/\n"},
		"own session":  {provision.Script{Body: []byte("ps -o sid=,pgid= -p $$ | { read -r s g; [ $s = $PPID ] && [ $g = $PPID ] && echo own; }")}, "own\n"},
		"unended line": {provision.Script{Body: []byte("printf x")}, "x"},
	}
	s, g := connect(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tc.script.Name, tc.script.Timeout = name, time.Minute
			if err := g.Run(t.Context(), tc.script, &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("got %q, want %q", out.String(), tc.want)
			}
		})
	}
	if l := leftovers(t, s); len(l) > 0 {
		t.Errorf("left in the guest: %v", l)
	}
}

func TestRunReportsAFailingScript(t *testing.T) {
	s, g := connect(t)
	body := "i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; echo last words >&2; exit 42"
	err := g.Run(t.Context(), provision.Script{Name: "base", Body: []byte(body)}, nil)
	var failed *provision.ScriptError
	if !errors.As(err, &failed) {
		t.Fatalf("got error %v, want a ScriptError", err)
	}
	if failed.Script != "base" || failed.Status != 42 || failed.TimedOut {
		t.Errorf("got %+v", failed)
	}
	if n := len(failed.Tail); n != 20 || failed.Tail[0] != "line 11" || failed.Tail[19] != "last words" {
		t.Errorf("got %d lines: %q", n, failed.Tail)
	}
	if want := `script "base" ended with exit status 42`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if l := leftovers(t, s); len(l) > 0 {
		t.Errorf("left in the guest: %v", l)
	}
}

func TestRunReportsAScriptThatKillsItself(t *testing.T) {
	_, g := connect(t)
	err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("kill -9 $$")}, nil)
	var failed *provision.ScriptError
	if !errors.As(err, &failed) || failed.Status != 128+9 {
		t.Fatalf("got error %v, want status 137", err)
	}
}

func TestRunNeverStarts(t *testing.T) {
	tests := map[string]struct {
		prepare func(s *provisiontest.Server)
		script  provision.Script
		want    string
	}{
		"bad variable": {func(*provisiontest.Server) {}, provision.Script{Name: "x", Env: map[string]string{"A B": ""}}, `"A B" cannot be the name`},
		"no directory": {func(s *provisiontest.Server) { s.Stub("mktemp", "echo disk full >&2; exit 1") }, provision.Script{Name: "x"}, "disk full"},
		"disk full":    {func(s *provisiontest.Server) { s.Stub("cat", "echo no space left >&2; exit 1") }, provision.Script{Name: "x"}, "no space left"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, g := connect(t)
			tc.prepare(s)
			err := g.Run(t.Context(), tc.script, nil)
			var failed *provision.ScriptError
			if err == nil || errors.As(err, &failed) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q that is no ScriptError", err, tc.want)
			}
			if l := leftovers(t, s); len(l) > 0 {
				t.Errorf("left in the guest: %v", l)
			}
		})
	}
}

// sleeper starts children, one of which ignores SIGTERM, and tells their ids.
const sleeper = `#!/bin/sh
trap '' TERM
sleep 60 &
echo $$ $! >"$PIM_ROOT/pids"
echo started
while :; do sleep 60; done
`

// gone fails when a process of sleeper is alive.
func gone(t *testing.T, s *provisiontest.Server) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Root, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(state), ") Z ") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Errorf("process %d is still there", pid)
		}
	}
}

func TestRunKillsAScriptThatHangs(t *testing.T) {
	t.Parallel() // it waits
	s, g := connect(t)
	err := g.Run(t.Context(), provision.Script{Name: "hang", Body: []byte(sleeper), Timeout: time.Second}, io.Discard)
	var failed *provision.ScriptError
	if !errors.As(err, &failed) || !failed.TimedOut || failed.Status != -1 {
		t.Fatalf("got error %v, want a time-out", err)
	}
	if got, want := fmt.Sprint(failed.Tail, err), `[started] script "hang" did not end within 1s and was killed`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	gone(t, s)
	if l := leftovers(t, s); len(l) > 0 {
		t.Errorf("left in the guest: %v", l)
	}
	if err := g.Run(t.Context(), provision.Script{Name: "next", Body: []byte("true")}, nil); err != nil {
		t.Errorf("the connection is of no use any more: %v", err)
	}
}

// until is a writer that calls f when text has been written.
type until struct {
	text string
	f    func()
	seen bytes.Buffer
}

func (u *until) Write(p []byte) (int, error) {
	u.seen.Write(p)
	if u.f != nil && strings.Contains(u.seen.String(), u.text) {
		u.f()
		u.f = nil
	}
	return len(p), nil
}

func TestRunKillsAScriptThatIsCancelled(t *testing.T) {
	t.Parallel() // it waits
	s, g := connect(t)
	errCancel := errors.New("the user pressed Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	out := &until{text: "started", f: func() { cancel(errCancel) }}
	err := g.Run(ctx, provision.Script{Name: "x", Body: []byte(sleeper), Timeout: time.Minute}, out)
	var failed *provision.ScriptError
	if !errors.As(err, &failed) || failed.TimedOut || !errors.Is(err, errCancel) {
		t.Fatalf("got error %v, want the cancellation", err)
	}
	gone(t, s)
	if l := leftovers(t, s); len(l) > 0 {
		t.Errorf("left in the guest: %v", l)
	}
}

func TestRunLosesTheGuest(t *testing.T) {
	t.Parallel() // it waits
	s, g := connect(t)
	out := &until{text: "started", f: s.Cut}
	err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("echo started; exec sleep 2"), Timeout: time.Minute}, out)
	var failed *provision.ScriptError
	if !errors.As(err, &failed) || failed.Status != -1 || !errors.Is(err, provision.ErrConnectionLost) {
		t.Fatalf("got error %v, want ErrConnectionLost", err)
	}
	if len(failed.Tail) != 1 || failed.Tail[0] != "started" {
		t.Errorf("got tail %q", failed.Tail)
	}
}

func TestRunLosesTheGuestInTheMiddleOfItsOutput(t *testing.T) {
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	s.SetFaults(provisiontest.Faults{CutAfter: 4000})
	g, err := provision.Connect(t.Context(), s.Dial, s.Addr, id, "root")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	err = g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("seq 1 100000")}, nil)
	if !errors.Is(err, provision.ErrConnectionLost) {
		t.Errorf("got error %v, want ErrConnectionLost", err)
	}
}

// full is a log on a full disk.
type full struct{ calls int }

func (f *full) Write([]byte) (int, error) {
	f.calls++
	return 0, syscall.ENOSPC
}

func TestRunGoesOnWhenItsOutputCannotBeWritten(t *testing.T) {
	s, g := connect(t)
	out := &full{}
	err := g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("seq 1 100000; touch \"$PIM_ROOT/ran\"")}, out)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want ENOSPC", err)
	}
	if _, err := os.Stat(filepath.Join(s.Root, "ran")); err != nil {
		t.Error("the script was stopped")
	}
	if out.calls != 1 {
		t.Errorf("the writer was called %d times after it failed", out.calls-1)
	}
}

func TestOutput(t *testing.T) {
	_, g := connect(t)
	if out, err := g.Output(t.Context(), "echo a; echo b >&2"); err != nil || string(out) != "a\n" {
		t.Errorf("got %q, %v", out, err)
	}
	var status *provision.StatusError
	if _, err := g.Output(t.Context(), "echo no >&2; exit 3"); !errors.As(err, &status) || status.Status != 3 || status.Stderr != "no" {
		t.Errorf("got error %v, want status 3 with its text", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := g.Output(ctx, "exec sleep 2"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want the deadline", err)
	}
	if _, err := g.Output(t.Context(), "head -c 20000000 /dev/zero"); err == nil || !strings.Contains(err.Error(), "more than 16 MiB") {
		t.Errorf("got error %v for 20 MB of output", err)
	}
}

func TestUpload(t *testing.T) {
	s, g := connect(t)
	name := filepath.Join(s.Root, "it's a file")
	data := bytes.Repeat([]byte("\x00\xff\n'"), 200_000)
	for range 2 { // the second time replaces it
		if err := g.Upload(t.Context(), name, data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	err = g.Upload(t.Context(), filepath.Join(s.Root, "none", "x"), data, 0o600)
	if err == nil || !strings.Contains(err.Error(), "cannot upload") {
		t.Errorf("got error %v", err)
	}
}

func TestPowerOff(t *testing.T) {
	s, g := connect(t)
	s.Stub("systemctl", "exit 0")
	if err := g.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0] != "systemctl poweroff --force" {
		t.Errorf("ran %q", calls)
	}
	s.Stub("systemctl", "echo not today >&2; exit 1")
	if err := g.PowerOff(t.Context()); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("got error %v", err)
	}
}

func TestPackages(t *testing.T) {
	s, g := connect(t)
	s.Stub("dpkg-query", `printf 'installed\tzlib1g\t1:1.3\tamd64\ninstalled\tbase-files\t13.8\tamd64\nconfig-files\told\t1\tall\n'`)
	got, err := g.Packages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []provision.Package{{Name: "base-files", Version: "13.8", Arch: "amd64"}, {Name: "zlib1g", Version: "1:1.3", Arch: "amd64"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, stub := range []string{"exit 0", "echo strange", "echo oops >&2; exit 2"} {
		s.Stub("dpkg-query", stub)
		if got, err := g.Packages(t.Context()); err == nil {
			t.Errorf("%s: got %v, want an error", stub, got)
		}
	}
}
