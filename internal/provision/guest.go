package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// outputLimit is how much Output takes, in bytes.
const outputLimit = 16 << 20

// Guest is an SSH connection into a guest. It is safe for concurrent use.
type Guest struct {
	peer peer
	key  string // the public key it let us in with: type and base64, as in authorized_keys

	mu     sync.Mutex
	client *ssh.Client
	regain func(context.Context) error
}

func newGuest(client *ssh.Client, p peer) *Guest {
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p.signer.PublicKey())))
	return &Guest{peer: p, key: key, client: client}
}

// Close closes the connection; what still runs in the guest goes on. It may be called again.
func (g *Guest) Close() error {
	if err := g.now().Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot close the SSH connection: %w", err)
	}
	return nil
}

func (g *Guest) now() *ssh.Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.client
}

// ErrConnectionLost is a connection that ended before the guest had told how a command ended: the guest crashed,
// rebooted, or powered off.
var ErrConnectionLost = errors.New("the SSH connection to the guest was lost")

// StatusError is a command in the guest that ended with a status other than zero.
type StatusError struct {
	Status int
	Stderr string // its last lines, when they were not streamed elsewhere
}

func (e *StatusError) Error() string {
	msg := fmt.Sprintf("exit status %d", e.Status)
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

// Output runs a shell command to its end and returns what it wrote to its standard output. After a lost connection (see
// OnLost) it runs once more.
// Errors: *StatusError, ErrConnectionLost, ctx's cause, more than 16 MiB of output.
func (g *Guest) Output(ctx context.Context, command string) ([]byte, error) {
	var out *capped
	err := g.repeat(ctx, func(client *ssh.Client) error {
		out = &capped{limit: outputLimit}
		return g.execOn(ctx, client, command, nil, out, nil)
	})
	if err != nil {
		return nil, err
	}
	if out.over {
		return nil, fmt.Errorf("the command wrote more than %d MiB", outputLimit>>20)
	}
	return out.buf.Bytes(), nil
}

// Upload writes a file in the guest, replacing it at once when all of it has arrived.
func (g *Guest) Upload(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	part := path.Join(path.Dir(name), "."+path.Base(name)+".part")
	command := fmt.Sprintf("umask 077; cat >%[1]s && chmod %[2]o %[1]s && mv -f %[1]s %[3]s || { rm -f %[1]s; exit 1; }",
		quote(part), perm.Perm(), quote(name))
	err := g.repeat(ctx, func(client *ssh.Client) error {
		return g.execOn(ctx, client, command, bytes.NewReader(data), nil, nil)
	})
	if err != nil {
		return fmt.Errorf("cannot upload %s: %w", name, err)
	}
	return nil
}

// PowerOff powers the guest off and returns once it has accepted to. Services are killed, not stopped: what they
// would write on their way out (a random seed, leases, login records) would be new, after Finalize. File systems
// are unmounted. The connection is of no use afterwards.
func (g *Guest) PowerOff(ctx context.Context) error {
	err := g.exec(ctx, "sync; systemctl poweroff --force", nil, nil, nil)
	if err != nil && !errors.Is(err, ErrConnectionLost) {
		return fmt.Errorf("cannot power the guest off: %w", err)
	}
	return nil
}

// exec runs a shell command in the guest. nil writers discard; with a nil stderr its end is in the *StatusError.
// When ctx ends first, the session is given up and ctx's cause returned: the command goes on in the guest, and
// nothing of it is written any more. sshd does not close such a session before the command has ended, so nobody
// waits for that; what is left of it here ends with the connection.
func (g *Guest) exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	return g.execOn(ctx, g.now(), command, stdin, stdout, stderr)
}

func (g *Guest) execOn(ctx context.Context, client *ssh.Client, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	var gate gate
	last := &tail{limit: 5}
	if stderr == nil {
		stderr = last
	}
	done := make(chan error, 1)
	go func() { done <- session(ctx, client, command, stdin, gate.writer(stdout), gate.writer(stderr)) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		gate.shut()
		return context.Cause(ctx)
	}
	var status *StatusError
	if errors.As(err, &status) && status.Stderr == "" {
		status.Stderr = strings.Join(last.lines(), "\n")
	}
	return err
}

func session(ctx context.Context, client *ssh.Client, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	s, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	s.Stdin, s.Stdout, s.Stderr = stdin, stdout, stderr
	// Whatever root's login shell is, it takes this one line; the script is for sh.
	err = s.Run("exec /bin/sh -c " + quote(command))
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case errors.As(err, &exit) && exit.Signal() == "":
		return &StatusError{Status: exit.ExitStatus()}
	case errors.As(err, &exit):
		return &StatusError{128, "killed by SIG" + exit.Signal()}
	case errors.As(err, &missing), errors.Is(err, io.EOF):
		return ErrConnectionLost
	case err != nil: // neither our writers nor our readers fail
		return fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	return nil
}

// quote quotes a word for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
