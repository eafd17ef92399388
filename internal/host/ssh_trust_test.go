package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// refuses tests that connecting fails with an error, and that it says something.
func refuses(t *testing.T, c host.SSHConfig, want error, says ...string) string {
	t.Helper()
	h, err := host.DialSSH(bounded(t), c)
	if err == nil {
		_ = h.Close()
		t.Fatal("connected")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("got %v, which does not say %q", err, s)
		}
	}
	return err.Error()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSSHUnknownHostKey(t *testing.T) {
	s := hosttest.StartSSHD(t)
	c := s.Client()
	c.KnownHosts = []string{filepath.Join(t.TempDir(), "none")}
	shown := ssh.FingerprintSHA256(s.HostKey)
	text := refuses(t, c, host.ErrUnknownHostKey, shown, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", c.KnownHosts[0])
	line := regexp.MustCompile(`(?m)^\[127\.0\.0\.1\]:\d+ ssh-ed25519 .*$`).FindString(text)
	write(t, c.KnownHosts[0], "# a comment\n"+line+"\n")
	dialSSH(t, c) // what it says to do helps
}

func TestSSHChangedHostKey(t *testing.T) {
	s := hosttest.StartSSHD(t)
	c := s.Client()
	dir := t.TempDir()
	other := hosttest.WriteKey(t, filepath.Join(dir, "other"))
	address := knownhosts.Normalize(fmt.Sprintf("127.0.0.1:%d", s.Port))
	c.KnownHosts = []string{write(t, filepath.Join(dir, "known"), "\n\n"+knownhosts.Line([]string{address}, other)+"\n")}
	refuses(t, c, host.ErrChangedHostKey, c.KnownHosts[0]+":3", ssh.FingerprintSHA256(other), ssh.FingerprintSHA256(s.HostKey))

	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if other, err = ssh.NewPublicKey(private.Public()); err != nil {
		t.Fatal(err)
	}
	write(t, c.KnownHosts[0], knownhosts.Line([]string{address}, other)+"\n") // of a kind that the server has none of
	refuses(t, c, host.ErrChangedHostKey, c.KnownHosts[0]+":1", "no key of a known kind")
	write(t, c.KnownHosts[0], "@revoked * "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.HostKey)))+"\n")
	refuses(t, c, host.ErrChangedHostKey, "revoked", "line 1")
}

func TestSSHKeys(t *testing.T) {
	s := hosttest.StartSSHD(t)
	dir := t.TempDir()
	stranger := filepath.Join(dir, "stranger")
	shown := ssh.FingerprintSHA256(hosttest.WriteKey(t, stranger))
	c := s.Client()
	c.IdentityFile = stranger
	refuses(t, c, host.ErrSSHAuth, shown, "user "+s.User)
	c.IdentityFile = filepath.Join(dir, "none")
	refuses(t, c, os.ErrNotExist, c.IdentityFile)
	c.IdentityFile = write(t, filepath.Join(dir, "rubbish"), "rubbish")
	refuses(t, c, nil, c.IdentityFile)
	c.IdentityFile = ""
	c.Home = dir
	refuses(t, c, host.ErrSSHAuth, "no key was offered")
	c.Agent = filepath.Join(dir, "none")
	refuses(t, c, host.ErrSSHAuth, "the ssh-agent does not answer")
}

func TestSSHAgent(t *testing.T) {
	s := hosttest.StartSSHD(t)
	dir := t.TempDir()
	private, err := os.ReadFile(s.Identity)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(*key.(*ed25519.PrivateKey), "test", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client()
	c.IdentityFile = write(t, filepath.Join(dir, "encrypted"), string(pem.EncodeToMemory(block)))
	refuses(t, c, nil, "is encrypted", "ssh-add "+c.IdentityFile)

	keyring := agent.NewKeyring()
	for range 9 { // more keys than a server lets one try
		_, other, err := ed25519.GenerateKey(rand.Reader)
		if err == nil {
			err = keyring.Add(agent.AddedKey{PrivateKey: other})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Agent = serveAgent(t, keyring)
	refuses(t, c, nil, "is encrypted")
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dialSSH(t, c)
	c.IdentityFile = write(t, filepath.Join(dir, "public.pub"), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(publicOf(t, private)))))
	dialSSH(t, c)

	c.Agent = serveAgent(t, askingAgent{keyring, t.Context()})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := host.DialSSH(ctx, c); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}

// askingAgent asks a person about every use of a key, and nobody is there.
type askingAgent struct {
	agent.Agent
	test context.Context
}

func (a askingAgent) Sign(ssh.PublicKey, []byte) (*ssh.Signature, error) {
	<-a.test.Done()
	return nil, a.test.Err()
}

func publicOf(t *testing.T, private []byte) ssh.PublicKey {
	t.Helper()
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey()
}

// serveAgent is an ssh-agent, until the test ends.
func serveAgent(t *testing.T, keyring agent.Agent) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pim") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ln.Close()
		_ = os.RemoveAll(dir)
	})
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keyring, c) //nolint:errcheck // ends with the connection
		}
	}()
	return socket
}

