package build

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
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
	failed := &Error{Step: step, Err: err, LogPath: st.log.path}
	st.note(ctx, step, "failed", err.Error())
	if ctx.Err() != nil {
		failed.Err = context.Cause(ctx)
		return failed
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var hint *hintError
	if errors.As(err, &hint) {
		failed.Hint = hint.hint
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
