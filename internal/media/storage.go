package media

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/diskfs/go-diskfs/backend"
)

// errBudget ends the reading of a volume whose structure leads in a circle, or nowhere.
var errBudget = errors.New("the directory structure has no end")

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
	return s.SectionReader.ReadAt(p, off)
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
