package build

import (
	"fmt"
	"strings"
)

// Error is a failed build with what a person needs to mend it.
type Error struct {
	Step       string   // the step that failed: "install", "scripts", …
	Err        error    // why
	Machine    string   // whose the paths below are, "" for this machine
	LogPath    string   // the build's log
	Console    []string // last lines of the guest's serial console
	Output     []string // last lines of the failing script
	CloudInit  []string // last lines that cloud-init printed
	Requests   []string // HTTP requests the guest made, oldest first; nil when the step serves none
	Served     bool     // whether the step served files, so that no request at all is a finding
	Unasked    string   // what it then never asked for
	Reports    []string // last reports of the installer, oldest first; nil where it makes none
	Logs       string   // folder of the logs it sent, "" for none
	Screenshot string   // path of a PNG, "" for none
	Hint       string   // what to do next
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Detail is the diagnostic's text: the cause, the evidence, and what to do next.
func (e *Error) Detail() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n", e.Err)
	section(&b, "Last output of the script", e.Output)
	section(&b, "Last output of cloud-init", e.CloudInit)
	switch {
	case len(e.Requests) > 0:
		section(&b, "HTTP requests of the guest", e.Requests)
	case e.Served:
		fmt.Fprintf(&b, "\nThe guest never asked for its %s.\n", e.Unasked)
	}
	section(&b, "Last reports of the installer", e.Reports)
	section(&b, "Last lines of the serial console", e.Console)
	on := ""
	if e.Machine != "" {
		on = " (on " + e.Machine + ")"
	}
	if e.Screenshot != "" {
		fmt.Fprintf(&b, "\nScreenshot: %s%s\n", e.Screenshot, on)
	}
	if e.Logs != "" {
		fmt.Fprintf(&b, "\nLogs of the installer: %s%s\n", e.Logs, on)
	}
	if e.LogPath != "" {
		fmt.Fprintf(&b, "\nLog: %s%s\n", e.LogPath, on)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "\n%s\n", e.Hint)
	}
	return b.String()
}

func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, l := range lines {
		fmt.Fprintf(b, "  %s\n", l)
	}
}
