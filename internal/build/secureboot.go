package build

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// refusals are what a boot under Secure Boot prints when a signature does not hold: the firmware of a boot loader, shim
// of the second one, GRUB of a kernel.
var refusals = [][]byte{[]byte("Access Denied"), []byte("Security Violation"), []byte("bad shim signature")}

var errRefused = &hintError{
	errors.New("Secure Boot refuses what is on the disk"),
	"At /EFI/BOOT, the removable path, must be the distribution's shim, signed by Microsoft, and beside it its signed GRUB: on " +
		"Debian and Ubuntu install shim-signed and grub-efi-amd64-signed (arm64: grub-efi-arm64-signed) before the boot loader, " +
		"and set grub-installer/force-efi-extra-removable. Kernel modules and kernels must be the distribution's, too.",
}

// whileBoots is whileUp for a guest that boots: it also ends when Secure Boot refuses to, after which the firmware would
// wait for a person.
func (st *state) whileBoots(ctx context.Context, f func(context.Context) error) error {
	if st.Firmware != qemu.UEFISecure {
		return st.whileUp(ctx, f)
	}
	boots, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		tick := time.NewTicker(sshEvery)
		defer tick.Stop()
		for {
			select {
			case <-boots.Done():
				return
			case <-tick.C:
			}
			if text, err := st.console(); err == nil && refused(text) {
				cancel(errRefused)
			}
		}
	}()
	return st.whileUp(boots, f)
}

func refused(console []byte) bool {
	for _, words := range refusals {
		if bytes.Contains(console, words) {
			return true
		}
	}
	return false
}
