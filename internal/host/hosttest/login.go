package hosttest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Login is how a server of ours is reached: where it is, and the keys of both sides. The user is the one who runs the
// test.
type Login struct {
	Host       string
	Port       int
	User       string
	Identity   string // the client's private key
	KnownHosts string // a file with the server's key
	HostKey    ssh.PublicKey
}

// newLogin makes the keys in dir, among them the server's files: host_key and authorized_keys.
func newLogin(t testing.TB, dir string) Login {
	t.Helper()
	me, err := user.Current()
	must(t, err)
	l := Login{
		User: me.Username, Identity: filepath.Join(dir, "id_ed25519"), KnownHosts: filepath.Join(dir, "known_hosts"),
		HostKey: WriteKey(t, filepath.Join(dir, "host_key")),
	}
	client := WriteKey(t, l.Identity)
	must(t, os.WriteFile(filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(client), 0o600))
	return l
}

// at is the login at an address, with known_hosts written for it.
func (l Login) at(t testing.TB, address string, port int) Login {
	t.Helper()
	l.Host, l.Port = address, port
	name := knownhosts.Normalize(net.JoinHostPort(address, strconv.Itoa(port)))
	must(t, os.WriteFile(l.KnownHosts, []byte(knownhosts.Line([]string{name}, l.HostKey)+"\n"), 0o600))
	return l
}

// Client is how to reach the server; nothing of the user's own configuration is in it.
func (l Login) Client() host.SSHConfig {
	return host.SSHConfig{
		Name: "test", Host: l.Host, Port: l.Port, User: l.User, IdentityFile: l.Identity,
		KnownHosts: []string{l.KnownHosts}, ConfigFile: "none", Agent: "none",
	}
}

// Connect connects to the server, until the test ends.
func (l Login) Connect(t testing.TB) *host.SSH {
	t.Helper()
	h, err := host.DialSSH(t.Context(), l.Client())
	must(t, err)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// sshdConfig is the configuration of a server that sees the files of newLogin in dir. Lines of config win.
func sshdConfig(dir string, config ...string) []byte {
	lines := append(slices.Clone(config),
		"HostKey "+filepath.Join(dir, "host_key"),
		"AuthorizedKeysFile "+filepath.Join(dir, "authorized_keys"),
		"StrictModes no", // of a temporary folder
		"UsePAM no",
		"PermitRootLogin prohibit-password",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"LogLevel INFO",
	)
	for keyword, value := range map[string]string{ // which may be given only once
		"Subsystem": "sftp internal-sftp",
		"SetEnv":    "SHLVL=9", // keeps bash from reading this user's own .bashrc
		"PidFile":   "none",
	} {
		if !strings.Contains(strings.Join(config, "\n"), keyword) {
			lines = append(lines, keyword+" "+value)
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// WriteKey makes a private key file that OpenSSH can read, and returns the public key.
func WriteKey(t testing.TB, name string) ssh.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "test")
	must(t, err)
	must(t, os.WriteFile(name, pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	must(t, err)
	return key
}
