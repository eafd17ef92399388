package provision_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/provision/provisiontest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dirty are the files of a system that was built and used, besides the build's key. A name with a final slash is
// a directory; "-> x" as a content makes a link.
var dirty = map[string]string{
	"boot/grub/grub.cfg":                             "linux /vmlinuz root=UUID=1234 ro\n",
	"boot/efi/loader/random-seed":                    "x",
	"etc/apt/apt.conf":                               "Acquire::http::Proxy \"http://10.0.2.2:3142/\";\nAPT::Install-Recommends \"0\";\n",
	"etc/apt/apt.conf.d/50user":                      "Acquire::http::Proxy \"http://proxy.example.test/\";\n",
	"etc/apt/sources.list":                           "deb http://mirror.example.test/debian trixie main\n",
	"etc/cloud/cloud-init.disabled":                  "pim: until the image is finished\n",
	"etc/fstab":                                      "# /dev/vda1 was it\nUUID=1234 / ext4 defaults 0 1\n/dev/sr0 /media/cdrom0 iso9660 user 0 0\n",
	"etc/hostname":                                   "golden\n",
	"etc/initramfs-tools/initramfs.conf":             "# c\nMODULES=most\n",
	"etc/initramfs-tools/conf.d/driver-policy":       "# by the installer\nMODULES=dep\n",
	"etc/machine-id":                                 "0123456789abcdef0123456789abcdef\n",
	"etc/netplan/50-cloud-init.yaml":                 "match: {macaddress: '52:54:00:12:34:56'}\n",
	"etc/netplan/90-site.yaml":                       "x",
	"etc/network/interfaces.d/50-cloud-init":         "auto ens3\n",
	"etc/systemd/network/10-cloud-init-ens3.network": "x",
	"etc/systemd/network/99-site.network":            "x",
	"etc/resolv.conf":                                "nameserver 10.0.2.3\n",
	"etc/ssh/ssh_host_ed25519_key":                   "k",
	"etc/ssh/ssh_host_ed25519_key.pub":               "k",
	"etc/ssh/ssh_host_rsa_key":                       "k",
	"etc/ssh/sshd_config.d/00-pim-build.conf":        "PermitRootLogin yes\n",
	"etc/ssh/sshd_config.d/60-user.conf":             "X11Forwarding no\n",
	"etc/udev/rules.d/70-persistent-net.rules":       "x",
	"etc/udev/rules.d/80-user.rules":                 "x",
	"home/pat/.bash_history":                         "ls\n",
	"home/pat/.profile":                              "x",
	"root/.bash_history":                             "ls\n",
	"root/.pim-ABCDEFGH/script":                      "left by a script that was killed",
	"root/.python_history":                           "x",
	"root/notes":                                     "kept",
	"tmp/x/y":                                        "x",
	"usr/sbin/sshd":                                  "#!",
	"var/cache/apt/archives/curl_1_amd64.deb":        "x",
	"var/cache/apt/pkgcache.bin":                     "x",
	"var/lib/apt/lists/mirror_Packages":              "x",
	"var/lib/apt/lists/partial/":                     "",
	"var/lib/cloud/instances/user-data.txt":          "a private key",
	"var/lib/dbus/machine-id":                        "0123456789abcdef0123456789abcdef\n",
	"var/lib/dhcp/dhclient.ens3.leases":              "x",
	"var/lib/dhcpcd/ens3.lease":                      "x",
	"var/lib/dpkg/status":                            "x",
	"var/lib/dpkg/status-old":                        "x",
	"var/lib/dpkg/lock-frontend":                     "",
	"var/lib/NetworkManager/secret_key":              "x",
	"var/lib/systemd/random-seed":                    "x",
	"var/lib/systemd/credential.secret":              "x",
	"var/lib/wtmpdb/wtmp.db":                         "x",
	"var/log/apt/history.log":                        "x",
	"var/log/auth.log":                               "x",
	"var/log/auth.log.1":                             "x",
	"var/log/dpkg.log.2.gz":                          "x",
	"var/log/installer/syslog":                       "x",
	"var/log/journal/0123456789abcdef/sys.journal":   "x",
	"var/log/wtmp":                                   "x",
	"var/tmp/x":                                      "x",
}

