package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// consoleLines is how much of the serial console a diagnostic shows.
const consoleLines = 25

// hintError is an error that knows what to do about it.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }

func (e *hintError) Unwrap() error { return e.err }

// fail gathers the evidence of a failed step while the guest still stands.
func (st *state) fail(ctx context.Context, step string, err error) *Error {
	if lost := st.disconnected(err); lost != nil {
		err = lost
	}
	err = st.diskFull(err)
	failed := &Error{Step: step, Err: err, Machine: st.remote(), LogPath: st.log.path}
	st.note(ctx, step, "failed", err.Error())
	if ctx.Err() != nil {
		failed.Err = context.Cause(ctx)
		return failed
	}
	if errors.Is(err, host.ErrDisconnected) {
		return failed // there is nobody to ask
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var hint *hintError
	if errors.As(err, &hint) {
		failed.Hint = hint.hint
	}
	var cloudInit *provision.CloudInitError
	if errors.As(err, &cloudInit) {
		failed.CloudInit = cloudInit.Tail
		return failed
	}
	var script *provision.ScriptError
	if errors.As(err, &script) {
		failed.Output = script.Tail
		return failed // the console has nothing to do with it
	}
	if st.vm == nil {
		return failed
	}
	if st.server != nil {
		failed.Served = true
		st.installer.evidence(failed)
		for _, r := range st.server.Requests() {
			failed.Requests = append(failed.Requests, r.String())
		}
	}
	if text, err := st.console(); err == nil {
		failed.Console = lastLines(text, consoleLines)
	}
	if shot := st.path("screenshot.png"); st.vm.Screenshot(ctx, shot) == nil {
		failed.Screenshot = shot
	}
	return failed
}

// remote is the machine's name, "" for this one.
func (b *Builder) remote() string {
	if name := b.Host.Name(); name != localBuilder {
		return name
	}
	return ""
}

// disconnected is the loss of the connection to the machine when err comes of it, also where a guest's dead connection
// is all that err tells; else nil.
func (st *state) disconnected(err error) error {
	if _, now := st.Host.Stat(st.dir); errors.Is(now, host.ErrDisconnected) {
		err = now
	}
	if !errors.Is(err, host.ErrDisconnected) {
		return nil
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("the connection to %s was lost: %w", st.Host.Name(), err)
}

// diskFull says whose disk it was when err comes of a full one, and what to do: all that a build writes is on its host.
func (st *state) diskFull(err error) error {
	var hint *hintError
	var ended *guestEndedError
	switch {
	case errors.As(err, &hint):
		return err
	case errors.As(err, &ended) && ended.exit.Reason == qemu.DiskFull:
		err = errors.New("the guest's disk cannot grow any more")
	case !errors.Is(err, syscall.ENOSPC):
		return err
	}
	return &hintError{fmt.Errorf("disk full on %s: %w", st.where(), err), st.roomHint()}
}

// roomHint says where a build wants room.
func (st *state) roomHint() string {
	setting := "data_dir"
	if st.remote() != "" {
		setting = "the remote's work_dir"
	}
	return fmt.Sprintf("Free some space below %s, or set %s to a larger file system.", st.dir, setting)
}

// where is the machine that builds, for people.
func (b *Builder) where() string { return cmp.Or(b.remote(), "this machine") }

// disconnectedHint says what becomes of a build whose connection was lost.
func (b *Builder) disconnectedHint() string {
	return fmt.Sprintf("A guest that was running on %[1]s goes on there. Once the lost connection's locks have run out, in two minutes at most, "+
		"the next build on %[1]s ends it and removes what this one left. See that %[1]s can be reached by SSH, then apply again; "+
		"a finished installation is not repeated.", b.Host.Name())
}

// escapes are terminal control sequences. Source: ECMA-48, 5.4.
var escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|[@-Z\\-_(][0-9A-B]?)`)

// lastLines are the last n lines of a console that say something, without control sequences.
func lastLines(text []byte, n int) []string {
	const enough = 64 << 10
	text = text[max(0, len(text)-enough):]
	var lines []string
	for l := range strings.SplitSeq(escapes.ReplaceAllString(string(text), ""), "\n") {
		if i := strings.LastIndexByte(strings.TrimRight(l, "\r"), '\r'); i >= 0 {
			l = l[i+1:] // what a progress bar shows in the end
		}
		if l = strings.TrimRight(l, " \r\t"); l != "" {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-n):]
}
