package build

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// needs skips a test where something is not installed. In CI it is.
func needs(t *testing.T, err error) {
	t.Helper()
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
}

// What the firmware does not let boot ends a build at once, and not when the wait for SSH does.
func TestNothingBootsUnderSecureBoot(t *testing.T) {
	onEachHost(t, func(t *testing.T, h host.Host) {
		_, err := qemu.FindFirmware(t.Context(), h, host.X86_64, qemu.UEFISecure)
		needs(t, err)
		b, s := testBuildOn(t, h, installer(halt))
		s.Firmware, s.Memory, s.Timeouts.SSH = qemu.UEFISecure, 256, 5*time.Minute
		key := emptyLayer(t, b, s)
		fails(t, b, s, "boot", "nothing on the disk may boot under Secure Boot", "shim-signed", "BdsDxe: failed")
		if err := b.Store.DeleteLayer(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		onlyLogs(t, b, s)
	})
}

func TestRefusal(t *testing.T) {
	for text, want := range map[string]bool{
		`BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0): Access Denied`: true,
		`BdsDxe: failed to start Boot0002 "EFI Internal Shell" from Fv(7CB8BDC9): Security Violation`:      true,
		"Verification failed: (0x1A) Security Violation":                                                   true,
		"error: bad shim signature.": true,
		`BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0): Not Found`: false,
		"sshd: Access Denied": false,
		"":                    false,
	} {
		if got := refusal.MatchString("boot\r\n" + text + "\r\n"); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// TestOrphanWithTPM ends the guest of a build whose process died, with its TPM, and one whose TPM is all that it came to.
func TestOrphanWithTPM(t *testing.T) { onEachHost(t, orphanWithTPM) }

func orphanWithTPM(t *testing.T, h host.Host) {
	_, err := qemu.FindSwtpm(h)
	needs(t, err)
	b, s := testBuildOn(t, h, installer(halt))
	s.TPM, s.KeepGuest, s.Timeouts.SSH = true, true, 5*time.Second
	key := emptyLayer(t, b, s)
	fails(t, b, s, "boot", "was left running")
	dir := b.Store.BuildDir(inputs(t, s).Key())
	left, err := readRecord(b.Host, filepath.Join(dir, recordFile))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(filepath.Dir(left.QMP), tpmName)
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("the guest has no TPM: %v", err)
	}
	if err := b.endGuest(t.Context(), left, dir); err != nil {
		t.Fatal(err)
	}
	ended(t, left)
	alone(t, b, filepath.Join(t.TempDir(), "build"))
	if err := b.Store.DeleteLayer(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	onlyLogs(t, b, s)
}

// alone starts a TPM, and no QEMU, as a build does that is killed in between.
func alone(t *testing.T, b *Builder, dir string) {
	t.Helper()
	run, err := os.MkdirTemp("/tmp", "pim-alone")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	tpm, err := qemu.StartTPM(t.Context(), b.Host, filepath.Join(run, tpmName))
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.End(context.WithoutCancel(t.Context())) //nolint:errcheck // it has ended
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := guestRecord{Key: strings.Repeat("0", 64), QMP: filepath.Join(run, socketName), TPM: tpm.Ref()}
	if err := b.endGuest(t.Context(), r, dir); err != nil {
		t.Fatal(err)
	}
	ended(t, r)
	if _, err := os.Stat(run); !os.IsNotExist(err) {
		t.Errorf("%s stays: %v", run, err)
	}
}
