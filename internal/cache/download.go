package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// download fetches one file into the host, by way of a part file that outlives an interruption.
type download struct {
	*Store
	url, file string
	part      string // what has arrived so far
	progress  func(done, total int64)
}

// validatorPath holds what the server called the version that part is a piece of: an ETag or a date.
func (d *download) validatorPath() string { return d.part + ".validator" }

// run downloads, verifies and publishes the file. The part file is kept when the connection or the caller gave up,
// and removed when it is of no use: after a wrong checksum, or when it filled the disk.
func (d *download) run(ctx context.Context, want string) error {
	err := d.retry(ctx, func(ctx context.Context) (bool, error) {
		before := d.have()
		err := d.attempt(ctx)
		return d.have() > before, err
	})
	if errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, d.discard())
	}
	if err != nil {
		return err
	}
	got, err := d.hash(ctx, d.part)
	if err != nil {
		return err
	}
	if got != want {
		return errors.Join(&ChecksumError{Want: want, Got: got, URL: redact(d.url)}, d.discard())
	}
	if err := host.Publish(d.h, d.part, d.file); err != nil {
		return err
	}
	return host.RemoveIfExists(d.h, d.validatorPath())
}

// have is the size of the part file.
func (d *download) have() int64 {
	info, err := d.h.Stat(d.part)
	if err != nil {
		return 0
	}
	return info.Size()
}

// discard removes what has arrived. The validator goes last, for it is harmless alone.
func (d *download) discard() error {
	return errors.Join(host.RemoveIfExists(d.h, d.part), host.RemoveIfExists(d.h, d.validatorPath()))
}

// attempt makes one request and adds its body to the part file. It asks for the rest only when the server can tell
// whether that still belongs to what we have (RFC 9110, sections 13.1.5 and 14.2).
func (d *download) attempt(ctx context.Context) error {
	header := http.Header{"Accept-Encoding": {"identity"}} // a compressed body has no ranges of ours
	offset := d.have()
	validator, err := host.ReadFile(d.h, d.validatorPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if offset > 0 && len(validator) > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		header.Set("If-Range", string(validator))
	}
	resp, err := d.get(ctx, d.url, header)
	if err != nil {
		var status *StatusError
		if errors.As(err, &status) && status.Status == http.StatusRequestedRangeNotSatisfiable {
			// We have as much as there is, or more: nothing that could be told apart, so from the start.
			return errors.Join(&transientError{err}, d.discard())
		}
		return err
	}
	defer resp.Body.Close()
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if resp.StatusCode == http.StatusPartialContent {
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
			return errors.Join(&transientError{errors.New("the server sent another range than it was asked for")}, d.discard())
		}
	} else {
		offset, flags = 0, os.O_WRONLY|os.O_CREATE|os.O_TRUNC
	}
	return d.receive(resp, offset, flags)
}

// receive appends a body to the part file.
func (d *download) receive(resp *response, offset int64, flags int) (err error) {
	f, err := d.h.OpenFile(d.part, flags, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write the download: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if offset == 0 { // the part file is empty by now, so no old bytes ever go with a new validator
		if err := host.WriteFile(d.h, d.validatorPath(), []byte(validatorOf(resp.Header)), 0o644); err != nil {
			return err
		}
	}
	total := int64(0)
	if resp.ContentLength > 0 {
		total = offset + resp.ContentLength
		free, err := d.h.Free(d.part)
		if err != nil {
			return fmt.Errorf("cannot tell the free space for the download: %w", err)
		}
		if free < uint64(resp.ContentLength) {
			return fmt.Errorf("cannot write the download: it wants %d MiB more, %d MiB are free at %s: %w",
				resp.ContentLength>>20, free>>20, d.part, syscall.ENOSPC)
		}
	}
	return d.copy(f, resp.Body, offset, total)
}

// copy tells an error of the network, which is worth another attempt, from one of the disk, which is not.
func (d *download) copy(w io.Writer, r io.Reader, done, total int64) error {
	buf := make([]byte, 256<<10)
	for {
		n, readErr := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return fmt.Errorf("cannot write the download: %w", err)
			}
			done += int64(n)
			if d.progress != nil {
				d.progress(done, total)
			}
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// validatorOf is what If-Range may name: a strong ETag, else the date of the last change, else "".
func validatorOf(h http.Header) string {
	if etag := h.Get("ETag"); strings.HasPrefix(etag, `"`) {
		return etag
	}
	return h.Get("Last-Modified")
}
