package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/media/mediatest"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// onEachHost runs a test on this machine, and on it as a remote one.
func onEachHost(t *testing.T, test func(t *testing.T, h host.Host)) {
	qemutest.Need(t)
	t.Run("local", func(t *testing.T) { test(t, host.NewLocal()) })
	t.Run("ssh", func(t *testing.T) { test(t, hosttest.StartSSHD(t).Connect(t)) })
}

// testBuild is a builder with a store of its own, and a spec whose ISO holds a kernel.
func testBuild(t *testing.T, files map[string][]byte) (*Builder, Spec) {
	t.Helper()
	return testBuildOn(t, host.NewLocal(), files)
}

func testBuildOn(t testing.TB, h host.Host, files map[string][]byte) (*Builder, Spec) {
	t.Helper()
	image, err := media.Seed(files)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	iso := filepath.Join(dir, "test.iso")
	if err := os.WriteFile(iso, image, 0o600); err != nil {
		t.Fatal(err)
	}
	b := &Builder{
		Host: h, Store: cache.NewStore(h, filepath.Join(dir, "data"), filepath.Join(dir, "cache")), Version: "test",
		Accelerator: func(context.Context, host.Arch) (qemu.Accelerator, error) {
			return qemu.Accelerator{Name: qemu.TCG, Reason: "test"}, nil
		},
		Progress: func(_ context.Context, s string) { t.Log(s) },
	}
	s := testSpec()
	s.ISO = cache.ISO{Path: iso, SHA256: strings.TrimPrefix(cache.Digest(image), "sha256:")}
	s.Preseed = Preseed{
		Templates: preseed.Templates{"t": "d-i preseed/late_command string {{ .InstallURL }}\n"}, Name: "t",
		Values: preseed.Values{Hostname: "h", Arch: host.X86_64},
	}
	s.Emulation = true
	s.Timeouts = Timeouts{Build: 5 * time.Minute, Install: time.Minute, SSH: time.Minute, Script: time.Minute, Stall: time.Minute}
	return b, s
}

func installer(code []byte) map[string][]byte {
	return map[string][]byte{"linux": kernel(code), "initrd.gz": []byte("none")}
}

// fails builds, and requires an *Error at a step whose detail says all of wants and leaves nothing but logs.
func fails(t *testing.T, b *Builder, s Spec, step string, wants ...string) (screenshot string) {
	t.Helper()
	img, err := b.Build(t.Context(), s)
	var failed *Error
	if !errors.As(err, &failed) || img != nil {
		t.Fatalf("image %v, error %v", img, err)
	}
	if failed.Step != step {
		t.Errorf("failed at %s, want %s", failed.Step, step)
	}
	for _, want := range wants {
		if !strings.Contains(failed.Detail(), want) {
			t.Errorf("the detail does not say %q:\n%s", want, failed.Detail())
		}
	}
	return failed.Screenshot
}

// onlyLogs requires that a build left nothing but its logs.
func onlyLogs(t *testing.T, b *Builder, s Spec) {
	t.Helper()
	onlyLogsIn(t, filepath.Dir(filepath.Dir(b.Store.BuildDir(inputs(t, s).Key()))), "/tmp", s)
}

