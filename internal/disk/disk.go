// Package disk reads the disk that is in an image file: its bytes, which of them are data, and how it boots. Nothing is
// converted or copied on the way.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/lima-vm/go-qcow2reader"
	"github.com/lima-vm/go-qcow2reader/image"
	"github.com/lima-vm/go-qcow2reader/image/qcow2"
	"github.com/lima-vm/go-qcow2reader/image/raw"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

var (
	// ErrDamaged is wrapped when a file is not what its header says, or shorter.
	ErrDamaged = errors.New("the image is damaged")
	// ErrUnsupported is wrapped when the disk cannot be read from this file alone, or not in this form.
	ErrUnsupported = errors.New("the image cannot be read as it is")
)

// Disk is the disk in an open image. All methods are safe for concurrent use.
type Disk struct {
	path string
	file host.File
	img  image.Image // nil for a raw file
	size int64
}

// Open opens a standalone qcow2, compressed or not, or a raw file. A qcow2 with a backing file, encryption, snapshots or
// data elsewhere wraps ErrUnsupported, and so does another format.
func Open(h host.Files, path string) (*Disk, error) {
	f, err := h.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the image: %w", err)
	}
	d := &Disk{path: path, file: f}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot read the image %s: %w", path, err), f.Close())
	}
	return d, nil
}

func (d *Disk) open() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	d.size = info.Size()
	register()
	isQcow2, cluster, err := checkHeader(d.file, d.size)
	if err != nil {
		return err
	}
	if !isQcow2 {
		return d.openRaw()
	}
	img, err := qcow2.Open(padded{d.file, d.size, (d.size + cluster - 1) / cluster * cluster}, nil)
	if err == nil {
		err = img.Readable()
	}
	switch {
	case errors.Is(err, qcow2.ErrUnsupportedCompression):
		return fmt.Errorf("%w: %w; %s", ErrUnsupported, err, convertIt)
	case err != nil:
		return damage(err)
	}
	d.img, d.size = img, img.Size()
	return nil
}

// openRaw takes the file for the disk itself, unless it is known to be something else.
func (d *Disk) openRaw() error {
	img, err := qcow2reader.Open(d.file)
	if err != nil {
		return err
	}
	if img.Type() != raw.Type {
		return fmt.Errorf("%w: it has the format %s; %s", ErrUnsupported, img.Type(), convertIt)
	}
	return nil
}

// Size is the size of the disk in bytes, as a guest sees it.
func (d *Disk) Size() int64 { return d.size }

// Close closes the file.
func (d *Disk) Close() error { return d.file.Close() }

// ReadAt reads from the disk like io.ReaderAt. What is not in the file reads as zeros. It keeps nothing of what it
// read; the cheapest pieces are whole clusters, which are 64 KiB unless the image's maker chose otherwise.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read the image %s at offset %d", d.path, off)
	}
	if off >= d.size {
		return 0, io.EOF
	}
	end := error(nil)
	if left := d.size - off; int64(len(p)) > left {
		p, end = p[:left], io.EOF
	}
	from := io.ReaderAt(d.file)
	if d.img != nil {
		from = d.img
	}
	n, err := from.ReadAt(p, off)
	if n == len(p) {
		return n, end
	}
	return n, fmt.Errorf("cannot read the image %s at offset %d: %w", d.path, off+int64(n), damage(err))
}

// damage is an error of reading what a header says is there. It is never io.EOF, which would be taken for the end of
// the disk.
func damage(err error) error {
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return err
	}
	return fmt.Errorf("%w: %v", ErrDamaged, err) //nolint:errorlint // as above
}

// Blocks lists, in ascending order, the indices of the blocks of blockSize bytes that may hold something else than
// zeros: those in which the image has anything allocated. Of a raw file these are all. No data is read.
func (d *Disk) Blocks(blockSize int64) ([]int64, error) {
	var blocks []int64
	next := int64(0) // the first block not looked at
	for start := int64(0); start < d.size; {
		e, err := d.extent(start)
		if err != nil {
			return nil, fmt.Errorf("cannot read the image %s: %w", d.path, damage(err))
		}
		end := start + e.Length
		if e.Allocated && !e.Zero {
			for next = max(next, start/blockSize); next*blockSize < end; next++ {
				blocks = append(blocks, next)
			}
		}
		start = end
	}
	return blocks, nil
}

// extent is what begins at start, which is where another one ends.
func (d *Disk) extent(start int64) (image.Extent, error) {
	if d.img == nil {
		return image.Extent{Start: start, Length: d.size - start, Allocated: true}, nil
	}
	return d.img.Extent(start, d.size-start)
}