// fill makes files below root.
func fill(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if strings.HasSuffix(name, "/") {
			err = errors.Join(err, os.MkdirAll(file, 0o755))
		} else {
			err = errors.Join(err, os.WriteFile(file, []byte(text), 0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tree lists what is below root with the contents of the files, without what belongs to the fake guest.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "stubs":
			return fs.SkipDir
		case d.IsDir():
			fmt.Fprintf(&b, "%s/\n", name)
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(filepath.Join(root, name))
			fmt.Fprintf(&b, "%s -> %s\n", name, to)
			return err
		default:
			text, err := os.ReadFile(filepath.Join(root, name))
			fmt.Fprintf(&b, "%s: %q\n", name, text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; got:\n%s", file, got)
	}
}

func findings(t *testing.T, g *provision.Guest) []string {
	t.Helper()
	err := provision.CheckGeneric(g, t.Context())
	var found *provision.NotGenericError
	if err != nil && !errors.As(err, &found) {
		t.Fatal(err)
	}
	if found == nil {
		return nil
	}
	return found.Findings
}

// dirtyGuest connects to a guest with the dirty files and the build's key in two accounts.
func dirtyGuest(t *testing.T) (*provisiontest.Server, *provision.Guest) {
	t.Helper()
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	fill(t, s.Root, dirty)
	fill(t, s.Root, map[string]string{
		"root/.ssh/authorized_keys":     id.AuthorizedKey() + "\n",
		"home/pat/.ssh/authorized_keys": "ssh-ed25519 AAAA pat@example.test\n" + id.AuthorizedKey() + "\n# end\n",
	})
	g, err := provision.Connect(t.Context(), s.Dial, s.Addr, id, "root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return s, g
}

func TestFinalize(t *testing.T) {
	s, g := dirtyGuest(t)
	golden(t, "findings.golden", strings.Join(findings(t, g), "\n")+"\n")

	if err := g.Prepare(t.Context(), "http://10.0.2.2:3142/"); err != nil {
		t.Fatal(err)
	}
	proxy, err := os.ReadFile(filepath.Join(s.Root, "etc/apt/apt.conf.d/00pim-build-proxy"))
	if want := "Acquire::http::Proxy \"http://10.0.2.2:3142/\";\n"; err != nil || string(proxy) != want {
		t.Errorf("proxy: got %q, %v, want %q", proxy, err, want)
	}
	if err := g.Prepare(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.Root, "etc/apt/apt.conf.d/00pim-build-proxy")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the proxy stayed: %v", err)
	}

	var out strings.Builder
	if err := g.Finalize(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.HasPrefix(out.String(), "finalize: package manager\n") {
		t.Errorf("got output %q", out.String())
	}
	first := tree(t, s.Root)
	golden(t, "finalized.golden", first)
	if err := g.Finalize(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if second := tree(t, s.Root); second != first {
		t.Errorf("the second time gave:\n%s", second)
	}
	if calls := s.Calls(); calls != nil {
		t.Errorf("a script that works on a tree ran %q", calls)
	}
}

// TestFinalizeDracut: where dracut makes the initramfs, it must not do so for the build machine alone.
func TestFinalizeDracut(t *testing.T) {
	const (
		found = `/etc/dracut.conf.d: binds the initramfs to the drivers of the build machine; the last hostonly must be "no"`
		ours  = "etc/dracut.conf.d/90-pim.conf"
	)
	s, g := dirtyGuest(t)
	if err := errors.Join(g.Prepare(t.Context(), ""), g.Finalize(t.Context(), nil)); err != nil {
		t.Fatal(err)
	}
	dracut := map[string]string{"usr/bin/dracut": "#!", "usr/sbin/update-initramfs": "dracut --force\n"}
	for name, tt := range map[string]struct {
		programs, conf map[string]string
		bound, stays   bool // whether the initramfs is the build machine's, and finalize cannot help it
	}{
		"nothing said":     {dracut, nil, true, false},
		"host-only":        {dracut, map[string]string{"10-x.conf": "hostonly=yes\n"}, true, false},
		"commented out":    {dracut, map[string]string{"x.conf": "#hostonly=no\n"}, true, false},
		"generic":          {dracut, map[string]string{"10-x.conf": "hostonly='no' # c"}, false, false},
		"the last counts":  {dracut, map[string]string{"100-x.conf": "hostonly=no\n", "20-x.conf": "hostonly=yes\n"}, false, false},
		"said after ours":  {dracut, map[string]string{"99-x.conf": "hostonly=\"yes\"\n"}, true, true},
		"older dracut":     {map[string]string{"usr/bin/dracut": "#!"}, nil, true, false},
		"initramfs-tools":  {map[string]string{"usr/bin/dracut": "#!", "usr/sbin/update-initramfs": "mkinitramfs\n"}, nil, false, false},
		"only a directory": {nil, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, dir := range []string{"usr/bin", "usr/sbin/update-initramfs", "etc/dracut.conf.d"} {
				if err := os.RemoveAll(filepath.Join(s.Root, dir)); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, s.Root, map[string]string{"etc/dracut.conf.d/": ""})
			fill(t, s.Root, tt.programs)
			for file, text := range tt.conf {
				fill(t, s.Root, map[string]string{"etc/dracut.conf.d/" + file: text})
			}
			if got := strings.Join(findings(t, g), "\n"); (got == found) != tt.bound || (got == "") == tt.bound {
				t.Errorf("before: %q", got)
			}
			if err := g.Finalize(t.Context(), nil); (err == nil) == tt.stays || err != nil && !strings.HasSuffix(err.Error(), ": "+found) {
				t.Errorf("after: %v", err)
			}
			text, err := os.ReadFile(filepath.Join(s.Root, ours))
			if wrote := string(text) == "hostonly=\"no\"\n"; wrote != tt.bound || errors.Is(err, fs.ErrNotExist) == tt.bound {
				t.Errorf("%s holds %q, %v", ours, text, err)
			}
		})
	}
}

// TestFindings makes a finalized system dirty in one way at a time.
func TestFindings(t *testing.T) {
	const noNetwork = ": keeps clones from the network that their data source describes"
	tests := map[string]struct{ file, text, want string }{
		"fstab":          {"etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n", "/etc/fstab: names a disk of the build; use UUID="},
		"grub":           {"boot/grub/grub.cfg", "linux /vmlinuz root=/dev/sda1 ro\n", "/boot/grub/grub.cfg: names a disk of the build; use UUID="},
		"sources":        {"etc/apt/sources.list.d/x.sources", "URIs: http://10.0.2.2/debian\n", "/etc/apt/sources.list.d/x.sources: names an address of the build's network"},
		"other network":  {"etc/apt/sources.list.d/x.list", "deb http://10.0.2.20/debian x main\n", ""},
		"installer log":  {"var/log/installer/status", "x", "/var/log/installer: tells of the build"},
		"cloud-init":     {"var/lib/cloud/instances/i-1/x", "x", "/var/lib/cloud/instances/i-1: is cloud-init's memory of the build"},
		"curtin's proxy": {"etc/apt/apt.conf.d/90curtin-aptproxy", "x", "/etc/apt/apt.conf.d/90curtin-aptproxy: holds the installer's proxy"},
		"subiquity":      {"etc/cloud/cloud.cfg.d/99-installer.cfg", "x", "/etc/cloud/cloud.cfg.d/99-installer.cfg: keeps clones from finding their data source"},
		"no network":     {"etc/cloud/cloud.cfg.d/00-x.cfg", "network: {config: disabled}\n", "/etc/cloud/cloud.cfg.d/00-x.cfg" + noNetwork},
		"block style":    {"etc/cloud/cloud.cfg.d/x.cfg", "network:\n  config: 'disabled'\n", "/etc/cloud/cloud.cfg.d/x.cfg" + noNetwork},
		"as JSON":        {"etc/cloud/cloud.cfg.d/x.cfg", `{"network": {"config": "disabled"}}`, "/etc/cloud/cloud.cfg.d/x.cfg" + noNetwork},
		"commented out":  {"etc/cloud/cloud.cfg.d/x.cfg", "# network: {config: disabled}\nnetwork: {config: {version: 2}}\n", ""},
		"netplan":        {"etc/netplan/50-cloud-init.yaml", "x", "/etc/netplan/50-cloud-init.yaml: is cloud-init's network of the build"},
		"running log":    {"var/log/app.log", "a service still runs", ""},
		"empty auth.log": {"var/log/auth.log", "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, g := dirtyGuest(t)
			if err := errors.Join(g.Prepare(t.Context(), ""), g.Finalize(t.Context(), nil)); err != nil {
				t.Fatal(err)
			}
			fill(t, s.Root, map[string]string{tc.file: tc.text})
			if got := strings.Join(findings(t, g), "\n"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestFinalizeReportsWhatItCannotRemove(t *testing.T) {
	s, g := dirtyGuest(t)
	s.Stub("rm", `case "$*" in *history*) exit 0 ;; *) exec /bin/rm "$@" ;; esac`)
	err := g.Finalize(t.Context(), nil)
	var found *provision.NotGenericError
	if !errors.As(err, &found) || !slices.Contains(found.Findings, "/root/.bash_history: tells of the build") {
		t.Errorf("got error %v, want the history to be found", err)
	}
	s.Stub("ln", "echo read-only >&2; exit 1")
	var failed *provision.ScriptError
	if err := g.Finalize(t.Context(), nil); !errors.As(err, &failed) || failed.Script != "finalize" ||
		failed.Tail[len(failed.Tail)-1] != "read-only" {
		t.Errorf("got error %v, want the script's", err)
	}
}

func TestPrepareWaitsForThePackageManager(t *testing.T) {
	t.Parallel() // it waits
	s, g := dirtyGuest(t)
	f, err := os.OpenFile(filepath.Join(s.Root, "var/lib/dpkg/lock-frontend"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	s.Stub("sleep", `touch "$PIM_ROOT/waited"; exec /bin/sleep 0.05`)
	go func() { waits <- g.Prepare(t.Context(), "") }()
	for {
		select {
		case err := <-waits:
			t.Fatalf("did not wait: %v", err)
		case <-time.After(every):
		}
		if _, err := os.Stat(filepath.Join(s.Root, "waited")); err == nil {
			break
		}
	}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_UNLCK}); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; err != nil {
		t.Error(err)
	}
}
