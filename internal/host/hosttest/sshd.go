package hosttest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// SSHD is OpenSSH's server on loopback, with keys and a configuration of its own. It lets in the user who runs the
// test. Each connection has a server process of its own, and can be cut or frozen.
type SSHD struct {
	Login
	Dir string // all of its files

	t       testing.TB
	program string
	ln      net.Listener
	running sync.WaitGroup

	mu     sync.Mutex
	relays map[*relay]bool
	silent bool
	limit  int64
}

// StartSSHD starts a server that ends with the test. config are more lines of its sshd_config, which win over its own.
// The test is skipped where there is no sshd.
func StartSSHD(t testing.TB, config ...string) *SSHD {
	t.Helper()
	s := &SSHD{Dir: t.TempDir(), t: t, program: findSSHD(t), relays: map[*relay]bool{}}
	if os.Geteuid() == 0 {
		must(t, os.MkdirAll("/run/sshd", 0o755)) // where it goes while it knows nobody
	}
	must(t, os.WriteFile(s.config(), sshdConfig(s.Dir, config...), 0o600))
	var err error
	s.ln, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.Login = newLogin(t, s.Dir).at(t, "127.0.0.1", s.ln.Addr().(*net.TCPAddr).Port)
	s.running.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

func findSSHD(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "sshd"} {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return path
			}
		}
	}
	t.Skip("there is no sshd on this machine: install OpenSSH's server (in CI, make setup does)")
	return ""
}

func (s *SSHD) config() string { return filepath.Join(s.Dir, "sshd_config") }

// Log is what the server said.
func (s *SSHD) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.Dir, "log")) // it may not have said anything
	return string(text)
}

// Cut closes all connections, as a machine in between does that is restarted.
func (s *SSHD) Cut() { s.each((*relay).cut) }

// Freeze carries nothing any more, in either direction, on the connections there are: both sides wait. New ones are as
// before.
func (s *SSHD) Freeze() { s.each((*relay).freeze) }

// Connections is how many there are.
func (s *SSHD) Connections() (n int) {
	s.each(func(*relay) { n++ })
	return n
}

func (s *SSHD) each(do func(*relay)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.relays {
		do(r)
	}
}

// Silent makes new connections hear nothing, or hear again.
func (s *SSHD) Silent(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = silent
}

// CutAfter makes new connections end once they have carried so many bytes, both directions together; 0 for no end.
func (s *SSHD) CutAfter(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = bytes
}

func (s *SSHD) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return // closed by stop
		}
		r := &relay{client: c, frozen: make(chan struct{}), over: make(chan struct{})}
		s.mu.Lock()
		s.relays[r] = true
		r.left.Store(s.limit)
		r.limited = s.limit > 0
		if s.silent {
			r.freeze()
		}
		s.mu.Unlock()
		s.running.Go(func() {
			if err := s.serve(r); err != nil {
				s.t.Errorf("sshd: %v", err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.relays, r)
		})
	}
}

// serve runs a server process for one connection, as inetd does.
func (s *SSHD) serve(r *relay) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := exec.Command(s.program, "-i", "-f", s.config(), "-E", filepath.Join(s.Dir, "log"))
	cmd.Stdin, cmd.Stdout = theirs, theirs
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", s.program, err)
	}
	_ = theirs.Close()
	r.server = ours
	r.run()
	_ = cmd.Process.Kill() // it has nobody to serve
	_ = cmd.Wait()
	return nil
}

func (s *SSHD) stop() {
	_ = s.ln.Close()
	s.Cut()
	s.running.Wait()
	if s.t.Failed() {
		s.t.Logf("sshd said:\n%s", s.Log())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
