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

const (
	// startTime bounds the time from QEMU's start to its monitor's greeting.
	startTime = 30 * time.Second
	// attachEvery is how often QEMU's monitor is tried until it is there.
	attachEvery = 20 * time.Millisecond
	// lastWords is how long after QEMU's end its monitor may still deliver events.
	lastWords = 2 * time.Second
	// maxSocketPath is the longest path of a socket in bytes, on macOS, without the closing zero (sockaddr_un).
	maxSocketPath = 103
)

// VM is a running guest. All methods are safe for concurrent use, also after its end.
type VM struct {
	h       host.Host
	machine Machine
	ssh     string

	mu sync.Mutex
	*sight
	exit Exit
}

// sight is how a guest is seen. Another one takes its place when it was lost.
type sight struct {
	proc host.Process
	mon  *monitor
	done chan struct{} // closed when the guest has ended and exit is known, or lost
	lost error         // wraps host.ErrDisconnected: the guest goes on where we cannot see it; set before done is closed
}

// Start runs a machine's QEMU and lets the guest go once its monitor answers; ctx bounds the start only. The error of
// a QEMU that ends at once holds its message.
func Start(ctx context.Context, h host.Host, m Machine) (*VM, error) {
	if len(m.QMPSocket) > maxSocketPath {
		return nil, fmt.Errorf("cannot start QEMU: the path of its socket is longer than %d bytes: %s", maxSocketPath, m.QMPSocket)
	}
	// An old socket may lead to another QEMU.
	if err := host.RemoveIfExists(h, m.QMPSocket); err != nil {
		return nil, fmt.Errorf("cannot start QEMU: cannot remove the socket of an earlier one: %w", err)
	}
	if err := makeEventLog(ctx, h, m); err != nil {
		return nil, fmt.Errorf("cannot start QEMU: %w", err)
	}
	if m.hidesAppend() {
		if err := host.WriteFile(h, m.AppendFile, m.appendFile(), 0o600); err != nil {
			return nil, fmt.Errorf("cannot start QEMU: %w", err)
		}
	}
	proc, err := h.Start(ctx, host.Cmd{Argv: m.Argv()})
	if err != nil {
		return nil, fmt.Errorf("cannot start QEMU: %w", err)
	}
	vm := &VM{h: h, machine: m, sight: &sight{proc: proc, done: make(chan struct{})}}
	limit, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("its monitor did not answer within %s", startTime))
	defer cancel()
	if err := vm.attach(limit); err != nil {
		err = fmt.Errorf("cannot start QEMU: %w", errors.Join(err, proc.Terminate(context.WithoutCancel(ctx))))
		if vm.mon != nil {
			_ = vm.mon.Disconnect() // QEMU is gone
		}
		return nil, err
	}
	go vm.await(vm.sight) //nolint:gosec // G118: it lives as long as QEMU, ctx bounds the start only
	return vm, nil
}

// attach connects to the monitor of the paused machine, asks for the port that leads to the guest's SSH server, and
// lets the guest go.
func (vm *VM) attach(ctx context.Context) error {
	if err := vm.dial(ctx, vm.sight); err != nil {
		return err
	}
	commands := vm.mon.typed(ctx)
	v, err := commands.QueryVersion()
	if err != nil {
		return err
	}
	if v.Qemu.Major < 7 || v.Qemu.Major == 7 && v.Qemu.Minor < 2 {
		return fmt.Errorf("it is version %d.%d, the oldest supported one is 7.2", v.Qemu.Major, v.Qemu.Minor)
	}
	table, err := commands.HumanMonitorCommand("info usernet", nil)
	if err != nil {
		return err
	}
	port := forwarded.FindStringSubmatch(table)
	if port == nil {
		return fmt.Errorf("it forwards no port to the guest: %q", table)
	}
	vm.ssh = "127.0.0.1:" + port[1]
	if err := beginEventLog(ctx, vm.h, vm.machine); err != nil {
		return err
	}
	return commands.Cont()
}

