package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// convertIt is what to do about an image that is fine, but not for us.
const convertIt = "make a standalone copy with `qemu-img convert -O qcow2 IMAGE COPY`"

// Places in a qcow2's header, and bounds that QEMU has for them. Source: docs/interop/qcow2.txt and block/qcow2.h.
const (
	headerSize = 104
	minCluster = 9
	maxCluster = 21
	maxL1      = 32 << 20 // bytes
)

// features are the incompatible ones, by bit. Compression (3) is looked at by the reader.
var features = []struct {
	bit  int
	what string
}{
	{1, "it is marked as corrupt; try `qemu-img check -r all IMAGE`"},
	{0, "it was not closed; let `qemu-img check -r all IMAGE` mend it"},
	{2, "its data is in another file; " + convertIt},
	{4, "it has extended L2 entries; " + convertIt},
}

// knownFeatures has the bits of features, and that of compression.
const knownFeatures = 0b11111

// checkHeader tells whether a file of so many bytes is a qcow2, and how large its clusters are. It refuses what the
// reader, which trusts a header and goes to other files by itself, must not see.
func checkHeader(r io.ReaderAt, fileSize int64) (isQcow2 bool, cluster int64, err error) {
	h := make([]byte, headerSize)
	n, err := r.ReadAt(h, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, 0, err
	}
	if n < 4 || string(h[:4]) != "QFI\xfb" {
		return false, 0, nil
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(h[at:]) }
	version, bits := u32(4), u32(20)
	switch {
	case n < headerSize:
		return true, 0, fmt.Errorf("%w: it is cut off within its header", ErrDamaged)
	case version != 2 && version != 3:
		return true, 0, fmt.Errorf("%w: qcow2 version %d is not known; %s", ErrUnsupported, version, convertIt)
	case u64(8) != 0:
		return true, 0, fmt.Errorf("%w: it needs a backing file; %s", ErrUnsupported, convertIt)
	case bits < minCluster || bits > maxCluster:
		return true, 0, fmt.Errorf("%w: clusters of 2^%d bytes cannot be", ErrDamaged, bits)
	case u32(32) != 0:
		return true, 0, fmt.Errorf("%w: it is encrypted; make a copy that is not with `qemu-img convert`", ErrUnsupported)
	case u32(60) != 0:
		return true, 0, fmt.Errorf("%w: it holds %d snapshots, which would be lost; %s", ErrUnsupported, u32(60), convertIt)
	}
	if version == 3 {
		if err := checkFeatures(u64(72)); err != nil {
			return true, 0, err
		}
	}
	cluster = 1 << bits
	return true, cluster, checkTable(u64(24), int64(u32(36)), u64(40), cluster, fileSize)
}

func checkFeatures(set uint64) error {
	for _, f := range features {
		if set&(1<<f.bit) != 0 {
			return fmt.Errorf("%w: %s", ErrUnsupported, f.what)
		}
	}
	if unknown := set &^ knownFeatures; unknown != 0 {
		return fmt.Errorf("%w: it has features that are not known (%#x); %s", ErrUnsupported, unknown, convertIt)
	}
	return nil
}

// checkTable wants the table that leads to everything else to be there, and to cover the disk of size bytes.
func checkTable(size uint64, entries int64, offset uint64, cluster, fileSize int64) error {
	perEntry := uint64(cluster) * uint64(cluster/8) //nolint:gosec // clusters are small and positive
	switch {
	case size == 0:
		return fmt.Errorf("%w: its disk has no bytes", ErrUnsupported)
	case entries*8 > maxL1 || uint64(entries) < (size-1)/perEntry+1: //nolint:gosec // entries is not negative
		return fmt.Errorf("%w: a table of %d entries does not go with a disk of %d bytes", ErrDamaged, entries, size)
	case offset > uint64(fileSize) || int64(offset)+entries*8 > fileSize: //nolint:gosec // not beyond the file
		return fmt.Errorf("%w: it is cut off: its table is not in the file", ErrDamaged)
	}
	return nil
}

// padded is a file whose last cluster is whole: what QEMU did not need to write there reads as zeros.
type padded struct {
	io.ReaderAt
	size, end int64
}

func (f padded) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, off)
	if !errors.Is(err, io.EOF) || off < 0 || off >= f.size {
		return n, err
	}
	rest := p[n:]
	if left := f.end - off - int64(n); int64(len(rest)) > left {
		rest = rest[:left]
	}
	clear(rest)
	if n += len(rest); n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
