package hosttest

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// WorkDir is a Machine's work folder, by the name that it has there.
const WorkDir = "/srv/pim"

// Machine is a machine inside this one, with OpenSSH's server: its network, its files and its processes are its own. It
// has programs, /etc and devices in common with this one, and nothing else: /tmp, the home folders and the work folder
// are its own. A cable leads to it, which can be unplugged. It ends with the test, however that ends, and nothing of it
// stays.
type Machine struct {
	Login

	t     testing.TB
	pid   int    // of its process 1, outside
	cable string // our end of its cable
	dir   string // its sshd's files

	mu    sync.Mutex // held for a line and its answer
	stdin io.WriteCloser
	out   *bufio.Reader
}

// MachineOptions are what a Machine need not have.
type MachineOptions struct {
	Work  string   // a folder of this machine that becomes its work folder; "" for a new one
	Size  int64    // bytes in its work folder, which is then in memory; 0 for no limit of its own
	Share []string // folders that it has in common with this machine, under the same names
}

//go:embed machine.sh
var machineScript string

// StartMachine starts a Machine. It wants Linux and root, who may make namespaces; without them the test is skipped.
func StartMachine(t testing.TB, o MachineOptions) *Machine {
	t.Helper()
	needMachines(t)
	m := &Machine{t: t, dir: t.TempDir()}
	if o.Work == "" {
		o.Work = t.TempDir()
	}
	size := "-"
	if o.Size > 0 {
		size = fmt.Sprint(o.Size)
	}
	must(t, os.WriteFile(filepath.Join(m.dir, "sshd_config"), sshdConfig("/run/pim", "PidFile /run/sshd.pid"), 0o600))
	m.Login = newLogin(t, m.dir)
	m.start(append([]string{findSSHD(t), t.TempDir(), m.dir, o.Work, size}, o.Share...))
	ours, theirs := m.plug()
	m.Do("ip addr add " + theirs.String() + " dev cable && ip link set cable up && serve")
	m.outside("ip", "addr", "add", ours.String(), "dev", m.cable)
	m.outside("ip", "link", "set", m.cable, "up")
	m.Login = m.at(t, theirs.Addr().String(), 22)
	return m
}

// needMachines skips a test where no Machine can be made. In CI the programs for it are installed.
func needMachines(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make network namespaces")
	}
	for _, name := range []string{"ip", "unshare", "pivot_root"} {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed (`make setup` installs what Linux has of it)", name)
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", namespaces("true")...).CombinedOutput(); err != nil {
		t.Skipf("namespaces cannot be made here: %v: %s", err, out)
	}
}

// namespaces are unshare's arguments for a command in namespaces of its own; they end when unshare is killed.
func namespaces(command ...string) []string {
	return append([]string{"--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--"}, command...)
}

// start starts its process 1.
func (m *Machine) start(args []string) {
	m.t.Helper()
	var err error
	cmd := exec.Command("unshare", namespaces(append([]string{"sh", "-c", machineScript, "machine"}, args...)...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	m.stdin, err = cmd.StdinPipe()
	must(m.t, err)
	out, err := cmd.StdoutPipe()
	must(m.t, err)
	m.out = bufio.NewReader(out)
	must(m.t, cmd.Start())
	m.t.Cleanup(func() {
		_ = m.stdin.Close()
		late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait() // until all processes in it have ended
		if m.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(m.dir, "log")) // it may not have said anything
			m.t.Logf("the machine's sshd said:\n%s\nand the machine:\n%s", log, errs.String())
		}
	})
	if _, err := fmt.Fscan(m.out, &m.pid); err != nil {
		m.t.Fatalf("the machine does not start: %v", err)
	}
	m.Do("true") // until its file system is ready
}