// onlyLogsIn is that for a store and a folder of sockets.
func onlyLogsIn(t *testing.T, data, tmp string, s Spec) {
	t.Helper()
	err := filepath.WalkDir(data, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(p) {
		case ".log", ".jsonl", ".png", ".lock":
		default:
			t.Errorf("left behind: %s", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := filepath.Glob(filepath.Join(tmp, "pim-"+cache.Short(inputs(t, s).Key())+"-*"))
	if err != nil || len(sockets) > 0 {
		t.Errorf("left behind: %v, %v", sockets, err)
	}
}

func TestGuestThatNeverAsksForItsPreseed(t *testing.T) {
	onEachHost(t, guestThatNeverAsksForItsPreseed)
}

func guestThatNeverAsksForItsPreseed(t *testing.T, h host.Host) {
	b, s := testBuildOn(t, h, installer(halt))
	s.Timeouts.Stall = 6 * time.Second
	shot := fails(t, b, s, "install", "stalls", "never asked for its preseed", "Screenshot: ", "Log: ")
	if info, err := os.Stat(shot); err != nil || info.Size() == 0 {
		t.Errorf("screenshot: %v", err)
	}
	onlyLogs(t, b, s)
}

func TestInstallerThatEndsTooEarly(t *testing.T) {
	qemutest.Need(t)
	b, s := testBuild(t, installer(reboot))
	fails(t, b, s, "install", "without running the post-install script")
	onlyLogs(t, b, s)
}

// A kernel that panics reboots, as it does at the end of an installation.
func TestInstallerThatPanics(t *testing.T) {
	qemutest.Need(t)
	b, s := testBuild(t, installer(printing("Kernel panic - not syncing: test\r\n")))
	fails(t, b, s, "install", "kernel panicked", "not syncing: test")
	onlyLogs(t, b, s)
}

func TestInstallerThatTakesTooLong(t *testing.T) {
	qemutest.Need(t)
	b, s := testBuild(t, installer(halt))
	s.Timeouts.Install = 3 * time.Second
	fails(t, b, s, "install", "did not end within 3s")
	onlyLogs(t, b, s)
}

func TestCancelledInstallation(t *testing.T) { onEachHost(t, cancelledInstallation) }

func cancelledInstallation(t *testing.T, h host.Host) {
	b, s := testBuildOn(t, h, installer(halt))
	ctx, cancel := context.WithCancel(t.Context())
	b.Progress = func(_ context.Context, m string) {
		if strings.Contains(m, "guest start") || strings.Contains(m, "guest: start") {
			cancel()
		}
	}
	_, err := b.Build(ctx, s)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	onlyLogs(t, b, s)
}

// TestKeptGuest leaves a failed guest running, and the next build of the same image ends it.
func TestKeptGuest(t *testing.T) { onEachHost(t, keptGuest) }

func keptGuest(t *testing.T, h host.Host) {
	b, s := testBuildOn(t, h, installer(halt))
	s.KeepGuest = true
	s.Timeouts.Install = 2 * time.Second
	fails(t, b, s, "install", "was left running", socketName)
	record, err := readRecord(b.Host, filepath.Join(b.Store.BuildDir(inputs(t, s).Key()), recordFile))
	if err != nil || !record.Kept {
		t.Fatalf("record %+v, %v", record, err)
	}
	conn, err := b.Host.Dial(t.Context(), "unix", record.QMP)
	if err != nil {
		t.Fatalf("the guest does not run: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	s.KeepGuest = false
	fails(t, b, s, "install", "did not end within 2s")
	ended(t, record)
	onlyLogs(t, b, s)
}

// ended requires that a recorded guest's QEMU is gone, and its TPM: all that has a socket in its directory. It may take a
// moment to exit after it has closed its monitor.
func ended(t *testing.T, r guestRecord) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for exec.CommandContext(ctx, "pgrep", "-f", "(unix:|path=)"+filepath.Dir(r.QMP)+"/").Run() == nil {
		select {
		case <-ctx.Done():
			t.Fatalf("the guest of %s still runs", r.QMP)
		case <-tick.C:
		}
	}
}

// TestOrphan ends the guest of a build whose process died, when another image is built.
func TestOrphan(t *testing.T) { onEachHost(t, orphan) }

func orphan(t *testing.T, h host.Host) {
	b, orphaned := testBuildOn(t, h, installer(halt))
	orphaned.KeepGuest = true
	orphaned.Timeouts.Install = 2 * time.Second
	fails(t, b, orphaned, "install")
	file := filepath.Join(b.Store.BuildDir(inputs(t, orphaned).Key()), recordFile)
	record, err := readRecord(b.Host, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.WriteFile(b.Host, file, []byte(`{"key":"`+record.Key+`","qmp":"`+record.QMP+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	other := orphaned
	other.KeepGuest, other.DiskSize = false, 2<<30
	fails(t, b, other, "install")
	ended(t, record)
	onlyLogs(t, b, other)
}

// TestGuestWithoutSSH boots an installed disk with nothing on it.
func TestGuestWithoutSSH(t *testing.T) { onEachHost(t, guestWithoutSSH) }

func guestWithoutSSH(t *testing.T, h host.Host) {
	b, s := testBuildOn(t, h, installer(halt))
	s.Timeouts.SSH = 5 * time.Second
	key := emptyLayer(t, b, s)
	fails(t, b, s, "boot", "no SSH connection within 5s", "Screenshot: ")
	if err := b.Store.DeleteLayer(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	onlyLogs(t, b, s)
}

// TestLayerWithAnotherPassword: nobody gets another image's password, or an account that is open or locked like its own.
func TestLayerWithAnotherPassword(t *testing.T) {
	const reused, installed = "no SSH connection", "did not end within"
	for name, c := range map[string]struct {
		stored, ours string
		same         func(string) bool
		want         string
	}{
		"the same, salted anew": {"$6$a$x", "$6$b$y", func(h string) bool { return h == "$6$a$x" }, reused},
		"another":               {"$6$a$x", "$6$b$z", func(string) bool { return false }, installed},
		"none":                  {"$6$a$x", "", nil, installed},
		"none stored":           {"", "$6$b$y", func(string) bool { return true }, installed},
		"none at all":           {"", "", nil, reused},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := testBuildOn(t, host.NewLocal(), installer(halt))
			s.Timeouts.SSH, s.Timeouts.Install = 2*time.Second, 2*time.Second
			s.Preseed.Values.PasswordHash = c.stored
			key := emptyLayer(t, b, s)
			s.Preseed.Values.PasswordHash, s.SamePassword = c.ours, c.same
			_, err := b.Build(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if _, err := b.Store.Layer(t.Context(), key); err != nil {
				t.Errorf("the stored layer: %v", err)
			}
			if err := b.Store.DeleteLayer(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			onlyLogs(t, b, s)
		})
	}
}

// emptyLayer stores a disk with nothing on it as what the installer of a spec left.
func emptyLayer(t *testing.T, b *Builder, s Spec) (key string) {
	t.Helper()
	key = layer(t, s)
	unlock, err := b.Store.Lock(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := provision.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := layerSecret(s.Preseed.Values.PasswordHash, id)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "empty.qcow2")
	if err := qemu.CreateDisk(t.Context(), b.Host, disk, s.DiskSize); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.PublishLayer(t.Context(), disk, key, cache.LayerMeta{Arch: s.Arch, Identity: secret}); err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	return key
}

func TestBadInput(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string][]byte
		change func(*Builder, *Spec)
		step   string
		wants  []string
	}{
		"no kernel": {
			map[string][]byte{"readme": []byte("x")},
			func(*Builder, *Spec) {}, "install",
			[]string{"readme", "Use a Debian"},
		},
		"Ubuntu's ISO": {
			nil, func(_ *Builder, s *Spec) { *s = withISO(t, *s, halt, "casper/vmlinuz", "casper/initrd") }, "install",
			[]string{`set installer to "autoinstall"`},
		},
		"Debian's ISO": {
			installer(halt), func(_ *Builder, s *Spec) { s.Autoinstall = &Autoinstall{} }, "install",
			[]string{`set installer to "debian"`},
		},
		"another architecture": {
			map[string][]byte{"linux": append(make([]byte, 56), "ARM\x64\x00\x00\x00\x00"...), "initrd.gz": []byte("x")},
			func(*Builder, *Spec) {}, "install",
			[]string{"installs arm64", "x86_64"},
		},
		"wrong checksum": {
			installer(halt), func(_ *Builder, s *Spec) { s.ISO.SHA256 = strings.Repeat("0", 64) }, "iso", []string{"checksum"},
		},
		"emulation not allowed": {
			installer(halt), func(_ *Builder, s *Spec) { s.Emulation = false }, "accelerator", []string{"emulation = true"},
		},
		"template that does not let the build in": {
			installer(halt), func(_ *Builder, s *Spec) { s.Preseed.Templates["t"] = "d-i a/b string c\n" }, "install",
			[]string{"InstallURL", "late_command"},
		},
		"no space": {
			installer(halt), func(b *Builder, _ *Spec) { b.Host = fullHost{b.Host} }, "iso", []string{"disk full", "data_dir"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := testBuild(t, c.files)
			c.change(b, &s)
			fails(t, b, s, c.step, c.wants...)
			onlyLogs(t, b, s)
		})
	}
}

// withISO is a spec with another ISO, on which two files are a kernel and an initrd.
func withISO(t *testing.T, s Spec, code []byte, kernelAt, initrdAt string) Spec {
	t.Helper()
	s.ISO.Path = mediatest.ISO(t, map[string][]byte{kernelAt: kernel(code), initrdAt: []byte("none")})
	image, err := os.ReadFile(s.ISO.Path)
	if err != nil {
		t.Fatal(err)
	}
	s.ISO.SHA256 = strings.TrimPrefix(cache.Digest(image), "sha256:")
	return s
}

// fullHost has no space left.
type fullHost struct{ host.Host }

func (fullHost) Free(string) (uint64, error) { return 1 << 20, nil }

// TestStoredImage takes what is there, for any spec with the same key.
func TestStoredImage(t *testing.T) {
	b, s := testBuild(t, installer(halt))
	key := inputs(t, s).Key()
	unlock, err := b.Store.Lock(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	tmp := b.Store.TempPath(key, "x")
	if err := os.WriteFile(tmp, []byte("image"), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := b.Store.PublishImage(t.Context(), tmp, cache.Manifest{Key: key, Name: s.Name, Arch: s.Arch, Format: Format})
	if err := errors.Join(err, unlock()); err != nil {
		t.Fatal(err)
	}
	s.Memory *= 2
	got, err := b.Build(t.Context(), s)
	if err != nil || got.Path != want.Path {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestLastLines(t *testing.T) {
	text := "one\r\n\x1b[1;31mtwo\x1b[0m\n\n  10%\r 100%\r\nthree\x1b(B\n"
	if got := strings.Join(lastLines([]byte(text), 3), "|"); got != "two| 100%|three" {
		t.Errorf("%q", got)
	}
}

// begun is a build that has begun, and whose steps are the test's to run.
func begun(t *testing.T, b *Builder, s Spec) *state {
	t.Helper()
	st, img, err := b.begin(t.Context(), s, inputs(t, s))
	if err != nil || img != nil {
		t.Fatal(img, err)
	}
	t.Cleanup(st.release)
	return st
}
