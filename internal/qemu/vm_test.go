package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// Boot sectors for the q35 board, in real mode.
var (
	guestPowerOff = []byte{0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4} // out 0x604, 0x2000: ACPI S5
	guestReboot   = []byte{0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4}       // out 0xcf9, 6
	guestPanic    = []byte{0xba, 0x05, 0x05, 0xb0, 0x01, 0xee, 0xf4}       // out 0x505, 1: pvpanic
	guestHalt     = []byte{0xfb, 0xf4, 0xeb, 0xfc}                         // sti; hlt; jmp
	guestButton   = []byte{                                                // enable the power button's event (0x602), poll its status (0x600), power off
		0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef,
		0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf7, 0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4,
	}
	guestWrite = []byte{0xb8, 0x01, 0x03, 0xb9, 0x01, 0x00, 0xb6, 0x00, 0xb2, 0x80, 0xbb, 0x00, 0x7c, 0xcd, 0x13, 0xfb, 0xf4, 0xeb, 0xfc} // int 13h: write sector 1
)

// onEachHost runs a test on this machine, and on it as a remote one.
func onEachHost(t *testing.T, test func(t *testing.T, h host.Host)) {
	t.Run("local", func(t *testing.T) { test(t, host.NewLocal()) })
	t.Run("ssh", func(t *testing.T) { test(t, hosttest.StartSSHD(t).Connect(t)) })
}

