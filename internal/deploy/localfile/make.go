package localfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// Formats are those a disk can be deployed in.
var Formats = qemu.Formats

// copied is the format of the images themselves.
const copied = "qcow2"

// Make writes the image's disk to the new file dst on h, in one of the Formats, and completes the record. A qcow2 is
// the image itself: it stays compressed, and has the image's checksum. What a failed Make leaves at dst is the caller's
// to remove.
func Make(ctx context.Context, h host.Host, r deploy.Request, rec *Record, dst, format string, idle time.Duration) (err error) {
	if format == copied {
		rec.SHA256, err = copyImage(ctx, h, r, dst)
	} else {
		rec.SHA256, err = convert(ctx, h, r, dst, format, idle)
	}
	if err != nil {
		return err
	}
	info, err := h.Stat(dst)
	if err != nil {
		return err
	}
	rec.Format, rec.Size, rec.Modified = format, info.Size(), info.ModTime().UTC()
	return ctx.Err()
}

// copyImage copies the image, which may be on another machine, and returns its SHA-256.
func copyImage(ctx context.Context, h host.Host, r deploy.Request, dst string) (string, error) {
	d, err := disk.Open(r.Image.Host, r.Image.Path) // a copy must not need another file
	if err != nil {
		return "", err
	}
	if err := d.Close(); err != nil {
		return "", err
	}
	src, err := r.Image.Host.OpenFile(r.Image.Path, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer src.Close()
	f, err := h.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	err = stream(ctx, io.MultiWriter(f, hash), src, func(done, total int64) { r.Report("copy", done, total) })
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("cannot copy the image: %w", err)
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if r.Image.SHA256 != "" && sum != r.Image.SHA256 {
		return "", fmt.Errorf("the image %s has changed: its sha256 is %s, not %s; run plan again, which looks at it anew",
			r.Image.Path, sum, r.Image.SHA256)
	}
	return sum, nil
}

// convert converts the image, flushes it to the disk and returns its SHA-256. An image on another machine is copied first.
func convert(ctx context.Context, h host.Host, r deploy.Request, dst, format string, idle time.Duration) (sum string, err error) {
	src := r.Image.Path
	if r.Image.Host.Name() != h.Name() {
		src = strings.TrimSuffix(dst, host.PartSuffix) + "." + copied + host.PartSuffix
		defer func() { err = errors.Join(err, Remove(h, src)) }()
		if _, err := copyImage(ctx, h, r, src); err != nil {
			return "", err
		}
	}
	err = watched(ctx, h, dst, idle, func(ctx context.Context, alive func()) error {
		return qemu.Convert(ctx, h, src, dst, format, func(percent float64) {
			alive()
			r.Report("convert", int64(percent), 100)
		})
	})
	if err == nil {
		err = flush(h, dst)
	}
	if err != nil {
		return "", err
	}
	return Hash(ctx, h, dst, func(done, total int64) { r.Report("checksum", done, total) })
}

func flush(h host.Files, path string) error {
	f, err := h.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// watched runs a command that says when it gets on, and ends it when it has neither done so nor written to the file for
// so long.
func watched(ctx context.Context, h host.Files, file string, idle time.Duration, run func(ctx context.Context, alive func()) error) error {
	watch, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	beats := make(chan struct{}, 1)
	go func() {
		var written time.Time
		for timer := time.NewTimer(idle); ; timer.Reset(idle) {
			select {
			case <-watch.Done():
				return
			case <-beats:
			case <-timer.C:
				info, err := h.Stat(file)
				if err != nil || !info.ModTime().After(written) {
					giveUp(fmt.Errorf("no progress for %s with %s; look whether its disk answers", idle, file))
					return
				}
				written = info.ModTime()
			}
		}
	}()
	err := run(watch, func() {
		select {
		case beats <- struct{}{}:
		default: // one is enough
		}
	})
	if err != nil && ctx.Err() == nil && watch.Err() != nil {
		return context.Cause(watch)
	}
	return err
}

// Link gives a disk another name on the same file system, and copies it where there are no hard links. The record's time
// is then that of the copy.
func Link(ctx context.Context, h host.Host, rec *Record, disk, name string, idle time.Duration) error {
	for _, command := range [][]string{{"ln"}, {"cp"}} { // cp leaves holes as they are
		err := watched(ctx, h, name, idle, func(ctx context.Context, _ func()) error {
			return h.Run(ctx, host.Cmd{Argv: append(command, disk, name)})
		})
		if err == nil {
			break
		}
		if command[0] == "cp" || ctx.Err() != nil {
			return fmt.Errorf("cannot copy %s: %w", disk, err)
		}
		if err := Remove(h, name); err != nil {
			return err
		}
	}
	info, err := h.Stat(name)
	if err != nil {
		return err
	}
	rec.Modified = info.ModTime().UTC()
	return nil
}
