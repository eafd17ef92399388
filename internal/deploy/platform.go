package deploy

import (
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// Platform is what an image wants of the machine that boots it.
type Platform struct {
	UEFI   bool // else BIOS
	Secure bool // Secure Boot in force, with the keys of Microsoft; only with UEFI
	TPM    bool // of version 2.0
}

// Platform tells what the image wants: it is as it was built. Where nobody knows, an EFI system partition asks for UEFI,
// and arm64 has no other. Only then is the image read.
func (i Image) Platform() (Platform, error) {
	p := Platform{UEFI: i.Arch == host.ARM64 || i.Firmware == qemu.UEFI, TPM: i.TPM}
	if i.Firmware == qemu.UEFISecure {
		p.UEFI, p.Secure = true, true
	}
	if p.UEFI || i.Firmware != "" {
		return p, nil
	}
	d, err := disk.Open(i.Host, i.Path)
	if err != nil {
		return p, err
	}
	defer d.Close()
	p.UEFI, err = d.HasESP()
	return p, err
}
