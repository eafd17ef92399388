package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// programs is a host that has some programs and, for "broken", cannot look.
type programs struct {
	host.Runner
	paths map[string]string
}

var errBroken = errors.New("the connection is gone")

func (p programs) LookPath(name string) (string, error) {
	if p.paths["broken"] != "" {
		return "", errBroken
	}
	if path, ok := p.paths[name]; ok {
		return path, nil
	}
	return "", fmt.Errorf("%s: %w", name, host.ErrNotFound)
}

func TestFindBinary(t *testing.T) {
	all := map[string]string{
		"qemu-system-x86_64": "/usr/bin/qemu-system-x86_64", "qemu-system-aarch64": "/opt/homebrew/bin/qemu-system-aarch64",
		"qemu-img": "/usr/bin/qemu-img", "swtpm": "/usr/bin/swtpm",
	}
	system := func(arch host.Arch) func(host.Runner) (string, error) {
		return func(h host.Runner) (string, error) { return FindBinary(h, arch) }
	}
	for name, c := range map[string]struct {
		find func(host.Runner) (string, error)
		path string
		says []string // when it is missing: the program, and the package by distribution
	}{
		"x86_64":   {system(host.X86_64), all["qemu-system-x86_64"], []string{"qemu-system-x86_64: ", "qemu-system-x86 (Debian", "qemu (Homebrew)"}},
		"arm64":    {system(host.ARM64), all["qemu-system-aarch64"], []string{"qemu-system-aarch64: ", "qemu-system-arm (Debian", "qemu (Homebrew)"}},
		"swtpm":    {FindSwtpm, all["swtpm"], []string{"swtpm: ", "swtpm (Debian", "Homebrew)"}},
		"qemu-img": {FindImg, all["qemu-img"], []string{"qemu-img: ", "qemu-utils (Debian", "qemu (Homebrew)"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.find(programs{paths: all}); got != c.path || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, c.path)
			}
			_, err := c.find(programs{})
			if !errors.Is(err, host.ErrNotFound) {
				t.Fatalf("got %v", err)
			}
			for _, want := range append(c.says, "install the package ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			_, err = c.find(programs{paths: map[string]string{"broken": "x"}})
			if !errors.Is(err, errBroken) || errors.Is(err, host.ErrNotFound) || !strings.HasPrefix(err.Error(), "cannot look for ") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := FindBinary(programs{paths: all}, "riscv64"); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v", err)
	}
}

// tree makes empty files below a new root.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, file := range files {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFindFirmware(t *testing.T) {
	const (
		ovmf4M   = "/usr/share/OVMF/OVMF_CODE_4M.fd"
		ovmf4Mv  = "/usr/share/OVMF/OVMF_VARS_4M.fd"
		ovmf     = "/usr/share/OVMF/OVMF_CODE.fd"
		ovmfv    = "/usr/share/OVMF/OVMF_VARS.fd"
		aavmf    = "/usr/share/AAVMF/AAVMF_CODE.fd"
		aavmfNo  = "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd"
		aavmfv   = "/usr/share/AAVMF/AAVMF_VARS.fd"
		ovmfMS   = "/usr/share/OVMF/OVMF_CODE_4M.ms.fd"
		ovmfMSv  = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
		aavmfMS  = "/usr/share/AAVMF/AAVMF_CODE.ms.fd"
		aavmfMSv = "/usr/share/AAVMF/AAVMF_VARS.ms.fd"
		brew     = "/opt/homebrew/share/qemu/edk2-"
		brewX86  = "/usr/local/share/qemu/edk2-"
		missing  = "install the package "
		fedoraX  = "/usr/share/edk2/ovmf/OVMF_"
		fedoraA  = "/usr/share/edk2/aarch64/"
		archX    = "/usr/share/edk2/x64/OVMF_"
	)
	for name, c := range map[string]struct {
		files      []string
		arch       host.Arch
		firmware   string
		code, vars string
		says       string // in the error
	}{
		"bios needs no file":      {nil, host.X86_64, BIOS, "", "", ""},
		"arm64 has no bios":       {[]string{aavmf, aavmfv}, host.ARM64, BIOS, aavmf, aavmfv, ""},
		"debian, both sizes":      {[]string{ovmf, ovmfv, ovmf4M, ovmf4Mv}, host.X86_64, UEFI, ovmf4M, ovmf4Mv, ""},
		"debian 11":               {[]string{ovmf, ovmfv}, host.X86_64, UEFI, ovmf, ovmfv, ""},
		"code without variables":  {[]string{ovmf4M, ovmf, ovmfv}, host.X86_64, UEFI, ovmf, ovmfv, ""},
		"debian 13, arm64":        {[]string{aavmf, aavmfNo, aavmfv}, host.ARM64, UEFI, aavmfNo, aavmfv, ""},
		"debian 12, arm64":        {[]string{aavmf, aavmfv}, host.ARM64, UEFI, aavmf, aavmfv, ""},
		"fedora":                  {[]string{fedoraX + "CODE.fd", fedoraX + "VARS.fd"}, host.X86_64, UEFI, fedoraX + "CODE.fd", fedoraX + "VARS.fd", ""},
		"fedora, arm64":           {[]string{fedoraA + "QEMU_EFI-pflash.raw", fedoraA + "vars-template-pflash.raw"}, host.ARM64, UEFI, fedoraA + "QEMU_EFI-pflash.raw", fedoraA + "vars-template-pflash.raw", ""},
		"arch":                    {[]string{archX + "CODE.4m.fd", archX + "VARS.4m.fd"}, host.X86_64, UEFI, archX + "CODE.4m.fd", archX + "VARS.4m.fd", ""},
		"arch, arm64":             {[]string{fedoraA + "QEMU_CODE.fd", fedoraA + "QEMU_VARS.fd"}, host.ARM64, UEFI, fedoraA + "QEMU_CODE.fd", fedoraA + "QEMU_VARS.fd", ""},
		"fedora, qcow2":           {[]string{fedoraX + "CODE_4M.qcow2", fedoraX + "VARS_4M.qcow2", fedoraX + "CODE.fd", fedoraX + "VARS.fd"}, host.X86_64, UEFI, fedoraX + "CODE_4M.qcow2", fedoraX + "VARS_4M.qcow2", ""},
		"fedora, arm64, qcow2":    {[]string{fedoraA + "QEMU_EFI-pflash.qcow2", fedoraA + "vars-template-pflash.qcow2"}, host.ARM64, UEFI, fedoraA + "QEMU_EFI-pflash.qcow2", fedoraA + "vars-template-pflash.qcow2", ""},
		"debian, secure":          {[]string{ovmf4M, ovmf4Mv, ovmfMS, ovmfMSv}, host.X86_64, UEFISecure, ovmfMS, ovmfMSv, ""},
		"debian, secure, arm64":   {[]string{aavmf, aavmfv, aavmfMS, aavmfMSv}, host.ARM64, UEFISecure, aavmfMS, aavmfMSv, ""},
		"fedora, secure":          {[]string{fedoraX + "CODE.secboot.fd", fedoraX + "VARS.secboot.fd"}, host.X86_64, UEFISecure, fedoraX + "CODE.secboot.fd", fedoraX + "VARS.secboot.fd", ""},
		"fedora, secure, qcow2":   {[]string{fedoraX + "CODE_4M.secboot.qcow2", fedoraX + "VARS_4M.secboot.qcow2"}, host.X86_64, UEFISecure, fedoraX + "CODE_4M.secboot.qcow2", fedoraX + "VARS_4M.secboot.qcow2", ""},
		"secure code, no keys":    {[]string{ovmfMS, ovmf4Mv}, host.X86_64, UEFISecure, "", "", missing + "ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora). Arch"},
		"fedora, no arm64 keys":   {[]string{fedoraA + "QEMU_EFI-pflash.raw", fedoraA + "vars-template-pflash.raw"}, host.ARM64, UEFISecure, "", "", missing + "qemu-efi-aarch64 (Debian, Ubuntu). Fedora"},
		"homebrew on Apple":       {[]string{brew + "aarch64-code.fd", brew + "arm-vars.fd"}, host.ARM64, UEFI, brew + "aarch64-code.fd", brew + "arm-vars.fd", ""},
		"homebrew on Intel":       {[]string{brewX86 + "x86_64-code.fd", brewX86 + "i386-vars.fd"}, host.X86_64, UEFI, brewX86 + "x86_64-code.fd", brewX86 + "i386-vars.fd", ""},
		"nothing":                 {nil, host.X86_64, UEFI, "", "", missing + "ovmf (Debian, Ubuntu), edk2-ovmf (Fedora, Arch)"},
		"nothing, arm64":          {nil, host.ARM64, UEFI, "", "", missing + "qemu-efi-aarch64 (Debian, Ubuntu), edk2-aarch64 (Fedora, Arch)"},
		"nothing, arm64 bios":     {nil, host.ARM64, BIOS, "", "", missing + "qemu-efi-aarch64"},
		"code alone":              {[]string{ovmf4M}, host.X86_64, UEFI, "", "", missing + "ovmf"},
		"of another architecture": {[]string{aavmf, aavmfv}, host.X86_64, UEFI, "", "", missing + "ovmf"},
		"unknown":                 {[]string{ovmf, ovmfv}, host.X86_64, "coreboot", "", "", `unknown firmware "coreboot"`},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, c.files...)
			got, err := findFirmware(host.NewLocal(), root, c.arch, c.firmware)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrNoFirmware) != strings.HasPrefix(c.says, missing) {
					t.Errorf("got %+v, %v; want %q", got, err, c.says)
				}
				return
			}
			want := Firmware{Name: BIOS}
			if c.code != "" {
				want = Firmware{max(c.firmware, UEFI), filepath.Join(root, c.code), filepath.Join(root, c.vars), "raw"} // bios gives uefi
				if strings.HasSuffix(c.code, ".qcow2") {
					want.Format = "qcow2"
				}
			}
			if err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// forbidden is a file system that may not be looked at.
type forbidden struct{ host.Files }

func (forbidden) Stat(path string) (fs.FileInfo, error) {
	return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrPermission}
}

// Not being able to look is not the same as its not being there.
func TestFindFirmwareCannotLook(t *testing.T) {
	_, err := FindFirmware(t.Context(), forbidden{}, host.X86_64, UEFI)
	if !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrNoFirmware) {
		t.Errorf("got %v", err)
	}
}
