package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// The kinds of firmware a guest can boot with.
const (
	BIOS = "bios" // x86_64 only; SeaBIOS, part of QEMU
	UEFI = "uefi" // without Secure Boot
)

// Firmware is what a machine boots with.
type Firmware struct {
	Name string // BIOS or UEFI
	Code string // path of the UEFI code image, "" for BIOS
	Vars string // path of the template of the UEFI variables, "" for BIOS
}

// ErrNoFirmware is wrapped when the firmware's files are not installed.
var ErrNoFirmware = errors.New("no UEFI firmware")

// uefiFiles are the code and variables images without Secure Boot by distribution, in raw format and, for arm64,
// padded to 64 MiB as QEMU's virt machine wants them. The 4 MiB variant comes first: the 2 MiB one is going away.
var uefiFiles = map[host.Arch][]struct{ code, vars string }{
	host.X86_64: {
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},         // Debian, Ubuntu
		{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},               // Debian 11, Ubuntu 20.04
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},     // Fedora
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"}, // Arch
		{"/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"},
		{"/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"},
	},
	host.ARM64: {
		{"/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},                     // Debian 13
		{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},                                // Debian, Ubuntu
		{"/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"}, // Fedora
		{"/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"},                    // Arch
		{"/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"},
		{"/usr/local/share/qemu/edk2-aarch64-code.fd", "/usr/local/share/qemu/edk2-arm-vars.fd"},
	},
}

var uefiPackages = map[host.Arch]string{
	host.X86_64: "ovmf (Debian, Ubuntu), edk2-ovmf (Fedora, Arch) or qemu (Homebrew)",
	host.ARM64:  "qemu-efi-aarch64 (Debian, Ubuntu), edk2-aarch64 (Fedora, Arch) or qemu (Homebrew)",
}

// FindFirmware finds the files of a kind of firmware, BIOS or UEFI. arm64 has no BIOS, its guests always get UEFI.
// When the files are not installed the error wraps ErrNoFirmware and names the package to install.
func FindFirmware(_ context.Context, h host.Files, arch host.Arch, name string) (Firmware, error) {
	return findFirmware(h, "/", arch, name)
}

// findFirmware looks below root, so that a test can have a file system of another distribution.
func findFirmware(h host.Files, root string, arch host.Arch, name string) (Firmware, error) {
	switch {
	case name == BIOS && arch == host.X86_64:
		return Firmware{Name: BIOS}, nil
	case name != BIOS && name != UEFI:
		return Firmware{}, fmt.Errorf("unknown firmware %q: it is %q or %q", name, BIOS, UEFI)
	}
	for _, f := range uefiFiles[arch] {
		fw := Firmware{Name: UEFI, Code: path.Join(root, f.code), Vars: path.Join(root, f.vars)}
		found, err := allExist(h, fw.Code, fw.Vars)
		if err != nil {
			return Firmware{}, fmt.Errorf("cannot look for UEFI firmware: %w", err)
		}
		if found {
			return fw, nil
		}
	}
	return Firmware{}, fmt.Errorf("%w for %s guests: install the package %s", ErrNoFirmware, arch, uefiPackages[arch])
}

func allExist(h host.Files, paths ...string) (bool, error) {
	for _, p := range paths {
		if _, err := h.Stat(p); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}