func testMachine(t *testing.T, guest []byte) (host.Host, Machine) {
	t.Helper()
	h, binary := needX86(t)
	dir, err := os.MkdirTemp("/tmp", "pim-vm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sector := append(make([]byte, 0, 1<<20), guest...)[:1<<20]
	sector[510], sector[511] = 0x55, 0xaa
	raw, disk := filepath.Join(dir, "boot"), filepath.Join(dir, "disk,1.qcow2")
	if err := os.WriteFile(raw, sector, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := img(t.Context(), h, nil, "convert", "-f", "raw", "-O", "qcow2", raw, disk); err != nil {
		t.Fatal(err)
	}
	return h, Machine{
		Name: "pim-test", Arch: host.X86_64, Binary: binary, Accel: TCG, CPUs: 1, Memory: 64, Disk: disk, NoReboot: true,
		QMPSocket: filepath.Join(dir, "qmp"), ConsoleLog: filepath.Join(dir, "console"),
	}
}

// kill ends a guest, which must be possible at any time.
func kill(t *testing.T, vm *VM) {
	t.Helper()
	if err := vm.Kill(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestExit(t *testing.T) { onEachHost(t, exits) }

func exits(t *testing.T, h host.Host) {
	for name, c := range map[string]struct {
		guest []byte
		act   func(t *testing.T, vm *VM)
		want  Reason
	}{
		"power off": {guestPowerOff, nil, Shutdown},
		"reboot":    {guestReboot, nil, Reset},
		"panic":     {guestPanic, nil, Panic},
		"power button": {guestButton, func(t *testing.T, vm *VM) {
			for range 100 { // a press before the guest listens is lost
				if err := vm.Powerdown(t.Context()); err != nil {
					return
				}
				select {
				case <-vm.Done():
					return
				case <-time.After(200 * time.Millisecond):
				}
			}
		}, Shutdown},
		"kill": {guestHalt, func(t *testing.T, vm *VM) {
			for range 2 {
				kill(t, vm)
			}
		}, Quit},
		"killed by somebody": {guestHalt, func(_ *testing.T, vm *VM) { _ = syscall.Kill(vm.PID(), syscall.SIGKILL) }, Crash},
		"asked to quit":      {guestHalt, func(_ *testing.T, vm *VM) { _ = syscall.Kill(vm.PID(), syscall.SIGTERM) }, Quit},
	} {
		t.Run(name, func(t *testing.T) {
			_, m := testMachine(t, c.guest)
			vm, err := Start(t.Context(), h, m)
			if err != nil {
				t.Fatal(err)
			}
			defer kill(t, vm)
			if c.act != nil {
				c.act(t, vm)
			}
			limit, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			got, err := vm.Wait(limit)
			if err != nil || got.Reason != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
			kill(t, vm)
			if err := vm.Screenshot(t.Context(), m.QMPSocket+".png"); err == nil {
				t.Error("a screenshot of a guest that has ended")
			}
		})
	}
}

func TestDiskErrorEndsTheGuest(t *testing.T) {
	for errno, want := range map[string]Reason{"28": DiskFull, "5": DiskError} {
		h, m := testMachine(t, guestWrite)
		rules := m.QMPSocket + ".rules"
		if err := os.WriteFile(rules, []byte("[inject-error]\nevent = \"pwritev\"\nerrno = \""+errno+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m.Disk = "blkdebug:" + rules + ":" + m.Disk
		vm, err := Start(t.Context(), h, m)
		if err != nil {
			t.Fatal(err)
		}
		limit, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		got, err := vm.Wait(limit)
		cancel()
		if err != nil || got.Reason != want {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
		kill(t, vm)
	}
}

func TestStatsAndScreenshot(t *testing.T) { onEachHost(t, statsAndScreenshot) }

func statsAndScreenshot(t *testing.T, h host.Host) {
	_, m := testMachine(t, guestWrite)
	vm, err := Start(t.Context(), h, m)
	if err != nil {
		t.Fatal(err)
	}
	defer kill(t, vm)
	for deadline := time.Now().Add(20 * time.Second); ; {
		n, err := vm.BytesWritten(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if n > 0 {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	shot := m.QMPSocket + ".png"
	if err := vm.Screenshot(t.Context(), shot); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(shot); err != nil || !strings.HasPrefix(string(b), "\x89PNG") {
		t.Errorf("no PNG: %v", err)
	}
	if _, err := vm.mon.run(t.Context(), []byte(`{"execute":"no-such"}`)); err == nil || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("got %v", err)
	}
}

// A guest that was let go, or whose provider was killed, is ended over its socket.
func TestQuitAtEndsALeftGuest(t *testing.T) { onEachHost(t, quitAtEndsALeftGuest) }

func quitAtEndsALeftGuest(t *testing.T, h host.Host) {
	_, m := testMachine(t, guestHalt)
	vm, err := Start(t.Context(), h, m)
	if err != nil {
		t.Fatal(err)
	}
	defer kill(t, vm)
	if err := vm.Release(); err != nil { // as the death of the provider does
		t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := QuitAt(limit, h, m.QMPSocket); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Wait(limit); err != nil {
		t.Errorf("the guest goes on: %v", err)
	}
}

// QEMU takes every kind of disk and the firmware, also with commas in their names.
func TestStartEveryDevice(t *testing.T) {
	for _, firmware := range []string{BIOS, UEFI} {
		t.Run(firmware, func(t *testing.T) {
			h, m := testMachine(t, guestHalt)
			fw, err := FindFirmware(t.Context(), h, m.Arch, firmware)
			if errors.Is(err, ErrNoFirmware) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			m.Name, m.Firmware = "pim,test", fw
			dir := filepath.Dir(m.Disk)
			m.Seed, m.CDROMs = filepath.Join(dir, "seed,1"), []string{filepath.Join(dir, "a,b"), filepath.Join(dir, "c")}
			m.ConsoleLog = filepath.Join(dir, "console,log")
			for _, file := range append(m.CDROMs, m.Seed) {
				if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			vm, err := Start(t.Context(), h, m)
			if err != nil {
				t.Fatal(err)
			}
			kill(t, vm)
			if _, err := os.Stat(m.ConsoleLog); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStartErrors(t *testing.T) { onEachHost(t, startErrors) }

func startErrors(t *testing.T, h host.Host) {
	_, m := testMachine(t, guestHalt)
	m.Disk += ".missing"
	if _, err := Start(t.Context(), h, m); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("got %v", err)
	}
	_, m = testMachine(t, guestHalt)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, h, m); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A guest goes on when the connection to its machine is lost. That is no crash, and once there is a connection again it
// can be ended.
func TestLostConnection(t *testing.T) {
	server := hosttest.StartSSHD(t)
	h := server.Connect(t)
	_, m := testMachine(t, guestHalt)
	vm, err := Start(t.Context(), h, m)
	if err != nil {
		t.Fatal(err)
	}
	server.Cut()
	limit, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	defer func() { _ = QuitAt(limit, host.NewLocal(), m.QMPSocket) }() // when the test fails
	if exit, err := vm.Wait(limit); !errors.Is(err, host.ErrDisconnected) || exit != (Exit{}) {
		t.Errorf("got %v, %v; want ErrDisconnected", exit, err)
	}
	if err := vm.Kill(limit); !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("Kill: got %v, want ErrDisconnected", err)
	}
	conn, err := host.NewLocal().Dial(limit, "unix", m.QMPSocket)
	if err != nil {
		t.Fatalf("the guest does not go on: %v", err)
	}
	_ = conn.Close()
	if err := h.Reconnect(limit); err != nil {
		t.Fatal(err)
	}
	kill(t, vm)
	if conn, err := h.Dial(limit, "unix", m.QMPSocket); err == nil {
		_ = conn.Close()
		t.Error("the guest still runs")
	}
}
