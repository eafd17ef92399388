//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/media"
)

// cloneTime bounds the boot of a clone under emulation.
const cloneTime = 15 * time.Minute

// The clone tells about itself on the serial console, between two markers, and powers off.
const cloneUserData = `#cloud-config
runcmd:
  - - sh
    - -c
    - |
      {
        echo; echo CLONE-BEGIN
        echo "hostname=$(hostname)"
        echo "machine-id=$(cat /etc/machine-id)"
        echo "motd=$(cat /etc/motd)"
        echo "apt=$(grep -rsi -e proxy -e unauthenticated /etc/apt/apt.conf /etc/apt/apt.conf.d | tr '\n' ' ')"
        echo "authorized=$(cat /root/.ssh/authorized_keys 2>/dev/null | wc -l)"
        firmware=bios
        [ ! -d /sys/firmware/efi ] || firmware=uefi
        [ "$(cat /sys/firmware/efi/efivars/SecureBoot-* 2>/dev/null | od -An -tu1 -j4 -N1 | tr -d ' ')" != 1 ] || firmware=uefi-secure
        echo "firmware=$firmware"
        for k in /etc/ssh/ssh_host_*_key.pub; do echo "hostkey=$(cut -d' ' -f1,2 "$k")"; done
        echo CLONE-END
      } >/dev/console
power_state: {mode: poweroff, timeout: 60}
`

// clone is a machine made from an image.
type clone struct {
	image, format string
	device        []string // QEMU's arguments for the disk and its controller; the drive is called "disk"
}

// pc is a machine with BIOS.
var pc = []string{"qemu-system-x86_64", "-machine", "q35", "-cpu", "max"}

// boot boots the clone and returns what it said about itself.
func (c clone) boot(t *testing.T) map[string][]string {
	t.Helper()
	return c.start(t, pc, cloneUserData)
}

// bootOn is boot on another machine: QEMU and its arguments for the board.
func (c clone) bootOn(t *testing.T, machine []string) map[string][]string {
	t.Helper()
	return c.start(t, machine, cloneUserData)
}

// bootWith boots the clone and returns what it said between the markers.
func (c clone) bootWith(t *testing.T, userData string) map[string][]string {
	t.Helper()
	return c.start(t, pc, userData)
}

// start boots the clone with a NoCloud seed, as a person would on the command line, and returns what it said between the
// markers. The image is not written to.
func (c clone) start(t *testing.T, machine []string, userData string) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	seed, err := media.Seed(map[string][]byte{
		"meta-data": []byte("instance-id: clone-1\nlocal-hostname: clone-1\n"),
		"user-data": []byte(userData),
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "seed.iso"), seed, 0o600))
	console := filepath.Join(dir, "console.log")
	args := slices.Concat([]string{strconv.Itoa(int(cloneTime.Seconds()))}, machine, []string{
		"-accel", "tcg", "-m", "1024", "-display", "none", "-snapshot",
		"-smbios", "type=11,value=io.systemd.credential:sysctl.extra=kernel.randomize_va_space=0", // faster under emulation
		"-drive", "if=none,id=disk,format=" + c.format + ",file=" + c.image,
		"-cdrom", filepath.Join(dir, "seed.iso"),
		"-nic", "user,model=virtio-net-pci", "-serial", "file:" + console,
	}, c.device)
	qemu := exec.CommandContext(t.Context(), "timeout", args...)
	out, err := qemu.CombinedOutput()
	text, readErr := os.ReadFile(console)
	must(t, readErr)
	if err != nil {
		t.Fatalf("the clone did not power off: %v\n%s\n%s", err, out, text)
	}
	_, facts, found := strings.Cut(string(text), "CLONE-BEGIN")
	facts, _, ended := strings.Cut(facts, "CLONE-END")
	if !found || !ended {
		t.Fatalf("the clone said nothing about itself:\n%s", text)
	}
	said := map[string][]string{}
	for line := range strings.Lines(facts) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			said[name] = append(said[name], value)
		}
	}
	return said
}
