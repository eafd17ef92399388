//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/media/mediatest"
)

// autoinstall builds an image from an ISO as Ubuntu's are laid out: its kernel boots a live system with Debian's
// cloud-init, which has to find the answers, and with a stand-in for subiquity that acts on them. Once it fails, with its
// answers on a seed; then it installs, with its answers over HTTP.
func autoinstall(t *testing.T, w *workspace) {
	before := w.files(t, "layers")
	w.live(t, w.value(t, "path"))
	u := w.workspaceOf(t, "testdata/ubuntu/main.tf")

	out := unwrap(u.with("autoinstall=fails", "answers=seed").do(t, 1, "apply", "-auto-approve"))
	for _, want := range []string{
		"The installer failed: FAIL subiquity/Late/run/command_0 echo the last words; exit 7", "subiquity/Delivery config-disk (/dev/sr1)",
		"Logs of the installer: ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the diagnostic does not say %q", want)
		}
	}
	sent := ""
	for _, name := range w.files(t, "builds") {
		if strings.HasSuffix(name, "subiquity-server-debug.log") || name == "journal.log" {
			sent += name + " "
		}
	}
	if sent != "installer_subiquity-server-debug.log journal.log " {
		t.Errorf("of the installer's logs there are %q", sent)
	}
	w.saysNothing(t, "let me in", "$6$")
	w.nothingLeft(t)

	u.apply(t)
	if m := u.manifest(t); m.Verify == nil || m.ISO != "live" {
		t.Errorf("manifest %+v", m)
	}
	for _, name := range []string{"network-config", "meta-data", "user-data", "vendor-data", "install.sh"} {
		if !u.logs(t, "GET /<token>/"+name+" 200") {
			t.Errorf("the guest did not fetch %s", name)
		}
	}
	if !u.logs(t, "subiquity/Delivery seed-dir (cmdline,http://10.0.2.2:") {
		t.Error("cloud-init did not take the answers from the URL on the command line")
	}
	u.answered(t)
	w.nothingLeft(t)
	u.do(t, 0, "plan", "-detailed-exitcode")
	u.do(t, 0, "destroy", "-auto-approve")
	for _, name := range w.files(t, "layers") { // the next run's ISO is another one
		if !slices.Contains(before, name) {
			must(t, os.Remove(filepath.Join(w.data, "layers", name)))
		}
	}
}

// answered requires that what came out of the guest's cloud-init is what the provider shows.
func (w *workspace) answered(t *testing.T) {
	t.Helper()
	var shown struct{ Autoinstall map[string]any }
	must(t, yaml.Unmarshal([]byte(w.value(t, "rendered")), &shown))
	for _, key := range []string{"late-commands", "error-commands", "reporting", "apt"} { // these differ from build to build
		delete(shown.Autoinstall, key)
	}
	delete(shown.Autoinstall["identity"].(map[string]any), "password")
	want, err := json.Marshal(shown.Autoinstall)
	must(t, err)
	_, rest, _ := strings.Cut(w.log(t), "subiquity/Answers ")
	text, _, _ := strings.Cut(rest, "\n")
	var got, expected any
	must(t, json.Unmarshal([]byte(text), &got))
	must(t, json.Unmarshal(want, &expected))
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("the guest was answered\n%s\nand the provider shows\n%s", text, want)
	}
}

// log is all that the builds wrote into their logs.
func (w *workspace) log(t *testing.T) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(w.data, "builds", "*", "build.log"))
	must(t, err)
	var all strings.Builder
	for _, l := range logs {
		text, err := os.ReadFile(l)
		must(t, err)
		all.Write(text)
	}
	return all.String()
}

func (w *workspace) logs(t *testing.T, what string) bool {
	t.Helper()
	return strings.Contains(w.log(t), what)
}

// saysNothing requires that no file that builds left holds a text.
func (w *workspace) saysNothing(t *testing.T, secrets ...string) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(w.data, "builds"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range secrets {
			if strings.Contains(string(text), s) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return err
	}))
}

