package qemu

import (
	"path"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// firmwareKind is what a table of firmware is asked for.
type firmwareKind struct {
	arch host.Arch
	name string // UEFI or UEFISecure
}

// flash is a code image and the template of its variables.
type flash struct{ code, vars string }

// format is that of both images, by their names.
func (f flash) format() string {
	if path.Ext(f.code) == ".qcow2" {
		return "qcow2"
	}
	return "raw"
}

// firmwareFiles are where the distributions have their builds of EDK II; the first that is there is taken. The 4 MiB
// variants come before the 2 MiB ones, which are going away. For arm64 they are those padded to 64 MiB, the size of
// the virt machine's flash. The templates for Secure Boot are those with the keys of Microsoft in them; Arch and
// Homebrew have none.
var firmwareFiles = map[firmwareKind][]flash{
	{host.X86_64, UEFI}: {
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},                         // Debian, Ubuntu
		{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},                               // Debian 11, Ubuntu 20.04
		{"/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2", "/usr/share/edk2/ovmf/OVMF_VARS_4M.qcow2"},         // Fedora
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},                     // Fedora, CentOS Stream 9
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},                 // Arch
		{"/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"}, // Homebrew on Apple silicon
		{"/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"},       // Homebrew on Intel
	},
	{host.X86_64, UEFISecure}: {
		{"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},
		{"/usr/share/OVMF/OVMF_CODE.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.qcow2", "/usr/share/edk2/ovmf/OVMF_VARS_4M.secboot.qcow2"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"},
	},
	{host.ARM64, UEFI}: {
		{"/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},                         // Debian 13
		{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},                                    // Debian, Ubuntu
		{"/usr/share/edk2/aarch64/QEMU_EFI-pflash.qcow2", "/usr/share/edk2/aarch64/vars-template-pflash.qcow2"}, // Fedora
		{"/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"},
		{"/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"}, // Arch
		{"/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"},
		{"/usr/local/share/qemu/edk2-aarch64-code.fd", "/usr/local/share/qemu/edk2-arm-vars.fd"},
	},
	{host.ARM64, UEFISecure}: {
		{"/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd"},
	},
}

var firmwarePackages = map[firmwareKind]string{
	{host.X86_64, UEFI}: "ovmf (Debian, Ubuntu), edk2-ovmf (Fedora, Arch) or qemu (Homebrew)",
	{host.X86_64, UEFISecure}: "ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora). Arch and Homebrew have no firmware with " +
		"Microsoft's keys: build on another machine there",
	{host.ARM64, UEFI}: "qemu-efi-aarch64 (Debian, Ubuntu), edk2-aarch64 (Fedora, Arch) or qemu (Homebrew)",
	{host.ARM64, UEFISecure}: "qemu-efi-aarch64 (Debian, Ubuntu). Fedora, Arch and Homebrew have no firmware with " +
		"Microsoft's keys: build on another machine there",
}
