package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/digitalocean/go-qemu/qmp"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// The event log is a monitor of its own on a QMP connection that nobody has to hold: QEMU reads its commands from a
// pipe, which it keeps open itself, and writes to a file. So a guest that ends while the connection to its machine is
// lost leaves word of how it did, and ends as any other. Source: QEMU's manual, "-chardev pipe": PATH.in and PATH.out are
// opened for reading and writing.

// makeEventLog makes pipe and file.
func makeEventLog(ctx context.Context, h host.Runner, m Machine) error {
	if m.EventLog == "" {
		return nil
	}
	err := h.Run(ctx, host.Cmd{Argv: []string{
		"sh", "-c", `umask 077 && rm -f "$1.in" "$1.out" && mkfifo "$1.in" && : >"$1.out"`, "sh", m.EventLog,
	}})
	if err != nil {
		return fmt.Errorf("cannot make its event log: %w", err)
	}
	return nil
}

// beginEventLog has a QEMU that runs send its events there.
func beginEventLog(ctx context.Context, h host.Runner, m Machine) error {
	if m.EventLog == "" {
		return nil
	}
	err := h.Run(ctx, host.Cmd{Argv: []string{
		"sh", "-c", `printf '%s\n' '{"execute":"qmp_capabilities"}' >"$1.in"`, "sh", m.EventLog,
	}})
	if err != nil {
		return fmt.Errorf("cannot begin its event log: %w", err)
	}
	return nil
}

// replay takes in all events that the log has.
func (vm *VM) replay() error {
	text, err := host.ReadFile(vm.h, vm.machine.EventLog+".out")
	if err != nil {
		return fmt.Errorf("cannot read its event log: %w", err)
	}
	for line := range bytes.Lines(text) {
		var e qmp.Event
		if json.Unmarshal(line, &e) == nil && e.Event != "" {
			vm.event(e)
		}
	}
	return nil
}

// Reattach takes a guest up again whose machine was out of reach and is not any more; for any other one it does
// nothing. A guest that has ended meanwhile has ended as if somebody had watched. It needs Machine.EventLog. ctx bounds
// it; after an error it may be called again.
func (vm *VM) Reattach(ctx context.Context) error {
	old := vm.now()
	if !isClosed(old.done) || old.lost == nil {
		return nil
	}
	remote, ok := vm.h.(host.Remote)
	ref := vm.Ref()
	if !ok || ref == nil || vm.machine.EventLog == "" {
		return errors.New("cannot take the guest up again: it was started to be watched at all times")
	}
	seen := &sight{done: make(chan struct{})}
	proc, err := remote.Reattach(ctx, *ref)
	switch {
	case errors.Is(err, host.ErrNotFound):
		vm.ends(Crash, "nothing is left of it on "+remote.Name())
		close(seen.done)
		seen.proc, seen.mon = old.proc, old.mon
		vm.see(seen)
		return nil
	case err != nil:
		return fmt.Errorf("cannot take the guest up again: %w", err)
	}
	seen.proc = proc
	limit, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("its monitor did not answer within %s", startTime))
	defer cancel()
	if err := vm.dial(limit, seen); err != nil && (!isClosed(proc.Done()) || errors.Is(err, host.ErrDisconnected)) {
		return fmt.Errorf("cannot take the guest up again: %w", err)
	}
	if seen.mon == nil { // it has ended
		seen.mon = old.mon
	}
	vm.see(seen)
	err = vm.replay() // before its end is settled
	go vm.await(seen) //nolint:gosec // G118: it lives as long as QEMU, ctx bounds the beginning only
	if err != nil {
		return fmt.Errorf("cannot take the guest up again: %w", err)
	}
	return nil
}

func (vm *VM) see(s *sight) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	vm.sight = s
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
