package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// Why a machine is not trusted. The errors that wrap them say what to do.
var (
	// ErrUnknownHostKey: no known_hosts file has a key of the machine.
	ErrUnknownHostKey = errors.New("the SSH host key is not known")
	// ErrChangedHostKey: the machine shows another key than the known one, or one that was revoked.
	ErrChangedHostKey = errors.New("THE SSH HOST KEY HAS CHANGED")
)

// hostKeys checks the keys of one server against known_hosts files.
type hostKeys struct {
	target sshTarget
	db     *knownhosts.HostKeyDB
	file   string // where a new line goes
	err    error  // what the last check found
}

// hostKeys reads the server's known_hosts files. One that is not there is empty.
func (t sshTarget) hostKeys() (*hostKeys, error) {
	k := &hostKeys{target: t, file: "known_hosts"}
	var files []string
	for _, f := range t.knownHosts {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot read the known SSH host keys: %w", err)
		}
	}
	if len(t.knownHosts) > 0 {
		k.file = t.knownHosts[0]
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("cannot read the known SSH host keys: %w", err)
	}
	k.db = db
	return k, nil
}

// algorithms are those of the keys that are known, so that the server shows one of them; none for any.
func (k *hostKeys) algorithms() []string { return k.db.HostKeyAlgorithms(k.target.keyAddr) }

// check is an ssh.HostKeyCallback.
func (k *hostKeys) check(_ string, remote net.Addr, key ssh.PublicKey) error {
	err := k.db.HostKeyCallback()(k.target.keyAddr, remote, key)
	var known *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	switch {
	case err == nil:
	case errors.As(err, &revoked):
		err = fmt.Errorf("%w: %s shows the key %s, which is revoked by line %d of %s. Do not connect",
			ErrChangedHostKey, k.target.addr, ssh.FingerprintSHA256(key), revoked.Revoked.Line, revoked.Revoked.Filename)
	case errors.As(err, &known) && len(known.Want) > 0:
		err = k.changed("shows "+key.Type()+" "+ssh.FingerprintSHA256(key), known.Want)
	case errors.As(err, &known):
		err = k.unknown(key)
	default:
		err = fmt.Errorf("%w: %w", ErrUnknownHostKey, err)
	}
	k.err = err
	return err
}

func (k *hostKeys) unknown(key ssh.PublicKey) error {
	kind := strings.TrimSuffix(strings.TrimPrefix(key.Type(), "ssh-"), "-nistp256")
	if strings.HasPrefix(key.Type(), "ecdsa-") {
		kind = "ecdsa"
	}
	return fmt.Errorf("%w: %s shows %s %s. Compare that with what the machine itself says, at its console or through "+
		"somebody who has it: ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub. If it is the same, add this line to %s:\n%s",
		ErrUnknownHostKey, k.target.addr, key.Type(), ssh.FingerprintSHA256(key), kind, k.file,
		knownhosts.Line([]string{k.target.keyAddr}, key))
}

func (k *hostKeys) changed(shows string, want []xknownhosts.KnownKey) error {
	var lines []string
	for _, w := range want {
		lines = append(lines, fmt.Sprintf("%s:%d (%s %s)", w.Filename, w.Line, w.Key.Type(), ssh.FingerprintSHA256(w.Key)))
	}
	return fmt.Errorf("%w: %s %s, known is %s. Somebody may be listening in between, or the machine was installed "+
		"anew. Ask who runs it; only if the new key is right, remove those lines with ssh-keygen -R %q",
		ErrChangedHostKey, k.target.addr, shows, strings.Join(lines, ", "), knownhosts.Normalize(k.target.keyAddr))
}

// none is the error of a server that has no key of a kind that is known: it changed too.
func (k *hostKeys) none() error {
	var known *xknownhosts.KeyError
	// The callback tells which lines there are when it is asked for a key that cannot be among them.
	err := k.db.HostKeyCallback()(k.target.keyAddr, &net.TCPAddr{IP: net.IPv4zero}, noKey{})
	if !errors.As(err, &known) || len(known.Want) == 0 {
		return nil
	}
	return k.changed("shows no key of a known kind", known.Want)
}

// noKey is a key that no file has.
type noKey struct{}

func (noKey) Type() string                            { return "none" }
func (noKey) Marshal() []byte                         { return []byte("none") }
func (noKey) Verify(_ []byte, _ *ssh.Signature) error { return errors.New("not a key") }
