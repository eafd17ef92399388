package debtest

import (
	"fmt"
	"path"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// debArch is an architecture by Debian's name, such as amd64.
type debArch string

func debianArch(arch host.Arch) (debArch, error) {
	switch arch {
	case host.X86_64:
		return "amd64", nil
	case host.ARM64:
		return "arm64", nil
	}
	return "", fmt.Errorf("debtest makes no installer for the architecture %q", arch)
}

// installer is the package that carries the installer; its name has the release number in it.
func (a debArch) installer() string { return "debian-installer-13-netboot-" + string(a) }

// images is where kernel and initrd are inside the installer package.
func (a debArch) images() string {
	return path.Join("usr/lib/debian-installer/images/13", string(a), "text/debian-installer", string(a))
}

// iso is the name of the image file.
func (a debArch) iso() string { return "debian-13-" + string(a) + "-netboot.iso" }

// releaseName is the udeb index's name in the archive's release file.
func (a debArch) releaseName() string {
	return path.Join("main/debian-installer/binary-"+string(a), "Packages.xz")
}

// index is the udeb index below a mirror's base address.
func (a debArch) index() string { return path.Join("dists", suite, a.releaseName()) }
