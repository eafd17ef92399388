// Package media reads installer ISOs and writes the small volumes a guest is configured from.
package media

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// The kinds of installer an ISO can hold.
const (
	DebianNetinst = "debian-netinst" // also the DVDs
	DebianNetboot = "debian-netboot" // mini.iso: kernel and initrd, all else comes from the mirror
	UbuntuCasper  = "ubuntu-casper"
)

var (
	// ErrNotISO is returned for what is no readable ISO 9660 volume.
	ErrNotISO = errors.New("not a readable ISO 9660 image")
	// ErrNoKernel is returned for a volume without an installer's kernel and initrd at a place we know.
	ErrNoKernel = errors.New("no installer kernel")
)

// places are where installers keep their kernel and initrd. An ISO for several architectures counts as the first.
var places = []struct {
	kind, kernel, initrd string
	arch                 host.Arch // "" where the place does not tell
}{
	{DebianNetinst, "install.amd/vmlinuz", "install.amd/initrd.gz", host.X86_64},
	{DebianNetinst, "install.a64/vmlinuz", "install.a64/initrd.gz", host.ARM64},
	{UbuntuCasper, "casper/vmlinuz", "casper/initrd", ""},
	{DebianNetboot, "linux", "initrd.gz", ""},
}

// Installer is what an ISO installs with.
type Installer struct {
	Kind string
	// Arch is what the kernel is for, "" when that is not known. It can be one no image is built for, as "i386".
	Arch host.Arch

	kernel, initrd *io.SectionReader
}

// WriteKernel copies the kernel to w.
func (i *Installer) WriteKernel(w io.Writer) error { return copyAll(w, i.kernel) }

// WriteInitrd copies the initial RAM disk to w.
func (i *Installer) WriteInitrd(w io.Writer) error { return copyAll(w, i.initrd) }

func copyAll(w io.Writer, r *io.SectionReader) error {
	_, err := io.Copy(w, io.NewSectionReader(r, 0, r.Size())) // a reader of its own: we may be called again
	return err
}

// Open looks for the installer on the ISO 9660 volume of size bytes in r, which the Installer goes on to read from.
// Errors: ErrNotISO, ErrNoKernel, or r's own.
func Open(r io.ReaderAt, size int64) (*Installer, error) {
	v, err := openVolume(r, size)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		kernel, err := v.find(p.kernel)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		initrd, err2 := v.find(p.initrd)
		if err2 != nil && !errors.Is(err2, fs.ErrNotExist) {
			return nil, err2
		}
		if err != nil || err2 != nil {
			continue
		}
		inst := &Installer{Kind: p.kind, Arch: p.arch, kernel: kernel, initrd: initrd}
		if inst.Arch == "" {
			inst.Arch = kernelArch(kernel)
		}
		return inst, nil
	}
	return nil, v.noKernel()
}

func (v *volume) noKernel() error {
	looked := make([]string, len(places))
	for i, p := range places {
		looked[i] = p.kernel + " + " + path.Base(p.initrd)
	}
	names, err := v.names(".")
	if err != nil {
		return err
	}
	const most = 30
	if len(names) > most {
		names = append(names[:most:most], "…")
	}
	return fmt.Errorf("%w: looked for %s; the ISO holds %s", ErrNoKernel,
		strings.Join(looked, ", "), strings.Join(names, ", "))
}
