package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

const (
	lookEvery = 5 * time.Second  // how often a running installation is looked at
	tellEvery = 30 * time.Second // how often its last line is logged, if it is a new one
)

// awaitInstaller waits until the installer reboots or powers off the guest. It ends the wait when the guest
// stalls or takes too long, and refuses an installer that never ran the post-install script.
func (st *state) awaitInstaller(ctx context.Context) error {
	limit, cancel := context.WithTimeoutCause(ctx, st.Timeouts.Install,
		fmt.Errorf("the installation did not end within %s", st.Timeouts.Install))
	defer cancel()
	exit, err := st.watch(limit)
	if err != nil {
		return err
	}
	if exit.Reason == qemu.Reset && st.panicked() {
		exit = qemu.Exit{Reason: qemu.Panic}
	}
	if exit.Reason != qemu.Reset && exit.Reason != qemu.Shutdown {
		return &guestEndedError{exit}
	}
	for _, r := range st.server.Requests() {
		if strings.HasSuffix(r.Path, "/"+installFile) && r.Status == 200 {
			return nil
		}
	}
	return errors.New("the installer ended without running the post-install script")
}

// panicked says whether the guest's kernel has: the installer's command line has it reboot then.
func (st *state) panicked() bool {
	text, err := st.console()
	return err == nil && bytes.Contains(text, []byte("Kernel panic - not syncing"))
}

// watch waits for the guest's end while it looks for signs of life.
func (st *state) watch(ctx context.Context) (qemu.Exit, error) {
	alive, told := time.Now(), time.Now()
	var last signs
	var line string
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-st.vm.Done():
			return st.vm.Wait(ctx)
		case <-ctx.Done():
			return qemu.Exit{}, context.Cause(ctx)
		case <-st.installer.failed():
			return qemu.Exit{}, st.installer.failure()
		case <-tick.C:
		}
		now := st.look(ctx)
		if now != last {
			last, alive = now, time.Now()
		}
		if time.Since(told) >= tellEvery {
			line, told = st.tell(ctx, line), time.Now()
		}
		if quiet := time.Since(alive); quiet > st.Timeouts.Stall {
			return qemu.Exit{}, fmt.Errorf("the guest stalls: no disk write, no console output and no request for %s", quiet.Round(time.Second))
		}
	}
}

// tell logs the last line of the installer's console unless it has been told already, and returns it.
func (st *state) tell(ctx context.Context, told string) string {
	text, err := st.console()
	if err != nil {
		return told
	}
	lines := lastLines(text, 1)
	if len(lines) == 0 || lines[0] == told {
		return told
	}
	st.note(ctx, "install", "console", lines[0])
	return lines[0]
}

// signs of life of a guest; any change is one.
type signs struct {
	written, console int64
	requests         int
}

func (st *state) look(ctx context.Context) signs {
	var s signs
	if n, err := st.vm.BytesWritten(ctx); err == nil {
		s.written = n
	}
	if info, err := st.Host.Stat(st.consoleLog); err == nil {
		s.console = info.Size()
	}
	if st.server != nil {
		s.requests = len(st.server.Requests()) + st.server.Posts()
	}
	return s
}
