package provision_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
)

// install runs a script that begins with the identity's block in a tree.
func install(t *testing.T, id provision.Identity, root, rest string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = strings.NewReader(id.InstallBlock() + "\n" + rest)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "PIM_ROOT=" + root}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestInstallBlock(t *testing.T) {
	id, root := newIdentity(t), t.TempDir()
	fill(t, root, map[string]string{"usr/sbin/sshd": "", "etc/ssh/ssh_host_rsa_key": "the package's own"})
	out, err := install(t, id, root, "umask; echo rest ${pim_status-}")
	if err != nil || out != "0022\nrest\n" {
		t.Fatalf("got %q, %v", out, err)
	}
	for name, want := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"root/.ssh/authorized_keys":        {id.AuthorizedKey() + "\n", 0o600},
		"etc/ssh/ssh_host_ed25519_key":     {"", 0o600},
		"etc/ssh/ssh_host_ed25519_key.pub": {id.HostKey() + "\n", 0o644},
	} {
		file := filepath.Join(root, name)
		text, err := os.ReadFile(file)
		if err != nil || want.text != "" && string(text) != want.text {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want.mode {
			t.Errorf("%s: got %v, %v", name, info, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "etc/ssh/ssh_host_ed25519_key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil || !strings.HasPrefix(id.HostKey(), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))) {
		t.Errorf("the host key is another one, %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/ssh/ssh_host_rsa_key")); err == nil {
		t.Error("another host key stayed")
	}
}

func TestInstallBlockFails(t *testing.T) {
	root := t.TempDir()
	out, err := install(t, newIdentity(t), root, "echo went on")
	if err == nil || !strings.Contains(out, "openssh-server is not installed") || strings.Contains(out, "went on") {
		t.Errorf("without sshd: got %q, %v", out, err)
	}
	fill(t, root, map[string]string{"usr/sbin/sshd": "", "root": "in the way"})
	out, err = install(t, newIdentity(t), root, "echo went on")
	if err == nil || strings.Contains(out, "went on") {
		t.Errorf("with a file in the way: got %q, %v", out, err)
	}
}

// sshd is a Dial to a real sshd with the configuration that the install block made below root.
func sshd(t *testing.T, root string) provision.Dial {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil || os.Getuid() != 0 {
		t.Skip("needs root and openssh-server")
	}
	dropIn, err := os.ReadFile(filepath.Join(root, "etc/ssh/sshd_config.d/00-pim-build.conf"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("/etc/", root+"/etc/", ".ssh/", root+"/root/.ssh/").Replace(string(dropIn))
	fill(t, root, map[string]string{"sshd_config": config + "StrictModes no\nUsePAM yes\n"})
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd wants it for privilege separation
		t.Fatal(err)
	}
	return func(context.Context, string, string) (net.Conn, error) {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		defer ours.Close()
		defer theirs.Close()
		cmd := exec.Command(program, "-i", "-f", filepath.Join(root, "sshd_config"))
		cmd.Stdin, cmd.Stdout = theirs, theirs
		conn, err := net.FileConn(ours)
		if err := errors.Join(err, cmd.Start()); err != nil {
			return nil, err
		}
		t.Cleanup(func() {
			_ = conn.Close()
			_ = cmd.Wait()
		})
		return conn, nil
	}
}

// TestRealSSHServer repeats with OpenSSH what the other tests find with the server in this process.
func TestRealSSHServer(t *testing.T) {
	t.Parallel() // it waits
	id, root := newIdentity(t), t.TempDir()
	fill(t, root, map[string]string{"usr/sbin/sshd": "", "etc/ssh/": ""})
	if out, err := install(t, id, root, ""); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dial := sshd(t, root)
	if _, err := provision.Connect(t.Context(), dial, "guest:22", newIdentity(t), "root"); !errors.Is(err, provision.ErrHostKey) {
		t.Errorf("another build: got error %v, want ErrHostKey", err)
	}
	g, err := provision.Connect(t.Context(), dial, "guest:22", id, "root")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()

	var out strings.Builder
	err = g.Run(t.Context(), provision.Script{Name: "x", Body: []byte("echo $PIM_X ${0%/*}; exit 7"), Env: map[string]string{"PIM_X": "y"}}, &out)
	var failed *provision.ScriptError
	dir, ok := strings.CutPrefix(strings.TrimSpace(out.String()), "y /root/.pim-")
	if !errors.As(err, &failed) || failed.Status != 7 || !ok {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if _, err := os.Stat("/root/.pim-" + dir); err == nil {
		t.Error("the script was left in the guest")
	}
	pids := filepath.Join(root, "pids")
	hang := "echo $$ >" + pids + "; echo started; sleep 60"
	err = g.Run(t.Context(), provision.Script{Name: "hang", Body: []byte(hang), Timeout: 2 * time.Second}, nil)
	if !errors.As(err, &failed) || !failed.TimedOut || len(failed.Tail) != 1 {
		t.Errorf("got error %v, want a time-out", err)
	}
	if _, err := g.Output(t.Context(), "kill -s 0 $(cat "+pids+")"); err == nil {
		t.Error("the script still runs")
	}
	err = g.Run(t.Context(), provision.Script{Name: "kill", Body: []byte("kill -s KILL $$")}, nil)
	if !errors.As(err, &failed) || failed.Status != 128+9 {
		t.Errorf("got error %v, want status 137", err)
	}
	big := strings.Repeat("0123456789abcdef", 1<<16)
	if err := g.Upload(t.Context(), filepath.Join(root, "big"), []byte(big), 0o600); err != nil {
		t.Error(err)
	}
	if out, err := g.Output(t.Context(), "cat "+filepath.Join(root, "big")); err != nil || string(out) != big {
		t.Errorf("read %d bytes back, %v", len(out), err)
	}
}