// live puts an ISO with a live system made of an image into the catalogue, and a profile that is built from it. A clone
// of the image packs itself onto a disk: as an archive that the kernel unpacks into memory, with the stand-in in it.
func (w *workspace) live(t *testing.T, image string) {
	t.Helper()
	dir := t.TempDir()
	archive, kernel := filepath.Join(dir, "initrd"), filepath.Join(dir, "vmlinuz")
	args := []string{"-device", "virtio-blk-pci,drive=disk"}
	for _, d := range []struct {
		id, file string
		size     int64
	}{{"archive", archive, 2 << 30}, {"kernel", kernel, 64 << 20}} {
		must(t, os.WriteFile(d.file, nil, 0o600))
		must(t, os.Truncate(d.file, d.size))
		args = append(args, "-drive", "if=none,snapshot=off,format=raw,cache=unsafe,id="+d.id+",file="+d.file,
			"-device", "virtio-blk-pci,drive="+d.id+",serial="+d.id)
	}
	said := clone{image, "qcow2", args}.bootWith(t, packUserData(t))
	for name, file := range map[string]string{"archive": archive, "kernel": kernel} {
		size, err := strconv.ParseInt(strings.Join(said[name], ""), 10, 64)
		if err != nil || size == 0 {
			t.Fatalf("the clone packed no %s: %v", name, said)
		}
		must(t, os.Truncate(file, size))
	}
	iso := filepath.Join(dir, "live.iso")
	mediatest.Files(t, iso, map[string]string{"casper/initrd": archive, "casper/vmlinuz": kernel})
	sum, err := exec.CommandContext(t.Context(), "sha256sum", iso).Output()
	must(t, err)
	for name, text := range map[string]string{
		"isos.d/live.yml": fmt.Sprintf("live: {url: %s, checksum: \"sha256:%.64s\", architecture: x86_64}\n", iso, sum),
		"profiles.d/ubuntu.yml": `
ubuntu:
  iso: live
  hostname: ubuntu-1
  domain: example.test
  locale: C.UTF-8
  password: let me in
  scripts: [ubuntu]
  boot_args: [quiet, mitigations=off, init_on_alloc=0, "modprobe.blacklist=bochs,cirrus"]
  build: {disk_size: 4G, memory: 2048}
`,
		"autoinstalls.d/fails.yml": "late-commands: [echo the last words; exit 7]\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(w.config, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(w.config, name), []byte(text), 0o644))
	}
	w.script(t, "ubuntu", `
[ "$(hostname)" = ubuntu-1 ]
[ "$(hostname -f)" = ubuntu-1.example.test ]
id ubuntu
getent shadow ubuntu | grep -q '^ubuntu:[$]6[$]'
[ ! -e /etc/sudoers.d/60-pim ]
[ ! -e /etc/cloud/cloud.cfg.d/99-installer.cfg ]
[ ! -e /etc/netplan/50-cloud-init.yaml ]
grep -q '^LANG=C.UTF-8$' /etc/default/locale
[ ! -e /root/pim-install.sh ]`)
}

// packUserData has a clone become a live system and pack itself: without what is its own, with a stand-in for subiquity
// that starts when cloud-init is done, and with what a live system of Ubuntu has.
func packUserData(t *testing.T) string {
	t.Helper()
	standIn, err := os.ReadFile("testdata/ubuntu/subiquity.py")
	must(t, err)
	files := []map[string]string{
		{"path": "/usr/local/sbin/subiquity", "permissions": "0755", "content": string(standIn)},
		{"path": "/usr/local/bin/curtin", "permissions": "0755", "content": `#!/bin/sh
[ "$1 $2 $3" = "in-target --target=/target --" ] || exit 2
shift 3
exec chroot /target "$@"
`},
		{"path": "/etc/systemd/system/subiquity.service", "content": `[Unit]
After=cloud-final.service
ConditionKernelCommandLine=autoinstall
[Service]
Type=simple
ExecStart=/usr/local/sbin/subiquity
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=cloud-init.target
`},
	}
	const pack = `set -eu
systemctl enable subiquity.service
command -v wget || ln -s "$(command -v busybox)" /usr/local/bin/wget
cat >/init <<'END'
#!/bin/sh
# As casper does, it looks for its medium before anything else.
mount -t devtmpfs dev /dev
mount -t proc proc /proc
modprobe -a ahci sr_mod
i=0
until [ -b /dev/sr0 ] || [ $i -ge 30 ]; do
    sleep 1
    i=$((i + 1))
done
sleep 3 # for a second drive
exec /lib/systemd/systemd
END
chmod 755 /init
: >/etc/fstab
: >/etc/machine-id
cd /
archive=$(find . -xdev \( -path './tmp/*' -o -path './var/tmp/*' -o -path './var/cache/*/*' -o -path './usr/share/doc/*' \
    -o -path './var/log/journal/*' -o -path './var/log/cloud-init*' -o -path './var/lib/cloud/*' -o -path './etc/ssh/ssh_host_*' \
    -o -path './etc/systemd/network/10-cloud-init-*' -o -path './etc/netplan/*' \) -prune -o -print0 | cpio --quiet -0 -o -H newc |
    dd bs=1M iflag=fullblock conv=fsync of=/dev/disk/by-id/virtio-archive 2>&1 | sed -n 's/ bytes.*//p')
kernel=$(dd bs=1M conv=fsync if=/boot/vmlinuz-$(uname -r) of=/dev/disk/by-id/virtio-kernel 2>&1 | sed -n 's/ bytes.*//p')
{ echo; echo CLONE-BEGIN; echo "archive=$archive"; echo "kernel=$kernel"; echo CLONE-END; } >/dev/ttyS0
`
	text, err := yaml.Marshal(map[string]any{
		"write_files": files, "runcmd": [][]string{{"sh", "-c", pack}},
		"power_state": map[string]any{"mode": "poweroff", "timeout": 60},
	})
	must(t, err)
	return "#cloud-config\n" + string(text)
}
