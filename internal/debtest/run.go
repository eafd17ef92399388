package debtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// killDelay is how long a cancelled command may take to end by itself after the interrupt.
const killDelay = 5 * time.Second

// tailBytes is how much of a failed command's standard error an error repeats.
const tailBytes = 1000

// commandError is a command that did not succeed.
type commandError struct {
	name   string // the program's name
	stderr string // the end of its standard error, trimmed
	err    error
}

func (e *commandError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("%s: %v", e.name, e.err)
	}
	return fmt.Sprintf("%s: %v: %s", e.name, e.err, e.stderr)
}

func (e *commandError) Unwrap() error { return e.err }

// command is one program to run: argv is never a shell string.
type command struct {
	argv  []string
	dir   string
	env   []string // KEY=VALUE, added to our own environment
	stdin io.Reader
}

// output runs the command in the C locale and gives its standard output.
func (c command) output(ctx context.Context) ([]byte, error) {
	var out bytes.Buffer
	err := c.to(ctx, &out)
	return out.Bytes(), err
}

// to runs the command in the C locale with its standard output going to w. When ctx ends first, the command is
// interrupted and ctx's error is in the chain.
func (c command) to(ctx context.Context, w io.Writer) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killDelay
	cmd.Dir = c.dir
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"), c.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, w, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		text := strings.TrimSpace(stderr.String())
		if len(text) > tailBytes {
			text = "…" + text[len(text)-tailBytes:]
		}
		return &commandError{name: c.argv[0], stderr: text, err: err}
	}
	return nil
}
