package qemu

import (
	"errors"
	"fmt"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// imgBinary is the tool that makes, converts and checks disk images.
const imgBinary = "qemu-img"

// tpmBinary is the emulator of a TPM.
const tpmBinary = "swtpm"

// systemBinary is QEMU's name for the machine emulator of an architecture.
func systemBinary(arch host.Arch) (string, error) {
	switch arch {
	case host.X86_64:
		return "qemu-system-x86_64", nil
	case host.ARM64:
		return "qemu-system-aarch64", nil
	}
	return "", fmt.Errorf("no QEMU is known for the architecture %q", arch)
}

// packages names what to install for a program, as the distributions call it.
var packages = map[string]string{
	"qemu-system-x86_64":  "qemu-system-x86 (Debian, Ubuntu, Fedora, Arch) or qemu (Homebrew)",
	"qemu-system-aarch64": "qemu-system-arm (Debian, Ubuntu), qemu-system-aarch64 (Fedora, Arch) or qemu (Homebrew)",
	imgBinary:             "qemu-utils (Debian, Ubuntu), qemu-img (Fedora, Arch) or qemu (Homebrew)",
	tpmBinary:             "swtpm (Debian, Ubuntu, Fedora, Arch, Homebrew)",
}

// FindBinary returns the path of the QEMU that runs guests of an architecture. When it is not installed the error
// wraps host.ErrNotFound and names the package to install.
func FindBinary(h host.Runner, arch host.Arch) (string, error) {
	name, err := systemBinary(arch)
	if err != nil {
		return "", err
	}
	return find(h, name)
}

// FindImg returns the path of qemu-img, with the same errors.
func FindImg(h host.Runner) (string, error) { return find(h, imgBinary) }

// FindSwtpm returns the path of swtpm, which emulates a TPM, with the same errors.
func FindSwtpm(h host.Runner) (string, error) { return find(h, tpmBinary) }

func find(h host.Runner, name string) (string, error) {
	path, err := h.LookPath(name)
	if errors.Is(err, host.ErrNotFound) {
		return "", fmt.Errorf("%w: install the package %s", err, packages[name])
	}
	if err != nil {
		return "", fmt.Errorf("cannot look for %s: %w", name, err)
	}
	return path, nil
}
