package host

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// PartSuffix ends the name of every file that is not finished. Whatever a dead process left under such a name
// is rubbish, and a store may remove it once it knows that nobody is writing it any more.
const PartSuffix = ".part"

// WriteFile writes a file so that path holds the old content or the new, never a piece of it, also after a power
// failure. It writes a temporary file in the same directory, named path.RANDOM.part, and renames it. When it
// fails path is as it was and the temporary file is gone. perm is subject to the host's umask.
func WriteFile(h Files, path string, data []byte, perm fs.FileMode) (err error) {
	tmp := path + "." + strings.ToLower(rand.Text()[:8]) + PartSuffix
	f, err := h.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = h.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errors.Join(err, RemoveIfExists(h, tmp)))
	}
	return nil
}

// Publish gives a finished file its final name: its content is flushed to the disk first, so that the name never
// stands for a file that a power failure cut short. Both paths must be on one file system. When it fails tmp is
// left to the caller.
func Publish(h Files, tmp, final string) error {
	f, err := h.OpenFile(tmp, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot publish %s: %w", final, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cannot publish %s: %w", final, err)
	}
	if err := h.Rename(tmp, final); err != nil {
		return fmt.Errorf("cannot publish %s: %w", final, err)
	}
	return nil
}

// ReadFile returns the content of a file.
func ReadFile(h Files, path string) ([]byte, error) {
	f, err := h.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	var data bytes.Buffer
	_, err = io.Copy(&data, f) // a file of another machine comes in large pieces that way
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return data.Bytes(), nil
}

// RemoveIfExists removes a file; that there is none is no error.
func RemoveIfExists(h Files, path string) error {
	if err := h.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
