package provider

import (
	"context"
	"errors"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// tools looks for the programs and the firmware that a build needs, so that the lack of one is known before
// anything is downloaded. The errors name the packages to install.
func (r *runtime) tools(ctx context.Context, s build.Spec) error {
	_, binary := qemu.FindBinary(r.host, s.Arch)
	_, img := qemu.FindImg(r.host)
	_, firmware := qemu.FindFirmware(ctx, r.host, s.Arch, s.Firmware)
	return errors.Join(binary, img, firmware)
}

// stored reports whether an image is there already, so that it needs no build. It is not hashed.
func (r *runtime) stored(ctx context.Context, s build.Spec, key string) bool {
	if key == "" {
		return false
	}
	_, err := r.store.Image(ctx, s.Name, s.Arch, key)
	return err == nil
}