// dial tries the monitor's socket until it is there or QEMU has ended.
func (vm *VM) dial(ctx context.Context, s *sight) error {
	tick := time.NewTicker(attachEvery)
	defer tick.Stop()
	for {
		mon, err := dialMonitor(ctx, vm.h, vm.machine.QMPSocket, vm.event)
		if err == nil {
			s.mon = mon
			return nil
		}
		select {
		case <-s.proc.Done():
			if err := s.proc.Wait(ctx); err != nil {
				return err
			}
			return errors.New("it ended at once, without a message")
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// forwarded finds the host's port in a line of "info usernet": "  TCP[HOST_FORWARD]  12  127.0.0.1 43210  10.0.2.15  22 …".
var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+22\s`)

// await settles how the guest ended once QEMU has.
func (vm *VM) await(s *sight) {
	defer close(s.done)
	err := s.proc.Wait(context.Background())
	select {
	case <-s.mon.done: // its last events have been read
	case <-time.After(lastWords):
	}
	_ = s.mon.Disconnect() // QEMU is gone, or out of reach
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if errors.Is(err, host.ErrDisconnected) {
		s.lost = err
		return
	}
	vm.exit = vm.exit.settle(err)
}

// ends notes the first reason; those that follow are its consequences.
func (vm *VM) ends(r Reason, detail string) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.exit.Reason == "" {
		vm.exit = Exit{r, detail}
	}
}

// SSHAddr is the address on the host that leads to the guest's port 22.
func (vm *VM) SSHAddr() string { return vm.ssh }

// PID is QEMU's process id on the host.
func (vm *VM) PID() int { return vm.now().proc.PID() }

// now is how the guest is seen now.
func (vm *VM) now() *sight {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return vm.sight
}

// Ref is how QEMU is found again on another machine; nil for one of our own.
func (vm *VM) Ref() *host.ProcessRef { return refOf(vm.now().proc) }

func refOf(proc host.Process) *host.ProcessRef {
	p, ok := proc.(interface{ Ref() host.ProcessRef })
	if !ok {
		return nil
	}
	ref := p.Ref()
	return &ref
}

// Done is closed when the guest has ended, or the connection to its machine is lost.
func (vm *VM) Done() <-chan struct{} { return vm.now().done }

// Wait waits for the guest's end. The error is that of ctx, or wraps host.ErrDisconnected: then nothing is known of the
// guest, which goes on.
func (vm *VM) Wait(ctx context.Context) (Exit, error) {
	s := vm.now()
	select {
	case <-s.done:
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if s.lost != nil {
		return Exit{}, fmt.Errorf("cannot tell what became of the guest: %w", s.lost)
	}
	return vm.exit, nil
}

// Powerdown presses the guest's power button.
func (vm *VM) Powerdown(ctx context.Context) error {
	if err := vm.now().mon.typed(ctx).SystemPowerdown(); err != nil {
		return fmt.Errorf("cannot press the guest's power button: %w", err)
	}
	return nil
}

// Kill ends the guest if it still runs, without asking it, and waits for its end. It does so too when ctx has ended,
// only less gently. The error says that QEMU goes on.
func (vm *VM) Kill(ctx context.Context) error {
	s := vm.now()
	select {
	case <-s.done:
		if _, err := vm.Wait(ctx); !errors.Is(err, host.ErrDisconnected) {
			return nil
		}
	default:
	}
	vm.ends(Quit, "")
	if err := s.proc.Terminate(ctx); err != nil {
		return fmt.Errorf("cannot end the guest: %w", err)
	}
	<-s.done // at most lastWords
	return nil
}

// Release lets the guest go on without us: its monitor is free for another client. Afterwards only PID, SSHAddr, Done
// and Kill are of use.
func (vm *VM) Release() error { return vm.now().mon.Disconnect() }

// Screenshot writes the guest's screen to a PNG file on the host.
func (vm *VM) Screenshot(ctx context.Context, file string) error {
	command, err := json.Marshal(qmp.Command{Execute: "screendump", Args: map[string]string{"filename": file, "format": "png"}})
	if err == nil {
		_, err = vm.now().mon.run(ctx, command) // go-qemu's typed command is older than the format
	}
	if err != nil {
		return fmt.Errorf("cannot take a screenshot: %w", err)
	}
	return nil
}

// BytesWritten is how much the guest has written to its disk so far.
func (vm *VM) BytesWritten(ctx context.Context) (int64, error) {
	all, err := vm.now().mon.typed(ctx).QueryBlockstats(nil)
	if err != nil {
		return 0, fmt.Errorf("cannot ask QEMU for its disk statistics: %w", err)
	}
	for _, s := range all {
		if s.Device != nil && *s.Device == diskID {
			return s.Stats.WrBytes, nil
		}
	}
	return 0, errors.New("cannot find the guest's disk in QEMU's statistics")
}
