package build

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// refusal is what a boot under Secure Boot prints when a signature does not hold: the firmware of a boot loader, or of its
// own shell when there is none; shim of the second boot loader; GRUB of a kernel.
var refusal = regexp.MustCompile(`(?:BdsDxe: failed|Verification failed).*(?:Access Denied|Security Violation)|bad shim signature`)

var errRefused = &hintError{
	errors.New("nothing on the disk may boot under Secure Boot"),
	"/EFI/BOOT, the removable path, must hold the distribution's shim, signed by Microsoft, with its signed GRUB beside it. On " +
		"Debian and Ubuntu have shim-signed and grub-efi-amd64-signed (grub-efi-arm64-signed) installed with the boot loader, and " +
		"grub-installer/force-efi-extra-removable set. The kernel must be the distribution's own, too.",
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
			if text, err := st.console(); err == nil && refusal.Match(text) {
				cancel(errRefused)
			}
		}
	}()
	return st.whileUp(boots, f)
}
