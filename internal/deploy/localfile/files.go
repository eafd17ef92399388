package localfile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Temp is a name beside path for what will be renamed to it.
func Temp(path string) string { return path + "." + strings.ToLower(rand.Text()[:8]) + host.PartSuffix }

// Abandoned lists what killed providers left under names from Temp(name), and under those of files named name.*, that
// nobody has written to for so long.
func Abandoned(h host.Files, name string, age time.Duration) ([]string, error) {
	list, err := h.ReadDir(path.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("cannot look for what was left unfinished: %w", err)
	}
	var found []string
	for _, f := range list {
		if strings.HasPrefix(f.Name(), path.Base(name)+".") && strings.HasSuffix(f.Name(), host.PartSuffix) &&
			time.Since(f.ModTime()) > age {
			found = append(found, path.Join(path.Dir(name), f.Name()))
		}
	}
	return found, nil
}

// Exists tells whether there is anything at a path.
func Exists(h host.Files, path string) (bool, error) {
	_, err := h.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Write makes a file that is not there yet, content and all on the disk.
func Write(h host.Files, path string, data []byte) error {
	f, err := h.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Rename does what Files.Rename does, if need be twice: an error can be an answer that was lost.
func Rename(h host.Files, from, to string) error {
	err := h.Rename(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	again := h.Rename(from, to)
	if errors.Is(again, fs.ErrNotExist) { // it was there, and is no more
		_, again = h.Stat(to)
	}
	return again
}

// Remove removes a file, if it is there, and tries twice.
func Remove(h host.Files, path string) error {
	if host.RemoveIfExists(h, path) == nil {
		return nil
	}
	return host.RemoveIfExists(h, path)
}

// RemoveAll removes a folder with all that is in it, and tries twice.
func RemoveAll(h host.Files, path string) error {
	if h.RemoveAll(path) == nil {
		return nil
	}
	return h.RemoveAll(path)
}

// Hash is the SHA-256 of a file, 64 hex digits. progress, when not nil, is told the bytes.
func Hash(ctx context.Context, h host.Files, path string, progress func(done, total int64)) (string, error) {
	f, err := h.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	err = stream(ctx, sum, f, progress)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// stream copies a file to its end, or until ctx ends.
func stream(ctx context.Context, to io.Writer, from host.File, progress func(done, total int64)) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := from.Read(buf)
		if _, werr := to.Write(buf[:n]); werr != nil {
			return werr
		}
		if done += int64(n); progress != nil {
			progress(done, info.Size())
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Free is the first of stem+ext, stem-2+ext, stem-3+ext and so on at which there is nothing.
func Free(h host.Files, stem, ext string) (string, error) {
	for n, name := 2, stem+ext; ; n++ {
		there, err := Exists(h, name)
		if err != nil || !there {
			return name, err
		}
		name = fmt.Sprintf("%s-%d%s", stem, n, ext)
	}
}

// ShortKey is what stands for an image's key in a name.
func ShortKey(key string) string { return key[:min(12, len(key))] }
