package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/diskfs/go-diskfs/backend"
)

var (
	// errBudget ends the reading of a volume whose structure leads in a circle.
	errBudget = errors.New("damaged: the directory structure has no end")
	// errSize ends the reading of a volume before room is made for what cannot be.
	errSize = errors.New("damaged: a directory has an impossible size")
)

// source lets go-diskfs read from an io.ReaderAt: no more than size bytes of it, and only so many times and bytes.
type source struct {
	*io.SectionReader
	reads, bytes int64 // what is left of the budget
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	s.reads--
	s.bytes -= int64(len(p))
	if s.reads < 0 || s.bytes < 0 {
		return 0, errBudget
	}
	n, err := s.SectionReader.ReadAt(p, off)
	if err == nil && tooLarge(p) {
		return 0, errSize
	}
	return n, err
}

// tooLarge tells whether what was read of a volume's structure announces something to be read as a whole that is
// larger than any volume needs. go-diskfs makes room for it before it tries. Offsets are those of ECMA-119 (8.4, 8.5,
// 9.1) and of SUSP 1.12, 5.1.
func tooLarge(p []byte) bool {
	size := binary.LittleEndian.Uint32
	switch {
	case len(p) == 4: // the size of a directory, from its own first record
		return size(p) > maxTable
	case len(p) == sectorSize && string(p[1:6]) == "CD001" && (p[0] == 1 || p[0] == 2): // path table and root directory
		return size(p[132:]) > maxTable || size(p[156+10:]) > maxTable
	}
	for {
		i := bytes.Index(p, []byte("CE\x1c\x01")) // a continuation, which has a sector at most
		if i < 0 || len(p) < i+28 {
			return false
		}
		if size(p[i+20:]) > sectorSize {
			return true
		}
		p = p[i+4:]
	}
}

func (s *source) Stat() (fs.FileInfo, error)              { return memInfo(s.Size()), nil }
func (s *source) Close() error                            { return nil }
func (s *source) Sys() (*os.File, error)                  { return nil, backend.ErrNotSuitable }
func (s *source) Writable() (backend.WritableFile, error) { return nil, backend.ErrIncorrectOpenMode }
func (s *source) Path() string                            { return "" }

// sink lets go-diskfs write to memory.
type sink struct {
	data []byte
	pos  int64
}

func (s *sink) WriteAt(p []byte, off int64) (int, error) {
	if end := off + int64(len(p)); end > int64(len(s.data)) {
		s.data = append(s.data, make([]byte, end-int64(len(s.data)))...)
	}
	return copy(s.data[off:], p), nil
}

func (s *sink) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(s.data)) {
		return 0, io.EOF
	}
	n := copy(p, s.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *sink) Read(p []byte) (int, error) {
	n, err := s.ReadAt(p, s.pos)
	s.pos += int64(n)
	return n, err
}

func (s *sink) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.pos
	case io.SeekEnd:
		offset += int64(len(s.data))
	}
	if offset < 0 {
		return s.pos, fs.ErrInvalid
	}
	s.pos = offset
	return offset, nil
}

func (s *sink) Stat() (fs.FileInfo, error)              { return memInfo(len(s.data)), nil }
func (s *sink) Close() error                            { return nil }
func (s *sink) Sys() (*os.File, error)                  { return nil, backend.ErrNotSuitable }
func (s *sink) Writable() (backend.WritableFile, error) { return s, nil }
func (s *sink) Path() string                            { return "" }

// memInfo describes what is no file but has so many bytes.
type memInfo int64

func (i memInfo) Name() string     { return "" }
func (i memInfo) Size() int64      { return int64(i) }
func (memInfo) Mode() fs.FileMode  { return 0o600 }
func (memInfo) ModTime() time.Time { return time.Time{} }
func (memInfo) IsDir() bool        { return false }
func (memInfo) Sys() any           { return nil }
