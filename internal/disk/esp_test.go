package disk

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gpt is a disk with a GPT of one partition of a type, as a partitioning tool writes it. Source: UEFI 2.10, 5.3.
func gpt(partition string) []byte {
	d := make([]byte, mib)
	d[446+4] = 0xee
	copy(d[510:], "\x55\xaa")
	copy(d[512:], "EFI PART")
	binary.LittleEndian.PutUint64(d[512+72:], 2)
	binary.LittleEndian.PutUint32(d[512+80:], 128)
	binary.LittleEndian.PutUint32(d[512+84:], 128)
	copy(d[2*512+128:], partition) // the second
	return d
}

func TestHasESP(t *testing.T) {
	const efi, linux = "\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b", "\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4"
	mbr := func(kind byte) []byte {
		d := make([]byte, mib)
		d[446+16+4] = kind
		copy(d[510:], "\x55\xaa")
		return d
	}
	changed := func(at int, value ...byte) []byte {
		d := gpt(efi)
		copy(d[at:], value)
		return d
	}
	for name, c := range map[string]struct {
		disk    []byte
		want    bool
		damaged bool
	}{
		"GPT with":         {gpt(efi), true, false},
		"GPT without":      {gpt(linux), false, false},
		"MBR with":         {mbr(0xef), true, false},
		"MBR without":      {mbr(0x83), false, false},
		"no table":         {make([]byte, mib), false, false},
		"a sector":         {make([]byte, 512), false, false},
		"no MBR":           {changed(510, 0, 0), false, false},
		"no entries":       {changed(512+80, 0, 0, 0, 0), false, false},
		"too many entries": {changed(512+80, 0xff, 0xff, 0xff, 0xff), false, true},
		"tiny entries":     {changed(512+84, 0, 0, 0, 0), false, true},
		"entries outside":  {changed(512+72, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), false, true},
		"entries cut off":  {changed(512+72, 0xff, 0x07), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raw")
			must(t, os.WriteFile(path, c.disk, 0o600))
			got, err := open(t, path).HasESP()
			if got != c.want || (err != nil) != c.damaged || c.damaged && !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v, %v", got, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "cannot read the partition table of "+path) {
				t.Errorf("got %v", err)
			}
		})
	}
}
