package provision

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	tailLines = 20               // of a script's output, in its error
	afterTime = 20 * time.Second // for what is undone in the guest after a script
)

// Script is a program for the guest: text with a line "#!…", or without one for sh.
type Script struct {
	Name    string // for messages
	Body    []byte
	Env     map[string]string // added to root's environment
	Timeout time.Duration     // 0 for none but ctx's
}

// ScriptError is a script that did not run to a good end.
type ScriptError struct {
	Script   string
	Status   int           // exit status, 128 + signal, or -1 when the script did not end by itself
	TimedOut bool          // it ran longer than Timeout, and was killed
	Timeout  time.Duration // the script's
	Tail     []string      // the last lines of its output, at most 20
	Err      error         // the reason when Status is -1: ctx's cause, ErrConnectionLost
}

func (e *ScriptError) Error() string {
	switch {
	case e.TimedOut:
		return fmt.Sprintf("script %q did not end within %s and was killed", e.Script, e.Timeout)
	case e.Status < 0:
		return fmt.Sprintf("script %q was interrupted: %v", e.Script, e.Err)
	}
	return fmt.Sprintf("script %q ended with exit status %d", e.Script, e.Status)
}

func (e *ScriptError) Unwrap() error { return e.Err }

var errTimedOut = errors.New("time-out")

// Run runs a script as the connection's user, with DEBIAN_FRONTEND=noninteractive, no standard input, and its
// output, standard error included, written to out as it comes (nil discards it). The script has a session
// of its own in the guest, and all of its process group is killed when the time-out or ctx ends it. A script ends when it
// has exited and nothing it left behind holds its output open.
//
// It runs without us: when the connection is lost and comes back (see OnLost), Run goes on where it was, with nothing of
// the output lost or doubled.
//
// Errors: a *ScriptError once the script has begun; anything else means that it never did.
func (g *Guest) Run(ctx context.Context, s Script, out io.Writer) error {
	at, err := g.stage(ctx, s)
	if err != nil {
		return fmt.Errorf("cannot start script %q: %w", s.Name, err)
	}
	run, cancel := ctx, context.CancelFunc(func() {})
	if s.Timeout > 0 {
		run, cancel = context.WithTimeoutCause(ctx, s.Timeout, errTimedOut)
	}
	defer cancel()
	sink := &stream{out: out, tail: tail{limit: tailLines}}
	err = g.follow(run, at, sink)
	interrupted := run.Err() != nil && err != nil

	// What follows is owed to the guest also when the build is cancelled.
	after, cancelAfter := context.WithTimeout(context.WithoutCancel(ctx), afterTime)
	defer cancelAfter()
	var undo error
	if interrupted {
		undo = g.killGroup(after, at)
	}
	if !errors.Is(err, ErrConnectionLost) {
		undo = errors.Join(undo, g.unstage(after, at))
	}
	if err == nil {
		return errors.Join(undo, sink.err)
	}
	if errors.Is(undo, ErrConnectionLost) {
		undo = nil // nothing runs in a guest that is gone
	}
	return errors.Join(g.scriptError(s, err, sink), undo)
}

func (g *Guest) scriptError(s Script, err error, sink *stream) error {
	e := &ScriptError{Script: s.Name, Status: -1, Timeout: s.Timeout, Tail: sink.lines(), Err: err}
	var status *StatusError
	if errors.As(err, &status) {
		e.Status, e.Err = status.Status, nil
	}
	e.TimedOut = errors.Is(err, errTimedOut)
	return e
}

var (
	//go:embed supervise.sh
	superviseScript string
	//go:embed follow.sh
	followScript string
)

// follow starts the staged script unless it was started already, and follows it to its end. Errors: *StatusError is the
// script's own.
func (g *Guest) follow(ctx context.Context, at staged, sink *stream) error {
	return g.repeat(ctx, func(client *ssh.Client) error {
		said := &capped{limit: 4 << 10}
		command := fmt.Sprintf("set -- %s %s %d %s\n%s", quote(at.dir), quote(at.run), sink.total, quote(superviseScript), followScript)
		err := g.execOn(ctx, client, command, nil, sink, said)
		var failed *StatusError
		if errors.As(err, &failed) { // not the script's
			return fmt.Errorf("it cannot be followed to its end: %s", strings.TrimSpace(said.buf.String()))
		}
		if err != nil {
			return err
		}
		return parseEnd(said.buf.String())
	})
}

// parseEnd reads what follow.sh says in the end.
func parseEnd(said string) error {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	last := lines[len(lines)-1]
	status, ok := strings.CutPrefix(last, "pim-status ")
	code, err := strconv.Atoi(status)
	switch {
	case !ok || err != nil:
		return fmt.Errorf("it cannot be told how it ended: %s", said)
	case code != 0:
		return &StatusError{Status: code}
	}
	return nil
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// staged is where a script is in the guest.
type staged struct {
	// dir holds script and environment. It is below the home directory: /tmp and /run may be mounted noexec, and
	// scripts clean /tmp.
	dir string
	// run holds the output, and what is known of the process. It is in memory: a full disk must not hide why a script
	// failed, nothing of it stays in the image, and it is gone when the guest was restarted.
	run string
}

// stage puts a script and its environment into fresh directories that only root can look into.
func (g *Guest) stage(ctx context.Context, s Script) (staged, error) {
	env := bytes.NewBufferString("export DEBIAN_FRONTEND=noninteractive\n")
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		if !envName.MatchString(k) {
			return staged{}, fmt.Errorf("%q cannot be the name of an environment variable", k)
		}
		fmt.Fprintf(env, "export %s=%s\n", k, quote(s.Env[k]))
	}
	made, err := g.Output(ctx, `umask 077
d=$(mktemp -d "${HOME:-/root}/.pim-XXXXXXXX") || exit
r=${PIM_ROOT:-}/run/${d##*/.}
mkdir "$r" || { rmdir "$d"; exit 1; }
printf '%s\n' "$d" "$r"`)
	if err != nil {
		return staged{}, fmt.Errorf("cannot make a directory: %w", err)
	}
	dir, run, _ := strings.Cut(strings.TrimSuffix(string(made), "\n"), "\n")
	at := staged{dir, run}
	err = g.Upload(ctx, path.Join(dir, "env"), env.Bytes(), 0o600)
	if err == nil {
		err = g.Upload(ctx, path.Join(dir, "script"), s.Body, 0o700)
	}
	if err != nil {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTime)
		defer cancel()
		return staged{}, errors.Join(err, g.unstage(after, at))
	}
	return at, nil
}

// unstage removes what stage made. The environment is overwritten, so that a password in it, such as a proxy's,
// is not found in the free blocks of the image.
func (g *Guest) unstage(ctx context.Context, at staged) error {
	_, err := g.Output(ctx, fmt.Sprintf("shred -n 1 -u %[1]s/env 2>/dev/null; rm -rf %[1]s %[2]s", quote(at.dir), quote(at.run)))
	if err != nil {
		return fmt.Errorf("cannot remove the script from the guest: %w", err)
	}
	return nil
}

//go:embed kill.sh
var killScript string

// killGroup ends a script and all of its process group: SIGTERM, and SIGKILL after 5 s. One that has not begun will not.
func (g *Guest) killGroup(ctx context.Context, at staged) error {
	_, err := g.Output(ctx, "set -- "+quote(at.run)+"\n"+killScript)
	if err != nil {
		return fmt.Errorf("cannot kill the script in the guest: %w", err)
	}
	return nil
}
