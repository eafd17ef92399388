package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/pkg/sftp"
)

// sshWindow is how much of a file is on its way at a time when it is copied, in bytes: at a round trip of 20 ms that
// is a hundred megabytes a second.
const sshWindow = 2 << 20

// sshFile is an open file of another machine. io.Copy from and to it fills the connection, as do calls with large
// buffers; one with a small buffer takes a round trip each time. Writes arrive in order: what is there after the
// connection was lost in mid-copy is a beginning of what was written.
type sshFile struct {
	f       *sftp.File
	h       *SSH
	conn    *sshConn
	name    string
	appends bool
}

var (
	_ File          = (*sshFile)(nil)
	_ io.ReaderFrom = (*sshFile)(nil)
	_ io.WriterTo   = (*sshFile)(nil)
)

// failed gives an error the form that Files promises. The end of a file stays as it is.
func (f *sshFile) failed(op string, err error) error {
	err = f.conn.explain(err)
	if err == nil || err == io.EOF { //nolint:errorlint // a plain one is the end of the file
		return err
	}
	return pathError(op, f.name, err)
}

func (f *sshFile) Read(p []byte) (int, error) {
	n, err := f.f.Read(p)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil // package os says it with the next Read
	}
	return n, f.failed("read", err)
}

func (f *sshFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	return n, f.failed("read", err)
}

// WriteTo writes the rest of the file to w, with many reads on their way at a time.
func (f *sshFile) WriteTo(w io.Writer) (int64, error) {
	begin, err := f.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, f.failed("seek", err)
	}
	out := &remembering{Writer: w}
	n, err := f.f.WriteTo(out)
	_, _ = f.f.Seek(begin+n, io.SeekStart) // it leaves the file where its last read would have ended; asks nobody
	if out.err != nil {
		return n, out.err // is not ours
	}
	return n, f.failed("read", err)
}

// remembering keeps the error of a writer apart.
type remembering struct {
	io.Writer
	err error
}

func (r *remembering) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

func (f *sshFile) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	if err != nil {
		err = f.why(err, p[n:])
	}
	return n, f.failed("write", err)
}

// ReadFrom writes all of r, in pieces that fill the connection, and reads the next one meanwhile.
func (f *sshFile) ReadFrom(r io.Reader) (int64, error) {
	type piece struct {
		data []byte
		err  error
	}
	full, empty := make(chan piece), make(chan []byte, 2)
	empty <- make([]byte, sshWindow)
	empty <- make([]byte, sshWindow)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			var buf []byte
			select {
			case buf = <-empty:
			case <-stop:
				return
			}
			n, err := io.ReadFull(r, buf)
			select {
			case full <- piece{buf[:n], err}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var written int64
	for {
		p := <-full
		n, err := f.Write(p.data)
		written += int64(n)
		switch {
		case err != nil:
			return written, err
		case errors.Is(p.err, io.EOF), errors.Is(p.err, io.ErrUnexpectedEOF):
			return written, nil
		case p.err != nil:
			return written, p.err
		}
		empty <- p.data[:cap(p.data)]
	}
}

func (f *sshFile) Seek(offset int64, whence int) (int64, error) {
	n, err := f.f.Seek(offset, whence)
	return n, f.failed("seek", err)
}

func (f *sshFile) Close() error { return f.failed("close", f.f.Close()) }

func (f *sshFile) Sync() error {
	err := f.f.Sync()
	if err != nil {
		err = f.why(err, nil)
	}
	return f.failed("sync", err)
}

func (f *sshFile) Stat() (fs.FileInfo, error) {
	info, err := f.f.Stat()
	return info, f.failed("stat", err)
}

// why finds out what OpenSSH's server means by "Failure", its word for a full disk as for most things: by the file
// system's room, and else by writing the last of the bytes once more, with a command that says more.
func (f *sshFile) why(err error, data []byte) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || f.conn.lost() {
		return err
	}
	if free, e := f.h.Free(f.name); e == nil && free < 1<<20 {
		return fmt.Errorf("%w (%w)", syscall.ENOSPC, err)
	}
	at, e := f.f.Seek(0, io.SeekCurrent)
	if e != nil || f.appends || len(data) == 0 {
		return err
	}
	var stderr strings.Builder
	last := len(data) - 1
	e = f.h.Run(context.Background(), Cmd{
		Argv:   []string{"dd", "of=" + f.name, "bs=1", fmt.Sprintf("seek=%d", at+int64(last)), "conv=notrunc"},
		Env:    []string{"LC_ALL=C"},
		Stdin:  strings.NewReader(string(data[last:])),
		Stderr: &stderr,
	})
	if e == nil || stderr.Len() == 0 {
		return err
	}
	return fmt.Errorf("%w (%w)", said(stderr.String()), err)
}
