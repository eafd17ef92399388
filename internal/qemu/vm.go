package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/digitalocean/go-qemu/qmp"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Reason is why a guest ended.
type Reason string

// How a guest ends.
const (
	Shutdown Reason = "the guest powered off"
	Reset    Reason = "the guest rebooted" // with Machine.NoReboot
	Panic    Reason = "the guest's kernel panicked"
	DiskFull Reason = "disk full: the guest's disk cannot grow on the host"
	Quit     Reason = "QEMU was told to quit"
	Crash    Reason = "QEMU ended by itself"
)

// Exit is how a guest ended.
type Exit struct {
	Reason Reason
	Detail string // QEMU's last words when it ended by itself
}

func (e Exit) String() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

// startTime bounds the time from QEMU's start to its monitor's greeting.
const startTime = 30 * time.Second

// VM is a running guest. All methods are safe for concurrent use, also after its end.
type VM struct {
	proc host.Process
	mon  *monitor
	ssh  string

	mu     sync.Mutex
	reason Reason
}

// Start runs a machine's QEMU and returns once its monitor answers; ctx bounds the start only. The error of a QEMU
// that ends at once holds its message.
func Start(ctx context.Context, h host.Host, m Machine) (*VM, error) {
	proc, err := h.Start(ctx, host.Cmd{Argv: m.Argv()})
	if err != nil {
		return nil, fmt.Errorf("cannot start QEMU: %w", err)
	}
	vm := &VM{proc: proc}
	limit, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("QEMU's monitor did not answer within %s", startTime))
	defer cancel()
	if err := vm.attach(limit, h, m.QMPSocket); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start QEMU: %w", err), proc.Terminate(context.WithoutCancel(ctx)))
	}
	return vm, nil
}

// attach connects to the monitor and asks for the port that leads to the guest's SSH server.
func (vm *VM) attach(ctx context.Context, h host.Host, socket string) error {
	for vm.mon == nil {
		mon, err := dialMonitor(ctx, h, socket, vm.event)
		if err == nil {
			vm.mon = mon
			break
		}
		select {
		case <-vm.proc.Done():
			if err := vm.proc.Wait(ctx); err != nil {
				return err
			}
			return errors.New("QEMU ended at once, without a message")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	table, err := vm.mon.typed(ctx).HumanMonitorCommand("info usernet", nil)
	if err != nil {
		return err
	}
	port := forwarded.FindStringSubmatch(table)
	if port == nil {
		return fmt.Errorf("QEMU forwards no port to the guest: %q", table)
	}
	vm.ssh = "127.0.0.1:" + port[1]
	return nil
}

// forwarded finds the host's port in a line of "info usernet": "  TCP[HOST_FORWARD]  12  127.0.0.1 43210  10.0.2.15  22 …".
var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+22\s`)

// event notes why the guest ends. Source: QEMU's qapi/run-state.json and qapi/block-core.json.
func (vm *VM) event(e qmp.Event) {
	switch e.Event {
	case "GUEST_PANICKED":
		vm.ends(Panic)
	case "BLOCK_IO_ERROR":
		if full, _ := e.Data["nospace"].(bool); full {
			vm.ends(DiskFull)
			go vm.quit() // it is paused for ever otherwise; not in the monitor's own reader
		}
	case "SHUTDOWN":
		switch e.Data["reason"] {
		case "guest-shutdown":
			vm.ends(Shutdown)
		case "guest-reset":
			vm.ends(Reset)
		case "guest-panic":
			vm.ends(Panic)
		default:
			vm.ends(Quit)
		}
	}
}

// ends notes the first reason; those that follow are its consequences.
func (vm *VM) ends(r Reason) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.reason == "" {
		vm.reason = r
	}
}

// SSHAddr is the address on the host that leads to the guest's port 22.
func (vm *VM) SSHAddr() string { return vm.ssh }

// PID is QEMU's process id on the host.
func (vm *VM) PID() int { return vm.proc.PID() }

// Done is closed when the guest has ended.
func (vm *VM) Done() <-chan struct{} { return vm.proc.Done() }

// Wait waits for the guest's end. The error is that of ctx.
func (vm *VM) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-vm.proc.Done():
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
	<-vm.mon.done // its last events have been read
	err := vm.proc.Wait(ctx)
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.reason != "" {
		return Exit{Reason: vm.reason}, nil
	}
	detail := "without a message"
	if err != nil {
		detail = err.Error()
	}
	return Exit{Crash, detail}, nil
}

// Powerdown presses the guest's power button.
func (vm *VM) Powerdown(ctx context.Context) error { return vm.mon.typed(ctx).SystemPowerdown() }

// Kill ends the guest if it still runs, without asking it.
func (vm *VM) Kill(ctx context.Context) error {
	vm.ends(Quit)
	err := vm.proc.Terminate(ctx)
	_ = vm.mon.Disconnect() // QEMU is gone
	return err
}

func (vm *VM) quit() {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := vm.mon.typed(ctx).Quit(); err != nil && !errors.Is(err, errMonitorClosed) {
		_ = vm.proc.Terminate(ctx)
	}
}

// Screenshot writes the guest's screen to a PNG file on the host. It needs QEMU 7.1.
func (vm *VM) Screenshot(ctx context.Context, file string) error {
	command, err := json.Marshal(qmp.Command{Execute: "screendump", Args: map[string]string{"filename": file, "format": "png"}})
	if err != nil {
		return err
	}
	_, err = vm.mon.run(ctx, command)
	return err
}

// BytesWritten is how much the guest has written to its disks so far.
func (vm *VM) BytesWritten(ctx context.Context) (int64, error) {
	all, err := vm.mon.typed(ctx).QueryBlockstats(nil)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, s := range all {
		n += s.Stats.WrBytes
	}
	return n, nil
}
