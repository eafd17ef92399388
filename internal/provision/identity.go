// Package provision works inside a running guest: it waits for SSH, runs scripts, makes the guest generic and, on
// the image's first boot, proves that it is. It reaches the guest through a dial function and knows nothing of
// the machine around it.
package provision

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Identity is what a build and its guest know each other by: the key the build logs in with and the key the
// guest's SSH server must have. Both are made for one installation and are gone from a finalized image.
//
// The zero value has no keys, and only UnmarshalText gives it some.
type Identity struct {
	// keys is a function because fmt cannot look into one: a print of a struct that has an Identity in an
	// unexported field does not get to Format.
	keys func() keys
}

type keys struct{ client, host ed25519.PrivateKey }

// The comments tell the keys apart in a file, and a left-over one in an image.
const (
	clientComment = "pim-build-client"
	hostComment   = "pim-build-host"
)

// NewIdentity makes a fresh pair of ed25519 keys.
func NewIdentity() (Identity, error) {
	_, client, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot make the build's key: %w", err)
	}
	_, host, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Identity{}, fmt.Errorf("cannot make the guest's host key: %w", err)
	}
	return Identity{func() keys { return keys{client, host} }}, nil
}

// AuthorizedKey is the client's public key as a line of authorized_keys, without a line end.
func (id Identity) AuthorizedKey() string { return publicLine(id.keys().client, clientComment) }

// HostKey is the host's public key as a line of known_hosts without its host name, and without a line end.
func (id Identity) HostKey() string { return publicLine(id.keys().host, hostComment) }

// ClientPrivatePEM is the client's private key in OpenSSH's format, for a file that ssh -i is given.
func (id Identity) ClientPrivatePEM() []byte { return privatePEM(id.keys().client, clientComment) }

// HostPrivatePEM is the host's private key in OpenSSH's format.
func (id Identity) HostPrivatePEM() []byte { return privatePEM(id.keys().host, hostComment) }

// MarshalText returns both private keys as PEM blocks in OpenSSH's format, client first. Keep it in a file that
// only its owner can read.
func (id Identity) MarshalText() ([]byte, error) {
	if id.keys == nil {
		return nil, errNoKeys
	}
	return append(id.ClientPrivatePEM(), id.HostPrivatePEM()...), nil
}

// UnmarshalText reads what MarshalText wrote.
func (id *Identity) UnmarshalText(text []byte) error {
	var read keys
	for _, k := range []struct {
		name string
		dst  *ed25519.PrivateKey
	}{{clientComment, &read.client}, {hostComment, &read.host}} {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return fmt.Errorf("cannot read the build's identity: no key %s", k.name)
		}
		key, err := ssh.ParseRawPrivateKey(pem.EncodeToMemory(block))
		if err != nil {
			return fmt.Errorf("cannot read the build's identity: %s: %w", k.name, err)
		}
		private, ok := key.(*ed25519.PrivateKey)
		if !ok {
			return fmt.Errorf("cannot read the build's identity: %s is a %T", k.name, key)
		}
		*k.dst = *private
	}
	if len(bytes.TrimSpace(text)) > 0 {
		return errors.New("cannot read the build's identity: there is something after its keys")
	}
	id.keys = func() keys { return read }
	return nil
}

// Format keeps the keys out of every print.
func (id Identity) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "provision.Identity{REDACTED}")
}

// LogValue keeps the keys out of logs.
func (id Identity) LogValue() slog.Value { return slog.StringValue("REDACTED") }

var errNoKeys = errors.New("the identity has no keys")

func publicLine(key ed25519.PrivateKey, comment string) string {
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		panic(err) // an ed25519 key always has an SSH form
	}
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(public)), "\n") + " " + comment
}

func privatePEM(key crypto.PrivateKey, comment string) []byte {
	block, err := ssh.MarshalPrivateKey(key, comment)
	if err != nil {
		panic(err) // an ed25519 key always has an SSH form
	}
	return pem.EncodeToMemory(block)
}