// Do carries out a line of shell on the machine, as root.
func (m *Machine) Do(line string) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := fmt.Fprintln(m.stdin, line); err != nil {
		m.t.Fatalf("the machine has ended: %v", err)
	}
	for {
		said, err := m.out.ReadString('\n')
		if err != nil {
			m.t.Fatalf("the machine ended during: %s", line)
		}
		switch status, done := strings.CutPrefix(strings.TrimSpace(said), "done "); {
		case done && status != "0":
			m.t.Fatalf("on the machine: exit status %s: %s", status, line)
		case done:
			return
		}
	}
}

// outside runs a command on this side.
func (m *Machine) outside(argv ...string) {
	m.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// testNets are the networks of documentation, which nobody has. Source: RFC 5737.
var testNets = []string{"198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24"}

// plug makes the cable and returns the addresses of its ends, four to a network. The name of our end says which ones
// are taken, so that tests beside each other have others.
func (m *Machine) plug() (ours, theirs netip.Prefix) {
	m.t.Helper()
	for _, network := range testNets {
		block := netip.MustParsePrefix(network)
		if inUse(m.t, block) {
			continue
		}
		for _, n := range rand.Perm(64) {
			low := block.Addr().As4()
			low[3] = byte(4 * n)
			m.cable = fmt.Sprintf("pim%02x%02x%02x%02x", low[0], low[1], low[2], low[3])
			out, err := exec.Command("ip", "link", "add", m.cable, "type", "veth", "peer", "name", "cable", "netns", fmt.Sprint(m.pid)).CombinedOutput()
			if strings.Contains(string(out), "exists") {
				continue
			}
			if err != nil {
				m.t.Fatalf("cannot make a cable: %v: %s", err, out)
			}
			first := netip.AddrFrom4(low).Next()
			return netip.PrefixFrom(first, 30), netip.PrefixFrom(first.Next(), 30)
		}
	}
	m.t.Fatal("no address is free for another machine")
	panic("unreachable")
}

// inUse tells whether this machine is itself in a network, other than by our cables.
func inUse(t testing.TB, block netip.Prefix) bool {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Bits() != 30 && p.Overlaps(block) {
			return true
		}
	}
	return false
}

// LinkDown takes the machine's end of the cable down: nothing comes or goes, and nobody is told.
func (m *Machine) LinkDown() { m.Do("ip link set cable down") }

// LinkUp takes it up again.
func (m *Machine) LinkUp() { m.Do("ip link set cable up") }

// ChangeHostKey has the server show another key to those who connect from now on. KnownHosts stays as it is, and
// HostKey the key in it.
func (m *Machine) ChangeHostKey() ssh.PublicKey {
	m.t.Helper()
	key := WriteKey(m.t, filepath.Join(m.dir, "host_key"))
	m.Do("serve")
	return key
}

// Trust makes a key the known one, as somebody does who was told of it.
func (m *Machine) Trust(key ssh.PublicKey) {
	m.t.Helper()
	m.HostKey = key
	m.Login = m.at(m.t, m.Host, m.Port)
}

// Leave makes the file system of the work folder so small, or so large, that it has room for as many bytes more.
func (m *Machine) Leave(bytes int64) {
	m.t.Helper()
	m.Do(fmt.Sprintf("mount -o remount,size=$(( $(df -B1 --output=used %[1]s | tail -n1) + %[2]d )) %[1]s", WorkDir, bytes))
}

// Here is the name by which this machine reaches a file of that one, as long as that one is there.
func (m *Machine) Here(path string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.pid), path)
}

// Listen listens on the machine's loopback, as a process there would.
func (m *Machine) Listen(network, address string) (ln net.Listener, err error) {
	err = inNetworkOf(m.pid, func() error {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// Processes are the command lines of what runs on the machine, without those that have ended.
func (m *Machine) Processes() (all []string) {
	m.t.Helper()
	files, err := filepath.Glob(m.Here("/proc/[0-9]*/cmdline"))
	must(m.t, err)
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && len(line) > 0 {
			all = append(all, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
		}
	}
	return all
}
