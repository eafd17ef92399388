package build

import (
	"errors"
	"os"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// logFile is a file that is appended to, also after the connection to its machine was lost: what is written meanwhile
// waits here. Nobody else writes to it.
type logFile struct {
	h    host.Files
	path string
	f    host.File
	size int64  // of the file, as far as we know
	held []byte // what is to follow that
}

// open opens the file, and finds out how much of what is held has got there.
func (l *logFile) open() error {
	f, err := l.h.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	got := info.Size() - l.size
	if len(l.held) > 0 && got > 0 {
		l.held = l.held[min(got, int64(len(l.held))):]
	}
	l.f, l.size = f, info.Size()
	return nil
}

// append adds p to the file. That the machine is out of reach is no error before close.
func (l *logFile) append(p []byte) error {
	l.held = append(l.held, p...)
	err := l.flush()
	if errors.Is(err, host.ErrDisconnected) {
		return nil
	}
	l.held = nil
	return err
}

func (l *logFile) flush() error {
	err := l.write()
	if errors.Is(err, host.ErrDisconnected) && l.open() == nil { // it is the file's connection that is lost, there is another
		err = l.write()
	}
	return err
}

func (l *logFile) write() error {
	if len(l.held) == 0 {
		return nil
	}
	n, err := l.f.Write(l.held)
	l.size += int64(n)
	l.held = l.held[n:]
	return err
}

// close writes what is held still.
func (l *logFile) close() error {
	err := l.flush()
	if closed := l.f.Close(); !errors.Is(closed, host.ErrDisconnected) { // what was written is there
		err = errors.Join(err, closed)
	}
	return err
}
