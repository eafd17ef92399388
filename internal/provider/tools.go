package provider

import (
	"context"
	"errors"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// tools looks for the programs and the firmware that a build needs, so that the lack of one is known before
// anything is downloaded. The errors name the packages to install.
func tools(ctx context.Context, h host.Host, s build.Spec) error {
	_, binary := qemu.FindBinary(h, s.Arch)
	_, img := qemu.FindImg(h)
	_, firmware := qemu.FindFirmware(ctx, h, s.Arch, s.Firmware)
	errs := []error{binary, img, firmware}
	if s.Firmware == qemu.UEFISecure {
		_, installs := qemu.FindFirmware(ctx, h, s.Arch, build.InstallFirmware(s.Firmware))
		errs = append(errs, installs)
	}
	if s.TPM {
		_, tpm := qemu.FindSwtpm(h)
		errs = append(errs, tpm)
	}
	return errors.Join(errs...)
}
