package utm_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"howett.net/plist"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/utm"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// request asks for an image of a disk whose MBR, if it has one, has a partition of a type.
func request(t *testing.T, content string, partition byte) deploy.Request {
	t.Helper()
	qemutest.Need(t)
	h, path := host.NewLocal(), filepath.Join(t.TempDir(), "image.qcow2")
	disk := make([]byte, 4<<20)
	copy(disk[1<<20:], strings.Repeat(content, 1000))
	if partition != 0 {
		disk[446+4], disk[510], disk[511] = partition, 0x55, 0xaa
	}
	must(t, os.WriteFile(path+".raw", disk, 0o600))
	img, err := qemu.FindImg(h)
	must(t, err)
	must(t, h.Run(t.Context(), host.Cmd{Argv: []string{img, "convert", "-c", "-f", "raw", "-O", "qcow2", path + ".raw", path}}))
	return deploy.Request{Name: "web", Image: deploy.Image{
		Host: h, Path: path, Name: "web", Key: strings.Repeat(content, 64)[:64], Arch: host.X86_64, Firmware: qemu.BIOS,
	}}
}

func deployed(t *testing.T, target deploy.Target, r deploy.Request) deploy.Result {
	t.Helper()
	res, err := target.Deploy(t.Context(), r)
	must(t, err)
	return *res
}

// start does to a bundle what UTM does when the machine starts.
func start(t *testing.T, bundle string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(bundle, "Data", "disk.qcow2"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString("written by a guest")
	must(t, errors.Join(err, f.Close()))
	must(t, os.WriteFile(filepath.Join(bundle, "Data", "efi_vars.fd"), nil, 0o600))
}

// names lists the folder of bundles.
func names(t *testing.T, w *world) []string {
	t.Helper()
	list, err := os.ReadDir(w.dir)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

type config struct {
	Information struct{ Name, UUID string }
	System      struct{ CPUCount, MemorySize int }
	QEMU        struct{ UEFIBoot, TPMDevice bool }
	Network     []struct{ Mode, MacAddress string }
}

func readConfig(t *testing.T, bundle string) (c config) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(bundle, "config.plist"))
	must(t, err)
	_, err = plist.Unmarshal(data, &c)
	must(t, err)
	return c
}

// The bundle's disk is the image, byte for byte.
func TestDisk(t *testing.T) {
	w, r := newWorld(t), request(t, "a", 0)
	have := deployed(t, w.Target(t, nil), r)
	want, err := os.ReadFile(r.Image.Path)
	must(t, err)
	got, err := os.ReadFile(filepath.Join(have.Path, "Data", "disk.qcow2"))
	if err != nil || !slices.Equal(got, want) || have.Path != filepath.Join(w.dir, "web.utm") {
		t.Errorf("the disk of %s is not the image: %v", have.Path, err)
	}
}

