package debtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
)

// store keeps package files on disk. A file is downloaded once however many ask for it at the same time, is
// readable while it arrives, and gets its final name only when it is complete.
type store struct {
	dir    string
	client *http.Client

	mu     sync.Mutex
	active map[string]*download // by the file's address
}

// statusError is an upstream answer other than 200; it is passed on and never kept.
type statusError struct{ code int }

func (e statusError) Error() string { return fmt.Sprintf("the mirror answered %d", e.code) }

// path is where the file of an address is kept.
func (s *store) path(address string) string {
	sum := sha256.Sum256([]byte(address))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:]))
}

// open gives the kept file of an address; the caller closes it. When it is not kept, open gives the running
// download instead, or starts one that lives until it is complete or life ends; the caller calls its leave. A
// reader that goes away does not end a download, because others may be waiting. With start false nothing is
// started; both results may be nil then.
func (s *store) open(life context.Context, u *url.URL, start bool) (*os.File, *download) {
	address := u.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.active[address]; ok {
		d.enter()
		return nil, d
	}
	if f, err := os.Open(s.path(address)); err == nil {
		return f, nil
	}
	if !start {
		return nil, nil
	}
	if s.active == nil {
		s.active = map[string]*download{}
	}
	d := &download{changed: make(chan struct{}), size: -1, users: 2} // the caller and the download itself
	s.active[address] = d
	go func() {
		defer d.leave()
		err := s.run(life, address, d)
		s.mu.Lock()
		delete(s.active, address)
		s.mu.Unlock()
		d.update(func() { d.ended, d.err = true, err })
	}()
	return nil, d
}

// run downloads to a temporary file and renames it. On any failure nothing is left behind.
func (s *store) run(ctx context.Context, address string, d *download) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return statusError{resp.StatusCode}
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("keep a package file: %w", err)
	}
	f, err := os.CreateTemp(s.dir, "partial-")
	if err != nil {
		return fmt.Errorf("keep a package file: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
			return
		}
		err = os.Rename(f.Name(), s.path(address))
	}()
	reader, err := os.Open(f.Name()) // readers share this handle; it stays valid after the rename or removal
	if err != nil {
		return fmt.Errorf("keep a package file: %w", err)
	}
	d.update(func() { d.file, d.size = reader, resp.ContentLength })
	n, err := io.Copy(io.MultiWriter(f, d), resp.Body)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	if resp.ContentLength >= 0 && n != resp.ContentLength {
		return fmt.Errorf("download: got %d of %d bytes: %w", n, resp.ContentLength, io.ErrUnexpectedEOF)
	}
	return nil
}

// download is a file on its way in; any number of readers follow it.
type download struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever something below changes
	file    *os.File      // nil until the mirror answered 200
	size    int64         // as announced; -1 when unknown
	written int64         // bytes readable from file
	ended   bool
	err     error // set with ended
	users   int   // file is closed when the last one leaves
}

// enter counts one more user.
func (d *download) enter() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users++
}

// leave counts one user less.
func (d *download) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users--; d.users == 0 && d.file != nil {
		_ = d.file.Close() // only read from
	}
}

// state is a copy of what a reader needs, with the channel that announces the next change.
type state struct {
	file    *os.File
	size    int64
	written int64
	ended   bool
	err     error
	changed <-chan struct{}
}

func (d *download) state() state {
	d.mu.Lock()
	defer d.mu.Unlock()
	return state{file: d.file, size: d.size, written: d.written, ended: d.ended, err: d.err, changed: d.changed}
}

// update changes the download and wakes every reader.
func (d *download) update(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// Write counts bytes that are in the file already.
func (d *download) Write(p []byte) (int, error) {
	d.update(func() { d.written += int64(len(p)) })
	return len(p), nil
}

// started waits until the mirror's answer is known. size is -1 when unknown; the error is the download's.
func (d *download) started(ctx context.Context) (size int64, err error) {
	for {
		s := d.state()
		switch {
		case s.file != nil:
			return s.size, nil
		case s.ended:
			return 0, s.err
		}
		if err := wait(ctx, s.changed); err != nil {
			return 0, err
		}
	}
}

// copyTo writes the whole file to w as it arrives. An error means that w did not get all of it.
func (d *download) copyTo(ctx context.Context, w io.Writer) error {
	var sent int64
	for {
		s := d.state()
		if s.written > sent {
			n, err := io.Copy(w, io.NewSectionReader(s.file, sent, s.written-sent))
			sent += n
			if err != nil {
				return err
			}
			continue
		}
		if s.ended {
			return s.err
		}
		if err := wait(ctx, s.changed); err != nil {
			return err
		}
	}
}

// wait is for a change or the end of ctx.
func wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
