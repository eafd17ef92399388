package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// ErrSSHAuth is wrapped when a machine lets us in with none of the keys we have.
var ErrSSHAuth = errors.New("the machine accepts none of our SSH keys")

// credentials are the keys to offer to one server, and why others are not among them.
type credentials struct {
	signers []ssh.Signer
	notes   []string
	agent   net.Conn // nil for none
}

func (c *credentials) close() {
	if c.agent != nil {
		_ = c.agent.Close()
	}
}

// explain says with which keys a server did not let us in.
func (c *credentials) explain(t sshTarget) error {
	var tried []string
	for _, s := range c.signers {
		tried = append(tried, s.PublicKey().Type()+" "+ssh.FingerprintSHA256(s.PublicKey()))
	}
	offered := "no key was offered"
	if len(tried) > 0 {
		offered = "offered: " + strings.Join(tried, ", ")
	}
	text := fmt.Sprintf("user %s, %s", t.user, offered)
	if len(c.notes) > 0 {
		text += "; not offered: " + strings.Join(c.notes, "; ")
	}
	return fmt.Errorf("%w (%s)", ErrSSHAuth, text)
}

// credentials gathers keys as ssh does: those of the identity files first, through the ssh-agent where it has them,
// and then the agent's others. An encrypted file can only be used through the agent.
func (t sshTarget) credentials(ctx context.Context) (_ *credentials, err error) {
	c := &credentials{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	var inAgent []ssh.Signer
	if t.agent != "" {
		if inAgent, err = c.openAgent(ctx, t.agent); err != nil {
			c.notes = append(c.notes, err.Error())
		}
	}
	for i, file := range t.identities {
		signer, err := identity(file, inAgent)
		switch {
		case err == nil:
			c.signers = append(c.signers, signer)
		case i < t.wanted:
			return nil, err
		case !errors.Is(err, fs.ErrNotExist):
			c.notes = append(c.notes, err.Error())
		}
	}
	if !t.identitiesOnly {
		for _, s := range inAgent {
			if !slices.ContainsFunc(c.signers, func(o ssh.Signer) bool { return sameKey(o.PublicKey(), s.PublicKey()) }) {
				c.signers = append(c.signers, s)
			}
		}
	}
	return c, nil
}

func (c *credentials) openAgent(ctx context.Context, socket string) ([]ssh.Signer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("the ssh-agent does not answer: %w", err)
	}
	c.agent = conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, fmt.Errorf("the ssh-agent at %s does not answer: %w", socket, err)
	}
	return signers, nil
}

// identity is the key of a file. The file may be the private key or, when the agent has that, the public one alone.
func identity(file string, inAgent []ssh.Signer) (ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the identity file: %w", err)
	}
	missing := err
	var signer ssh.Signer
	var public ssh.PublicKey
	var encrypted *ssh.PassphraseMissingError
	switch signer, err = ssh.ParsePrivateKey(text); {
	case err == nil:
		public = signer.PublicKey()
	case errors.As(err, &encrypted):
		public = encrypted.PublicKey // nil in the formats older than OpenSSH's own
	}
	if public == nil {
		public = readPublic(file, text)
	}
	for _, s := range inAgent {
		if public != nil && sameKey(s.PublicKey(), public) {
			return s, nil
		}
	}
	switch {
	case signer != nil:
		return signer, nil
	case missing != nil:
		return nil, fmt.Errorf("cannot read the identity file: %w", missing)
	case encrypted != nil:
		return nil, fmt.Errorf("%s is encrypted and the ssh-agent does not have it: run ssh-add %s", file, file)
	case public != nil:
		return nil, fmt.Errorf("%s is a public key, and the ssh-agent does not have the private one", file)
	}
	return nil, fmt.Errorf("cannot read the identity file %s: %w", file, err)
}

// readPublic finds the public key of an identity file that does not tell: it is that key, or beside it.
func readPublic(file string, text []byte) ssh.PublicKey {
	beside, _ := os.ReadFile(file + ".pub")
	for _, line := range [][]byte{text, beside} {
		if key, _, _, _, err := ssh.ParseAuthorizedKey(line); err == nil {
			return key
		}
	}
	return nil
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }
