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
	BIOS       = "bios"        // x86_64 only; SeaBIOS, part of QEMU
	UEFI       = "uefi"        // without Secure Boot
	UEFISecure = "uefi-secure" // boots only what the keys of Microsoft vouch for
)

// Firmware is what a machine boots with.
type Firmware struct {
	Name   string // BIOS, UEFI or UEFISecure
	Code   string // path of the UEFI code image, "" for BIOS
	Vars   string // path of the template of the UEFI variables, "" for BIOS
	Format string // of both, "raw" or "qcow2", "" for BIOS
}

// ErrNoFirmware is wrapped when the firmware's files are not installed.
var ErrNoFirmware = errors.New("no firmware")

// FindFirmware finds the files of a kind of firmware. arm64 has no BIOS, its guests then get UEFI. When the files are
// not installed the error wraps ErrNoFirmware and names the package to install.
func FindFirmware(_ context.Context, h host.Files, arch host.Arch, name string) (Firmware, error) {
	return findFirmware(h, "/", arch, name)
}

// findFirmware looks below root, so that a test can have a file system of another distribution.
func findFirmware(h host.Files, root string, arch host.Arch, name string) (Firmware, error) {
	switch {
	case name == BIOS && arch == host.X86_64:
		return Firmware{Name: BIOS}, nil
	case name == BIOS:
		name = UEFI
	case name != UEFI && name != UEFISecure:
		return Firmware{}, fmt.Errorf("unknown firmware %q: it is %q, %q or %q", name, BIOS, UEFI, UEFISecure)
	}
	kind := firmwareKind{arch, name}
	for _, f := range firmwareFiles[kind] {
		fw := Firmware{Name: name, Code: path.Join(root, f.code), Vars: path.Join(root, f.vars), Format: f.format()}
		found, err := allExist(h, fw.Code, fw.Vars)
		if err != nil {
			return Firmware{}, fmt.Errorf("cannot look for UEFI firmware: %w", err)
		}
		if found {
			return fw, nil
		}
	}
	return Firmware{}, fmt.Errorf("%w %q for %s guests: install the package %s", ErrNoFirmware, name, arch, firmwarePackages[kind])
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
