package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Inspect tells an image's format, "qcow2" or "raw", and the size in bytes of the disk in it. It reads the header alone,
// and refuses what Open does, but for the compression: after it an image from elsewhere can be given to QEMU with its
// format. QEMU would open files that another format, such as vmdk, or a qcow2's header names.
// Errors: ErrUnsupported, ErrDamaged.
func Inspect(h host.Files, path string) (format string, size int64, err error) {
	f, err := h.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return "", 0, fmt.Errorf("cannot open the image: %w", err)
	}
	defer f.Close()
	d := &Disk{path: path, file: f}
	if format, err = d.inspect(); err != nil {
		return "", 0, fmt.Errorf("cannot take the image %s: %w", path, err)
	}
	return format, d.size, nil
}

func (d *Disk) inspect() (format string, err error) {
	info, err := d.file.Stat()
	if err != nil {
		return "", err
	}
	d.size = info.Size()
	isQcow2, _, err := checkHeader(d.file, d.size)
	switch {
	case err != nil:
		return "", err
	case !isQcow2:
		register()
		return "raw", d.openRaw()
	}
	var size [8]byte
	if _, err := d.file.ReadAt(size[:], 24); err != nil {
		return "", err
	}
	d.size = int64(binary.BigEndian.Uint64(size[:])) //nolint:gosec // checkHeader has bounded it by the table's size
	return "qcow2", nil
}

// HasBootCode tells whether a BIOS finds something to start: code in the first sector. A disk that only UEFI boots has
// none, nor has a file that is no disk at all.
func (d *Disk) HasBootCode() (bool, error) {
	var mbr [sectorSize]byte
	if n, err := d.ReadAt(mbr[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("cannot read the boot sector of %s: %w", d.path, err)
	} else if n < len(mbr) || string(mbr[510:]) != "\x55\xaa" {
		return false, nil
	}
	return [mbrCode]byte(mbr[:]) != [mbrCode]byte{}, nil
}