// TestSSHConfigFile goes by two jump hosts, with nothing but a name.
func TestSSHConfigFile(t *testing.T) {
	first, second, machine := hosttest.StartSSHD(t), hosttest.StartSSHD(t), hosttest.StartSSHD(t)
	dir := t.TempDir()
	known := ""
	for _, s := range []*hosttest.SSHD{first, second, machine} {
		b, err := os.ReadFile(s.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		known += string(b)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".ssh", "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, ".ssh", "known"), known)
	host1 := func(name string, s *hosttest.SSHD, more string) string {
		key, err := os.ReadFile(s.Identity)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, ".ssh", "keys", fmt.Sprint(s.Port)), string(key))
		return fmt.Sprintf("Host %s\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile ~/.ssh/keys/%%p\n%s\n", name, s.Port, s.User, more)
	}
	vendor, plain := filepath.Join(dir, "50-redhat.conf"), filepath.Join(dir, "plain.conf")
	write(t, vendor, "Match final all\n  GSSAPIAuthentication yes\nHost *\n  Port 1\n")
	write(t, plain, "Match host nobody\n  Port 1\nMatch all\n  IdentitiesOnly yes\n")
	// What cannot be decided here is left out: it would keep every one of these from its machine.
	undecidable := "Match host builder exec \"false\"\n  HostName 192.0.2.1\n\nMatch User=somebody\n  Port 1\nHost none\n  Port 1\n" +
		"Include " + vendor + "\nInclude \"" + plain + "\"\n"
	write(t, filepath.Join(dir, ".ssh", "config"), undecidable+host1("first", first, "")+host1("second", second, "  ProxyJump first")+
		host1("builder", machine, "  ProxyJump second")+host1("direct", machine, "  ProxyCommand nc %h %p")+
		host1("circle", machine, "  ProxyJump round")+host1("round", machine, "  ProxyJump circle")+
		"Host *\n  UserKnownHostsFile ~/.ssh/known\n  StrictHostKeyChecking no\n")
	c := host.SSHConfig{Host: "builder", Home: dir, Agent: "none", DeadAfter: time.Second}
	h := dialSSH(t, c)
	if h.Name() != "builder" || first.Connections() != 1 || second.Connections() != 1 || machine.Connections() != 1 {
		t.Errorf("%s: connections %d, %d, %d", h.Name(), first.Connections(), second.Connections(), machine.Connections())
	}
	first.Freeze()
	within(t, "word of the loss", h.Disconnected())
	if err := errors.Join(h.Reconnect(bounded(t)), h.Run(t.Context(), host.Cmd{Argv: []string{"true"}})); err != nil {
		t.Error(err)
	}
	c.JumpHost = fmt.Sprintf("%s@127.0.0.1:%d,second", first.User, first.Port) // has no key of its own
	refuses(t, c, host.ErrSSHAuth, fmt.Sprintf("127.0.0.1:%d", first.Port))
	c.JumpHost = "first,second"
	dialSSH(t, c)
	c.JumpHost = "none"
	dialSSH(t, c)
	c.Host, c.JumpHost = "direct", ""
	refuses(t, c, nil, "ProxyCommand")
	c.Host = "circle"
	refuses(t, c, nil, "in circles")
	c.Host, c.ConfigFile = "builder", filepath.Join(dir, "none")
	refuses(t, c, os.ErrNotExist)
	c.Host = ""
	refuses(t, c, nil, "no host")
}

func TestSSHHandshakeEndsWithItsContext(t *testing.T) {
	s := hosttest.StartSSHD(t)
	s.Silent(true)
	c := s.Client()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := host.DialSSH(ctx, c); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
	c.Port = 1
	refuses(t, c, nil, "refused")
}
