package qemu

import (
	"errors"
	"testing"

	"github.com/digitalocean/go-qemu/qmp"
)

func TestSettle(t *testing.T) {
	failed := errors.New("exit status 1: cannot flush")
	for name, c := range map[string]struct {
		reason Reason
		err    error
		want   Exit
	}{
		"power off":                           {Shutdown, nil, Exit{Shutdown, ""}},
		"power off, then QEMU fails":          {Shutdown, failed, Exit{Crash, failed.Error()}},
		"reboot, then QEMU fails":             {Reset, failed, Exit{Crash, failed.Error()}},
		"killed by us":                        {Quit, failed, Exit{Quit, ""}},
		"a full disk is what went wrong":      {DiskFull, failed, Exit{DiskFull, ""}},
		"no event and no error":               {"", nil, Exit{Crash, "without a message"}},
		"no event, and QEMU's own last words": {"", failed, Exit{Crash, failed.Error()}},
	} {
		if got := (Exit{Reason: c.reason}).settle(c.err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// Events that end the guest; the first of them is the reason. Those that need a process are in TestDiskErrorEndsTheGuest.
func TestEvents(t *testing.T) {
	event := func(name, reason string) qmp.Event {
		return qmp.Event{Event: name, Data: map[string]any{"reason": reason}}
	}
	for name, c := range map[string]struct {
		events []qmp.Event
		want   Exit
	}{
		"power off":           {[]qmp.Event{event("POWERDOWN", ""), event("SHUTDOWN", "guest-shutdown")}, Exit{Shutdown, ""}},
		"reboot":              {[]qmp.Event{event("SHUTDOWN", "guest-reset")}, Exit{Reset, ""}},
		"panic":               {[]qmp.Event{event("GUEST_PANICKED", ""), event("SHUTDOWN", "guest-shutdown")}, Exit{Panic, ""}},
		"panic, told late":    {[]qmp.Event{event("SHUTDOWN", "guest-panic")}, Exit{Panic, ""}},
		"signal":              {[]qmp.Event{event("SHUTDOWN", "host-signal")}, Exit{Quit, "host-signal"}},
		"others":              {[]qmp.Event{event("RESUME", ""), event("STOP", ""), event("RTC_CHANGE", "")}, Exit{}},
		"error told to guest": {[]qmp.Event{{Event: "BLOCK_IO_ERROR", Data: map[string]any{"action": "report", "nospace": true}}}, Exit{}},
	} {
		vm := &VM{}
		for _, e := range c.events {
			vm.event(e)
		}
		if vm.exit != c.want {
			t.Errorf("%s: got %+v, want %+v", name, vm.exit, c.want)
		}
	}
}
