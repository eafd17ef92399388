package hosttest

import (
	"io/fs"
	"sync/atomic"
	"syscall"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// WithSpace returns h with a disk on which only n more bytes can be written through OpenFile. What does not fit is
// written in part, and the rest is ENOSPC, as on a real one. Free and what commands write are as before.
func WithSpace(h host.Host, n int64) host.Host {
	s := &space{Host: h}
	s.left.Store(n)
	return s
}

type space struct {
	host.Host
	left atomic.Int64
}

func (s *space) OpenFile(path string, flag int, perm fs.FileMode) (host.File, error) {
	f, err := s.Host.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &spaceFile{f, s}, nil
}

type spaceFile struct {
	host.File
	space *space
}

func (f *spaceFile) Write(p []byte) (int, error) {
	left := f.space.left.Add(-int64(len(p)))
	if left >= 0 {
		return f.File.Write(p)
	}
	f.space.left.Store(0)
	n, err := f.File.Write(p[:max(0, int64(len(p))+left)])
	if err != nil {
		return n, err
	}
	return n, &fs.PathError{Op: "write", Path: "disk", Err: syscall.ENOSPC}
}
