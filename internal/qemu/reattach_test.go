package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// later is a guest that acts after three seconds of its clock, which the firmware counts at 0x46c.
func later(act []byte) []byte {
	wait := []byte{
		0xfb, 0x31, 0xc0, 0x8e, 0xd8, 0x8b, 0x1e, 0x6c, 0x04, 0x83, 0xc3, 55, // sti; bx = now + 55 ticks
		0xf4, 0x39, 0x1e, 0x6c, 0x04, 0x72, 0xf9, // hlt until then
	}
	return append(wait, act...)
}

// remoteGuest is a guest on this machine as a remote one.
func remoteGuest(t *testing.T, guest []byte) (*hosttest.SSHD, *host.SSH, Machine, *VM) {
	t.Helper()
	server := hosttest.StartSSHD(t)
	c := server.Client()
	c.DeadAfter = 3 * time.Second
	h, err := host.DialSSH(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	_, m := testMachine(t, guest)
	m.EventLog = filepath.Join(filepath.Dir(m.QMPSocket), "events")
	vm, err := Start(t.Context(), h, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // when the test fails
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		_ = QuitAt(ctx, host.NewLocal(), m.QMPSocket)
	})
	return server, h, m, vm
}

// reattach waits until the guest is out of sight, and after what happens meanwhile takes it up again.
func reattach(t *testing.T, h *host.SSH, vm *VM, meanwhile func(ctx context.Context)) {
	t.Helper()
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := vm.Wait(limit); !errors.Is(err, host.ErrDisconnected) {
		t.Fatalf("the guest is not lost: %v", err)
	}
	meanwhile(limit)
	if err := h.Reconnect(limit); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second has nothing to do
		if err := vm.Reattach(limit); err != nil {
			t.Fatal(err)
		}
	}
}

func expectExit(t *testing.T, vm *VM, want Reason) {
	t.Helper()
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := vm.Wait(limit); err != nil || got.Reason != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	kill(t, vm)
}

// TestReattachToAGuestThatEnded has guests that end while the connection to their machine is lost.
func TestReattachToAGuestThatEnded(t *testing.T) {
	for name, c := range map[string]struct {
		guest []byte
		act   func(*VM)
		want  Reason
	}{
		"power off": {later(guestPowerOff), nil, Shutdown},
		"reboot":    {later(guestReboot), nil, Reset},
		"panic":     {later(guestPanic), nil, Panic},
		"crash":     {guestHalt, func(vm *VM) { _ = syscall.Kill(vm.PID(), syscall.SIGKILL) }, Crash},
		"quit":      {guestHalt, func(vm *VM) { _ = syscall.Kill(vm.PID(), syscall.SIGTERM) }, Quit},
	} {
		t.Run(name, func(t *testing.T) {
			server, h, _, vm := remoteGuest(t, c.guest)
			status := filepath.Join(vm.Ref().Dir, "status")
			server.Cut()
			reattach(t, h, vm, func(ctx context.Context) {
				if c.act != nil {
					c.act(vm)
				}
				for tick := time.NewTicker(50 * time.Millisecond); ; {
					if _, err := os.Stat(status); err == nil {
						return
					}
					select {
					case <-ctx.Done():
						t.Fatal("the guest does not end")
					case <-tick.C:
					}
				}
			})
			expectExit(t, vm, c.want)
		})
	}
}

// TestReattachToAGuestThatGoesOn sees its end, as from the start.
func TestReattachToAGuestThatGoesOn(t *testing.T) {
	for name, lose := range map[string]func(*hosttest.SSHD){"cut": (*hosttest.SSHD).Cut, "silent": (*hosttest.SSHD).Freeze} {
		t.Run(name, func(t *testing.T) {
			server, h, m, vm := remoteGuest(t, guestButton)
			for range 2 {
				lose(server)
				reattach(t, h, vm, func(context.Context) {})
			}
			if n, err := vm.BytesWritten(t.Context()); err != nil || n != 0 {
				t.Errorf("%d bytes, %v", n, err)
			}
			if err := vm.Screenshot(t.Context(), m.QMPSocket+".png"); err != nil {
				t.Error(err)
			}
			for !isClosed(vm.Done()) {
				if err := vm.Powerdown(t.Context()); err != nil { // a press before the guest listens is lost
					break
				}
				select {
				case <-vm.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
			expectExit(t, vm, Shutdown)
		})
	}
}

// TestReattachToAFullDisk finds a guest that QEMU has paused.
func TestReattachToAFullDisk(t *testing.T) {
	server := hosttest.StartSSHD(t)
	h := server.Connect(t)
	_, m := testMachine(t, later(guestWrite))
	rules := m.QMPSocket + ".rules"
	if err := os.WriteFile(rules, []byte("[inject-error]\nevent = \"pwritev\"\nerrno = \"28\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Disk = "blkdebug:" + rules + ":" + m.Disk
	m.EventLog = filepath.Join(filepath.Dir(m.QMPSocket), "events")
	vm, err := Start(t.Context(), h, m)
	if err != nil {
		t.Fatal(err)
	}
	server.Cut()
	reattach(t, h, vm, func(context.Context) {})
	expectExit(t, vm, DiskFull)
}
