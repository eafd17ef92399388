// Package host is the machine an image is built and stored on. The pipeline knows a machine only through
// Host, so a build on a remote machine is the same pipeline with another Host, not a second code path.
//
// Paths are absolute paths on that machine. Addresses are resolved from that machine.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
)

// Arch is a CPU architecture by its name in profiles: "x86_64" or "arm64".
type Arch string

// The architectures an image can be built for.
const (
	X86_64 Arch = "x86_64"
	ARM64  Arch = "arm64"
)

// Arches lists every known architecture, for validators and messages.
var Arches = []Arch{X86_64, ARM64}

// Host is one machine. All methods are safe for concurrent use.
type Host interface {
	// Name is "local" or the remote's name, for messages and the builder attribute.
	Name() string
	// Arch is the machine's own architecture.
	Arch() Arch
	Runner
	Dialer
	Listener
	Files
	Locker
}

// Cmd is one command: an argument vector, never a shell string.
type Cmd struct {
	Argv   []string
	Env    []string  // KEY=VALUE, added to the host's own environment
	Dir    string    // working directory, "" for the host's default
	Stdin  io.Reader // nil for none
	Stdout io.Writer // nil to discard
	Stderr io.Writer // nil to keep only the tail for ExitError
}

// Runner runs commands.
type Runner interface {
	// Run runs a command to its end. A non-zero exit is an *ExitError. When ctx ends first the command is
	// terminated (SIGTERM, then SIGKILL) and ctx's error is returned.
	Run(ctx context.Context, c Cmd) error
	// Start starts a command in a process group of its own, so that a Ctrl-C at our terminal does not reach
	// it. ctx bounds the start only; the process lives until it ends, is signalled, or the provider dies.
	Start(ctx context.Context, c Cmd) (Process, error)
	// LookPath finds a program, or returns an error that wraps ErrNotFound.
	LookPath(name string) (string, error)
}

// Process is a started command.
type Process interface {
	PID() int
	// Done is closed once the process has ended and Wait will not block.
	Done() <-chan struct{}
	// Wait returns nil, an *ExitError, or ctx's error if that ends first (the process then goes on).
	Wait(ctx context.Context) error
	// Terminate ends the process: SIGTERM, SIGKILL after a grace period or when ctx ends, and waits for it.
	Terminate(ctx context.Context) error
}

// Dialer reaches sockets as seen from the host: "unix" with a path, "tcp" with "127.0.0.1:port".
type Dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Listener listens on the host, "tcp" on loopback only; "127.0.0.1:0" picks a free port.
type Listener interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
}

// loopbackOnly refuses to listen on anything else.
func loopbackOnly(network, address string) error {
	if network != "tcp" {
		return net.UnknownNetworkError(network)
	}
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("cannot listen on %q: %w", address, err)
	}
	if ip := net.ParseIP(name); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("cannot listen on %q: not a loopback address", address)
	}
	return nil
}

// File is an open file on the host.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Seeker
	io.Closer
	Sync() error
	Stat() (fs.FileInfo, error)
}

// Files is the host's file system. Errors satisfy errors.Is with fs.ErrNotExist, fs.ErrExist,
// fs.ErrPermission, and syscall.ENOSPC when the disk is full.
type Files interface {
	// OpenFile takes the flags of package os: O_RDONLY, O_RDWR, O_WRONLY with O_CREATE, O_EXCL, O_TRUNC, O_APPEND.
	OpenFile(path string, flag int, perm fs.FileMode) (File, error)
	Stat(path string) (fs.FileInfo, error)
	ReadDir(path string) ([]fs.FileInfo, error)
	MkdirAll(path string, perm fs.FileMode) error
	// Rename replaces newpath atomically and makes the change durable.
	Rename(oldpath, newpath string) error
	Remove(path string) error
	RemoveAll(path string) error
	// Free is the space left for us on the file system of path, in bytes.
	Free(path string) (uint64, error)
}

// Locker gives advisory locks that span processes and end with the process that holds them.
type Locker interface {
	// Lock takes the lock file at path, made when missing. It waits until it is free or ctx ends; waiting, when
	// not nil, is called once before the first wait. The returned func releases the lock.
	Lock(ctx context.Context, path string, waiting func()) (unlock func() error, err error)
}

// ErrNotFound is wrapped by LookPath when a program is not installed.
var ErrNotFound = errors.New("not found")

// ExitError is a command that ran and did not succeed.
type ExitError struct {
	Argv   []string
	Status int    // exit status, or 128 + signal
	Stderr string // at most its last 4 KiB, when Cmd.Stderr was nil
}

func (e *ExitError) Error() string {
	msg := fmt.Sprintf("%s: exit status %d", e.Argv[0], e.Status)
	if s := strings.TrimSpace(e.Stderr); s != "" {
		msg += ": " + s
	}
	return msg
}