func TestFirmware(t *testing.T) {
	for name, c := range map[string]struct {
		arch      host.Arch
		firmware  string
		partition byte
		asked     bool // for a TPM
		uefi, tpm bool
	}{
		"arm64":                     {host.ARM64, "", 0, false, true, false},
		"arm64 as bios":             {host.ARM64, qemu.BIOS, 0, false, true, false},
		"arm64 secure":              {host.ARM64, qemu.UEFISecure, 0, false, true, true},
		"x86_64 bios":               {host.X86_64, qemu.BIOS, 0xef, false, false, false},
		"x86_64 uefi":               {host.X86_64, qemu.UEFI, 0, false, true, false},
		"x86_64 uefi and TPM":       {host.X86_64, qemu.UEFI, 0, true, true, true},
		"x86_64 secure":             {host.X86_64, qemu.UEFISecure, 0, false, true, true}, // UTM puts the keys in for a machine with a TPM
		"x86_64 with a partition":   {host.X86_64, "", 0xef, false, true, false},
		"x86_64 with another":       {host.X86_64, "", 0x83, true, false, true},
		"x86_64 without partitions": {host.X86_64, "", 0, false, false, false},
	} {
		r := request(t, "a", c.partition)
		r.Image.Arch, r.Image.Firmware, r.Image.TPM = c.arch, c.firmware, c.asked
		have := deployed(t, newWorld(t).Target(t, nil), r)
		if got := readConfig(t, have.Path).QEMU; got.UEFIBoot != c.uefi || got.TPMDevice != c.tpm {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// A change of the settings is a change of the machine, which stays the same one.
func TestReconfigure(t *testing.T) {
	w, r := newWorld(t), request(t, "a", 0)
	have := deployed(t, w.Target(t, nil), r)
	before := readConfig(t, have.Path)
	target := w.Target(t, map[string]any{"cores": 4, "memory": 4096, "network": "bridged"})
	_, drift, err := target.Read(t.Context(), have)
	if want := []string{"cores is 2, not 4", "memory is 2048, not 4096", "network is shared, not bridged"}; err != nil || !slices.Equal(drift, want) {
		t.Errorf("drift %q, %v", drift, err)
	}
	_, err = target.Update(t.Context(), r, have)
	must(t, err)
	after := readConfig(t, have.Path)
	if after.System.CPUCount != 4 || after.System.MemorySize != 4096 || after.Network[0].Mode != "Bridged" ||
		after.Information != before.Information || after.Network[0].MacAddress != before.Network[0].MacAddress {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, drift, err := target.Read(t.Context(), have); err != nil || len(drift) > 0 {
		t.Errorf("still drift %q, %v", drift, err)
	}
}

// A bundle that lost a part is made whole again.
func TestMend(t *testing.T) {
	for _, part := range []string{"config.plist", "Data/disk.qcow2"} {
		w, r := newWorld(t), request(t, "a", 0)
		target := w.Target(t, nil)
		have := deployed(t, target, r)
		must(t, os.Remove(filepath.Join(have.Path, part)))
		if _, drift, err := target.Read(t.Context(), have); err != nil || len(drift) != 1 || !strings.Contains(drift[0], part+" is missing") {
			t.Fatalf("%s: drift %q, %v", part, drift, err)
		}
		r.Current = &have
		now, err := target.Update(t.Context(), r, have)
		must(t, err)
		if _, drift, err := target.Read(t.Context(), *now); err != nil || len(drift) > 0 || !slices.Equal(names(t, w), []string{"web.utm"}) {
			t.Errorf("%s: drift %q, %v; there is %q", part, drift, err, names(t, w))
		}
	}
}

// A machine that was started is no drift, and is never deleted: not by a new generation, not with the deployment.
func TestStarted(t *testing.T) {
	w, first := newWorld(t), request(t, "a", 0)
	target := w.Target(t, nil)
	have := deployed(t, target, first)
	start(t, have.Path)
	if _, drift, err := target.Read(t.Context(), have); err != nil || len(drift) > 0 {
		t.Errorf("drift %q, %v", drift, err)
	}
	second := request(t, "b", 0)
	second.Current = &have
	if kept, err := target.(deploy.Asider).Aside(t.Context(), second, have); kept != nil || err != nil {
		t.Errorf("it is kept twice: %+v, %v", kept, err)
	}
	now := deployed(t, target, second)
	if got, want := names(t, w), []string{"web-aaaaaaaaaaaa.utm", "web.utm"}; !slices.Equal(got, want) {
		t.Fatalf("there is %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "web-aaaaaaaaaaaa.utm", "Data", "efi_vars.fd")); err != nil {
		t.Errorf("what was put aside is not the machine: %v", err)
	}
	start(t, now.Path)
	if err := target.Delete(t.Context(), now); !errors.Is(err, deploy.ErrInUse) {
		t.Errorf("got %v", err)
	}
	must(t, target.Delete(t.Context(), now)) // it is no longer ours
	if got := names(t, w); len(got) != 2 {
		t.Errorf("there is %q", got)
	}
	if _, err := target.Deploy(t.Context(), second); !errors.Is(err, deploy.ErrExists) {
		t.Errorf("over the one that was left: %v", err)
	}
}

// What somebody changes of a machine in use is no drift, and nothing is written over it: UTM would delete the drives that
// its config.plist does not name any more.
func TestStartedAndChanged(t *testing.T) {
	for name, gone := range map[string]bool{"changed": false, "without a config.plist": true} {
		w, r := newWorld(t), request(t, "a", 0)
		have := deployed(t, w.Target(t, nil), r)
		target := w.Target(t, map[string]any{"memory": 4096})
		start(t, have.Path)
		plist := filepath.Join(have.Path, "config.plist")
		w.Tamper(t, have)
		if gone {
			must(t, os.Remove(plist))
		}
		before, _ := os.ReadFile(plist)
		if _, drift, err := target.Read(t.Context(), have); err != nil || len(drift) > 0 {
			t.Errorf("%s: drift %q, %v", name, drift, err)
		}
		s, warnings, err := deploy.Apply(t.Context(), target, deploy.State{Current: &have}, r, deploy.Options{})
		if err != nil || s.Current == nil || s.Current.ID != have.ID || len(warnings) != 1 || !strings.Contains(warnings[0], "Change it in UTM") {
			t.Errorf("%s: applied to %+v, %q, %v", name, s.Current, warnings, err)
		}
		if after, _ := os.ReadFile(plist); !slices.Equal(before, after) {
			t.Errorf("%s: config.plist was written", name)
		}
	}
}

// A generation that is kept shares the disk, and is another machine to UTM.
func TestAside(t *testing.T) {
	w, r := newWorld(t), request(t, "a", 0)
	target := w.Target(t, nil)
	have := deployed(t, target, r)
	kept, err := target.(deploy.Asider).Aside(t.Context(), r, have)
	must(t, err)
	disk := func(bundle string) os.FileInfo {
		info, err := os.Stat(filepath.Join(bundle, "Data", "disk.qcow2"))
		must(t, err)
		return info
	}
	if filepath.Base(kept.Path) != "web-aaaaaaaaaaaa.utm" || !os.SameFile(disk(have.Path), disk(kept.Path)) {
		t.Errorf("kept %+v", kept)
	}
	was, is := readConfig(t, have.Path), readConfig(t, kept.Path)
	if is.Information.Name != "web-aaaaaaaaaaaa" || is.Information.UUID == was.Information.UUID || is.Network[0].MacAddress == was.Network[0].MacAddress {
		t.Errorf("it is %+v, was %+v", is, was)
	}
	if now, drift, err := target.Read(t.Context(), *kept); err != nil || len(drift) > 0 || now.DeployedAt != have.DeployedAt {
		t.Errorf("it reads as %+v, %q, %v", now, drift, err)
	}
}

func TestTaken(t *testing.T) {
	r := request(t, "a", 0)
	w := newWorld(t)
	bundle := filepath.Join(w.dir, "web.utm")
	must(t, os.MkdirAll(bundle, 0o700))
	problems, err := w.Target(t, nil).Check(t.Context(), r)
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Detail, "pim did not make it") {
		t.Errorf("the check found %v, %v", problems, err)
	}
	if _, err := w.Target(t, nil).Deploy(t.Context(), r); !errors.Is(err, deploy.ErrExists) {
		t.Errorf("got %v", err)
	}
	must(t, os.WriteFile(filepath.Join(bundle, "pim.json"), []byte(`{"managed_by": "pim", "name": "db"}`), 0o600))
	if _, err := w.Target(t, nil).Deploy(t.Context(), r); !errors.Is(err, deploy.ErrExists) || !strings.Contains(err.Error(), `"db"`) {
		t.Errorf("got %v", err)
	}
	r.Name, r.Image.Arch = "a/b", "riscv64"
	problems, err = w.Target(t, nil).Check(t.Context(), r)
	if err != nil || len(problems) != 2 {
		t.Errorf("the check found %v, %v", problems, err)
	}
	for range 2 { // first the name is wrong, then the architecture
		if _, err := w.Target(t, nil).Deploy(t.Context(), r); err == nil || errors.Is(err, deploy.ErrExists) {
			t.Errorf("got %v", err)
		}
		r.Name = "ab"
	}
	if got := names(t, w); !slices.Equal(got, []string{"web.utm"}) {
		t.Errorf("there is %q", got)
	}
}

// What a killed provider left goes once it is old; a machine that it was about to replace does not.
func TestSweep(t *testing.T) {
	w, r := newWorld(t), request(t, "a", 0)
	target := w.Target(t, nil)
	leave := func(name string, age time.Duration) {
		path := filepath.Join(w.dir, name)
		must(t, os.Rename(deployed(t, target, r).Path, path))
		if name == "web.utm.cccccccc.part" {
			start(t, path)
		}
		must(t, os.Chtimes(path, time.Now().Add(-age), time.Now().Add(-age)))
	}
	leave("web.utm.aaaaaaaa.part", 2*deploytest.Pace().Abandoned)
	leave("web.utm.bbbbbbbb.part", 0)
	leave("web.utm.cccccccc.part", 2*deploytest.Pace().Abandoned)
	deployed(t, target, r)
	if got, want := names(t, w), []string{"web-aaaaaaaaaaaa.utm", "web.utm", "web.utm.bbbbbbbb.part"}; !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
}

func TestSettings(t *testing.T) {
	s := utm.Settings{OutputDir: "~/utm"}
	if problems := s.Complete(); len(problems) > 0 || s.Cores != 2 || s.Memory != 2048 || s.Network != utm.Shared {
		t.Errorf("got %+v, %v", s, problems)
	}
	for field, s := range map[string]utm.Settings{
		"output_dir": {}, "cores": {OutputDir: "/x", Cores: -1}, "memory": {OutputDir: "/x", Memory: 16}, "network": {OutputDir: "/x", Network: "host"},
	} {
		if problems := s.Complete(); len(problems) != 1 || problems[0].Field != field {
			t.Errorf("%s: got %v", field, problems)
		}
		if _, err := utm.New(t.Context(), s, utm.Options{}); err == nil {
			t.Errorf("%s: accepted", field)
		}
	}
	if _, err := utm.New(t.Context(), utm.Settings{OutputDir: "~/x"}, utm.Options{}); err == nil || !strings.Contains(err.Error(), "not absolute") {
		t.Errorf("got %v", err)
	}
	for field, want := range map[string]deploy.Effect{"output_dir": deploy.Move, "cores": deploy.InPlace, "memory": deploy.InPlace, "network": deploy.InPlace} {
		if got := utm.Effect(field); got != want {
			t.Errorf("%s: got %v", field, got)
		}
	}
}
