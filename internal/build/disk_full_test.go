package build

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// written is how much the guest of writer writes, in bytes.
const written = 64 << 20

// writer writes to the first disk, 64 KiB at a time, by INT 13h's extended write, and resets the machine after written.
// Source of the call: the specification of the BIOS's enhanced disk drive services; of the registers' values: kernel.
func writer() []byte {
	code := append([]byte{
		0xbe, 0xc0, 0x02, // mov si, 2c0h: the packet below, as the kernel's segment sees it
		0xb8, 0x00, 0x43, // mov ax, 4300h
		0xb2, 0x80, // mov dl, 80h
		0xcd, 0x13, // int 13h
		0x83, 0x06, 0xc8, 0x02, 0x7f, // add word [2c8h], 7fh: the next block
		0x83, 0x16, 0xca, 0x02, 0x00, // adc word [2cah], 0
		0x83, 0x3e, 0xca, 0x02, written / 512 >> 16, // cmp word [2cah], …
		0x72, 0xe5, // jb to the begin
	}, reboot...)
	packet := []byte{0x10, 0, 0x7f, 0, 0, 0, 0x00, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0} // 127 sectors of the BIOS itself, to block 0
	return append(append(code, make([]byte, 0x2c0-0x268-len(code))...), packet...)
}

// TestDiskFull fills a remote's disk under a build: it says whose, and leaves nothing. With room there it goes on.
func TestDiskFull(t *testing.T) {
	qemutest.Need(t)
	for name, c := range map[string]struct {
		left int64
		says string
	}{
		"no room for a new disk":       {64 << 10, "cannot create the disk"},
		"no room for the installer":    {2 << 20, "initrd"},
		"no room for the guest's data": {written / 4, "the guest's disk cannot grow any more"},
	} {
		t.Run(name, func(t *testing.T) {
			const room = 2 * spaceNeeded // takes memory only as it is written to
			m := hosttest.StartMachine(t, hosttest.MachineOptions{Size: room})
			files := installer(writer())
			files["initrd.gz"] = make([]byte, 4<<20)
			b, s := testBuildOn(t, m.Connect(t), files)
			b.Store = cache.NewRemoteStore(b.Host, hosttest.WorkDir, "/var/tmp", cache.NewStore(host.NewLocal(), t.TempDir(), t.TempDir()))
			b.Progress = func(_ context.Context, text string) {
				if t.Log(text); strings.Contains(text, "install: begin") { // after it was seen that there is room
					m.Leave(c.left)
				}
			}
			fails(t, b, s, "install", "disk full on test", c.says, "Free some space below "+hosttest.WorkDir, "the remote's work_dir")
			onlyLogsOn(t, m, s)

			b.Progress = func(_ context.Context, text string) { t.Log(text) }
			m.Leave(room)
			fails(t, b, s, "install", "without running the post-install script") // all was written
			onlyLogsOn(t, m, s)
		})
	}
}

// onlyLogsOn is onlyLogs for a build on a machine.
func onlyLogsOn(t *testing.T, m *hosttest.Machine, s Spec) {
	t.Helper()
	for _, p := range m.Processes() {
		if strings.Contains(p, "qemu") {
			t.Errorf("left running: %s", p)
		}
	}
	onlyLogsIn(t, m.Here(hosttest.WorkDir), m.Here("/tmp"), s)
}

// TestGuestThatEndsUnderItsConnection wants the guest's end for a reason, and not what it did to a script.
func TestGuestThatEndsUnderItsConnection(t *testing.T) {
	onEachHost(t, guestThatEndsUnderItsConnection)
}

func guestThatEndsUnderItsConnection(t *testing.T, h host.Host) {
	b, s := testBuildOn(t, h, installer(halt))
	st := begun(t, b, s)
	defer st.log.Close()
	defer st.cleanUp(t.Context(), nil) //nolint:errcheck // the test is over
	st.accel.Name = qemu.TCG
	disk := st.path("empty.qcow2")
	if err := qemu.CreateDisk(t.Context(), h, disk, s.DiskSize); err != nil {
		t.Fatal(err)
	}
	m, err := st.machine(t.Context(), "test", disk)
	if err == nil {
		err = st.start(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	err = st.whileUp(t.Context(), func(ctx context.Context) error {
		go st.vm.Kill(ctx) //nolint:errcheck // seen by whileUp
		return &provision.ScriptError{Script: "x", Err: provision.ErrConnectionLost}
	})
	var ended *guestEndedError
	if !errors.As(err, &ended) || ended.exit.Reason != qemu.Quit {
		t.Errorf("got %v, want the guest's end", err)
	}
}
