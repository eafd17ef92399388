// Package provisiontest is a guest for tests: an SSH server in this process that really runs what it is told,
// with sh on this machine, but on a directory tree of its own.
package provisiontest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
)

// Faults are what is wrong with a guest. The zero value is a good one.
type Faults struct {
	Silent    bool // it accepts connections and never says a word, as QEMU does for a guest that is not up
	Stranger  bool // it has another host key, as a live installer does
	RefuseKey bool // it lets nobody in
	CutAfter  int  // the connection is lost after so many bytes of output, as when the guest crashes; 0 for never
}

// Server is a running guest.
type Server struct {
	Addr string // address of the SSH server
	Root string // the guest's file system, in which provision's scripts work (PIM_ROOT); HOME is Root/root

	t        testing.TB
	ctx      context.Context
	hostKey  ssh.Signer
	stranger ssh.Signer
	running  sync.WaitGroup

	mu     sync.Mutex
	faults Faults
	keys   []ssh.PublicKey
	conns  map[net.Conn]bool
}

// Start runs a guest that has id's host key and lets id in, until the test ends. The programs that would act on
// this machine are stubs (see Stub): systemctl, cloud-init and poweroff.
func Start(t testing.TB, id provision.Identity) *Server {
	t.Helper()
	other, err := provision.NewIdentity()
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s := &Server{
		Root: t.TempDir(), t: t, ctx: ctx, conns: map[net.Conn]bool{},
		hostKey: signer(t, id), stranger: signer(t, other),
	}
	s.Authorize(id.AuthorizedKey())
	must(t, os.MkdirAll(filepath.Join(s.Root, "root"), 0o700))
	must(t, os.MkdirAll(filepath.Join(s.Root, "run"), 0o755))
	for _, name := range []string{"systemctl", "cloud-init", "poweroff"} {
		s.Stub(name, "exit 0")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.Addr = ln.Addr().String()
	s.running.Go(func() { s.accept(ln) })
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		s.Cut()
		s.running.Wait()
	})
	return s
}

// Dial connects to the server; it is a provision.Dial.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// SetFaults changes what is wrong with the guest, for connections made from now on.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Authorize lets another key in, given as a line of authorized_keys.
func (s *Server) Authorize(line string) {
	s.t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	must(s.t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

// Cut closes all connections, as a guest does that crashes.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Stub puts a shell script of that name before all programs of this machine. Calls records when it runs.
func (s *Server) Stub(name, script string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(s.stubs(), 0o700))
	body := "#!/bin/sh\necho " + name + ` "$@" >>"$PIM_ROOT/stubs/calls"` + "\n" + script + "\n"
	must(s.t, os.WriteFile(filepath.Join(s.stubs(), name), []byte(body), 0o700))
}

// Calls returns the command lines that stubs were run with.
func (s *Server) Calls() []string {
	s.t.Helper()
	calls, err := os.ReadFile(filepath.Join(s.stubs(), "calls"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(s.t, err)
	return strings.Split(strings.TrimSpace(string(calls)), "\n")
}

func (s *Server) stubs() string { return filepath.Join(s.Root, "stubs") }

func (s *Server) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // closed by the clean-up
		}
		s.mu.Lock()
		faults := s.faults
		s.conns[conn] = true
		s.mu.Unlock()
		s.running.Go(func() {
			s.serve(conn, faults)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serve(conn net.Conn, faults Faults) {
	if faults.Silent {
		<-s.ctx.Done()
		return
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, s.letIn(key, faults)
		},
	}
	config.AddHostKey(s.hostKey)
	if faults.Stranger {
		config.AddHostKey(s.stranger) // replaces the one of the same kind
	}
	c, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	defer c.Close()
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for ch := range channels {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		sessions.Go(func() { s.session(ch, conn, faults) })
	}
}

var errRefused = errors.New("refused")

func (s *Server) letIn(key ssh.PublicKey, faults Faults) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if !faults.RefuseKey && string(k.Marshal()) == string(key.Marshal()) {
			return nil
		}
	}
	return errRefused
}

func signer(t testing.TB, id provision.Identity) ssh.Signer {
	t.Helper()
	key, err := ssh.ParsePrivateKey(id.HostPrivatePEM())
	must(t, err)
	return key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
