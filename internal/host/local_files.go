//go:build linux || darwin

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// localFiles implements Files with package os, whose errors already are the ones Files promises.
type localFiles struct{}

func (localFiles) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err // not f: a nil *os.File is not a nil File
	}
	return f, nil
}

func (localFiles) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// ReadDir leaves out what vanished between listing the directory and looking at the entry.
func (localFiles) ReadDir(path string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (localFiles) MkdirAll(path string, perm fs.FileMode) error { return os.MkdirAll(path, perm) }

func (localFiles) Rename(oldpath, newpath string) error {
	if err := os.Rename(oldpath, newpath); err != nil {
		return err
	}
	return syncDir(filepath.Dir(newpath))
}

func (localFiles) Remove(path string) error { return os.Remove(path) }

func (localFiles) RemoveAll(path string) error { return os.RemoveAll(path) }

func (localFiles) Free(path string) (uint64, error) {
	var st syscall.Statfs_t
	if err := ignoringEINTR(func() error { return syscall.Statfs(path, &st) }); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // a block size is positive
}

// syncDir makes a rename durable. Some file systems cannot sync a directory; there a rename is as durable as
// it will ever be, so that is not an error.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot make the rename durable: %w", err)
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("cannot make the rename durable: %w", err)
	}
	return nil
}

// ignoringEINTR repeats a system call that a signal interrupted, as package os does for its own.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
