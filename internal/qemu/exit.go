package qemu

import (
	"context"
	"fmt"

	"github.com/digitalocean/go-qemu/qmp"
)

// Reason is why a guest ended.
type Reason string

// How a guest ends.
const (
	Shutdown  Reason = "the guest powered off"
	Reset     Reason = "the guest rebooted" // with Machine.NoReboot
	Panic     Reason = "the guest's kernel panicked"
	DiskFull  Reason = "disk full: the guest's disk cannot grow on the host"
	DiskError Reason = "the guest's disk cannot be read or written on the host"
	Quit      Reason = "QEMU was told to quit"
	Crash     Reason = "QEMU ended by itself"
)

// Exit is how a guest ended.
type Exit struct {
	Reason Reason
	Detail string // for people, such as QEMU's last words; may be ""
}

func (e Exit) String() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

// settle is the exit once QEMU has ended with err. A QEMU that fails while it closes a guest's disk has not shut that
// guest down cleanly.
func (e Exit) settle(err error) Exit {
	switch {
	case e.Reason == "" && err == nil:
		return Exit{Crash, "without a message"}
	case err != nil && (e.Reason == "" || e.Reason == Shutdown || e.Reason == Reset):
		return Exit{Crash, err.Error()}
	}
	return e
}

// event notes why the guest ends. It is called by the monitor's reader and must not wait.
// Source: qapi/run-state.json and qapi/block-core.json of QEMU.
func (vm *VM) event(e qmp.Event) {
	switch e.Event {
	case "GUEST_PANICKED":
		vm.ends(Panic, "")
	case "BLOCK_IO_ERROR":
		if e.Data["action"] != "stop" {
			return
		}
		if full, _ := e.Data["nospace"].(bool); full {
			vm.ends(DiskFull, "")
		} else {
			vm.ends(DiskError, fmt.Sprint(e.Data["reason"]))
		}
		go vm.endPaused()
	case "SHUTDOWN":
		switch e.Data["reason"] {
		case "guest-shutdown":
			vm.ends(Shutdown, "")
		case "guest-reset":
			vm.ends(Reset, "")
		case "guest-panic":
			vm.ends(Panic, "")
		default:
			vm.ends(Quit, fmt.Sprint(e.Data["reason"]))
		}
	}
}

// endPaused ends a machine that QEMU has paused and nobody would let go again.
func (vm *VM) endPaused() {
	_ = vm.now().proc.Terminate(context.Background()) // when it fails the machine stays, and Kill says so
}
