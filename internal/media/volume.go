package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

const (
	sectorSize = 2048
	// maxTable bounds the path table and each directory, which are read as a whole. Debian's largest directory,
	// on a DVD, has some 300 KiB.
	maxTable = 8 << 20
	// maxReads and maxBytes bound what is read to find two files.
	maxReads = 20_000
	maxBytes = 8 * maxTable
)

// volume finds files on an ISO 9660 volume. go-diskfs reads it; volume keeps go-diskfs from what it would not survive.
type volume struct {
	fs   *iso9660.FileSystem
	data io.ReaderAt
	size int64
}

func openVolume(r io.ReaderAt, size int64) (v *volume, err error) {
	if err := checkDescriptor(r, size); err != nil {
		return nil, err
	}
	src := &source{SectionReader: io.NewSectionReader(r, 0, size), reads: maxReads, bytes: maxBytes}
	v = &volume{data: r, size: size}
	defer guard(&err)
	v.fs, err = iso9660.Read(src, size, 0, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotISO, err)
	}
	return v, nil
}

// guard makes an error of go-diskfs' panic over a damaged volume: it trusts the lengths it reads.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: damaged: %v", ErrNotISO, p)
	}
}

// checkDescriptor tells what is no ISO at all from a damaged one. The primary volume descriptor, ECMA-119 8.4, is the
// first on every ISO in use.
func checkDescriptor(r io.ReaderAt, size int64) error {
	d := make([]byte, sectorSize)
	if n, err := r.ReadAt(d, 16*sectorSize); n < len(d) {
		if err == nil || errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: it has only %d bytes", ErrNotISO, size)
		}
		return fmt.Errorf("cannot read the ISO: %w", err)
	}
	switch {
	case d[0] != 1 || string(d[1:6]) != "CD001":
		return fmt.Errorf("%w: no volume descriptor", ErrNotISO)
	case binary.LittleEndian.Uint16(d[128:]) != sectorSize:
		return fmt.Errorf("%w: its blocks have not %d bytes", ErrNotISO, sectorSize)
	}
	return nil
}

// names lists a directory, sub-directories with a slash.
func (v *volume) names(dir string) (names []string, err error) {
	entries, err := v.readDir(dir)
	if err != nil {
		return nil, err
	}
	defer guard(&err)
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, fmt.Sprintf("%q", name))
	}
	return names, nil
}

func (v *volume) readDir(dir string) (entries []fs.DirEntry, err error) {
	defer guard(&err)
	entries, err = v.fs.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotISO, err)
	}
	return entries, nil
}

// find returns a file's content. Upper and lower case are the same, for volumes that have only ISO 9660's own names.
// Errors: fs.ErrNotExist, and ErrNotISO for a volume that does not hold what its directories say.
func (v *volume) find(name string) (content *io.SectionReader, err error) {
	defer guard(&err)
	at := "."
	parts := strings.Split(name, "/")
	for i, part := range parts {
		e, err := v.entry(at, part)
		if err != nil {
			return nil, err
		}
		if e.IsDir() != (i < len(parts)-1) {
			return nil, fs.ErrNotExist
		}
		at = path.Join(at, e.Name())
	}
	f, err := v.fs.Open(at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotISO, err)
	}
	file, ok := f.(*iso9660.File)
	if !ok {
		return nil, fs.ErrNotExist
	}
	start, size := int64(file.Location())*sectorSize, file.Size()
	if size == 0 || start+size > v.size {
		return nil, fmt.Errorf("%w: %s is cut short: the download may not be complete", ErrNotISO, name)
	}
	return io.NewSectionReader(v.data, start, size), nil
}

func (v *volume) entry(dir, name string) (fs.DirEntry, error) {
	entries, err := v.readDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.EqualFold(strings.TrimSuffix(e.Name(), "."), name) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotISO, err)
		}
		if e.IsDir() && info.Size() > maxTable {
			return nil, fmt.Errorf("%w: %w", ErrNotISO, errSize)
		}
		return e, nil
	}
	return nil, fs.ErrNotExist
}
