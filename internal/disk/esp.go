package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Places in a partition table. Source: UEFI specification 2.10, sections 5.2.1, 5.3.2 and 5.3.3.
const (
	sectorSize = 512
	minEntry   = 128     // bytes of a GPT entry
	maxEntries = 1 << 20 // bytes of all of them; the usual 128 are 16 KiB
	mbrCode    = 440     // bytes before the disk signature
	mbrEntry   = 446     // four of 16 bytes each
	mbrEFI     = 0xef
)

// gptEFI is the type of an EFI system partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it stands in a table.
var gptEFI = []byte("\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b")

// HasESP tells whether the disk has an EFI system partition, by its GPT, else its MBR. A disk without a partition table
// has none.
func (d *Disk) HasESP() (bool, error) {
	has, err := d.hasESP()
	if err != nil {
		return false, fmt.Errorf("cannot read the partition table of %s: %w", d.path, err)
	}
	return has, nil
}

func (d *Disk) hasESP() (bool, error) {
	var head [2 * sectorSize]byte
	if n, err := d.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	} else if n < len(head) {
		return false, nil
	}
	mbr, gpt := head[:sectorSize], head[sectorSize:]
	switch {
	case string(mbr[510:]) != "\x55\xaa": // a GPT has one as well, to protect it
		return false, nil
	case string(gpt[:8]) == "EFI PART":
		return d.inGPT(gpt)
	}
	for e := mbr[mbrEntry:510]; len(e) > 0; e = e[16:] {
		if e[4] == mbrEFI {
			return true, nil
		}
	}
	return false, nil
}

func (d *Disk) inGPT(header []byte) (bool, error) {
	first := binary.LittleEndian.Uint64(header[72:])
	count, size := binary.LittleEndian.Uint32(header[80:]), binary.LittleEndian.Uint32(header[84:])
	total := uint64(count) * uint64(size)
	if size < minEntry || total > min(maxEntries, uint64(d.size)) || first > uint64(d.size/sectorSize)-total/sectorSize { //nolint:gosec // not negative
		return false, fmt.Errorf("%w: %d partitions of %d bytes at sector %d cannot be", ErrDamaged, count, size, first)
	}
	entries := make([]byte, total)
	if _, err := d.ReadAt(entries, int64(first)*sectorSize); err != nil { //nolint:gosec // on the disk
		return false, err
	}
	for ; len(entries) > 0; entries = entries[size:] {
		if bytes.HasPrefix(entries, gptEFI) {
			return true, nil
		}
	}
	return false, nil
}
