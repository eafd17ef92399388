package build

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// bootSector is a disk of a MiB with code in its first sector, and an EFI system partition when asked for.
func bootSector(code []byte, esp bool) []byte {
	d := make([]byte, 1<<20)
	copy(d, code)
	if esp {
		d[446+4] = 0xef
		binary.LittleEndian.PutUint32(d[446+8:], 1)
		binary.LittleEndian.PutUint32(d[446+12:], 16)
	}
	copy(d[510:], "\x55\xaa")
	return d
}

// baseFile is a disk in a file of a format; format is qemu-img's arguments.
func baseFile(t *testing.T, disk []byte, format ...string) string {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(raw, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	if len(format) == 0 {
		return raw
	}
	file := raw + ".converted"
	argv := append(append([]string{"convert", "-f", "raw"}, format...), raw, file)
	if out, err := exec.CommandContext(t.Context(), "qemu-img", argv...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// testBase is a builder, and a spec with a file as its base.
func testBase(t *testing.T, h host.Host, file string) (*Builder, Spec) {
	t.Helper()
	b, s := testBuildOn(t, h, installer(halt))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.ISO, s.Preseed.Templates, s.Preseed.Name, s.Install = cache.ISO{}, nil, "", Script{}
	s.Base = cache.ISO{Name: "cloud.img", Path: file, SHA256: strings.TrimPrefix(cache.Digest(data), "sha256:"), Kind: "base image"}
	return b, s
}

func TestBadBase(t *testing.T) {
	qemutest.Need(t)
	bios, both := bootSector(halt, false), bootSector(halt, true)
	over := filepath.Join(t.TempDir(), "over.qcow2")
	argv := []string{"create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", over}
	if out, err := exec.CommandContext(t.Context(), "qemu-img", argv...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data := filepath.Join(t.TempDir(), "data")
	for name, c := range map[string]struct {
		file   string
		change func(*Spec)
		step   string
		wants  []string
	}{
		"backing file":   {over, nil, "layer", []string{"needs a backing file", "standalone qcow2"}},
		"data elsewhere": {baseFile(t, both, "-O", "qcow2", "-o", "data_file="+data), nil, "layer", []string{"its data is in another file", "standalone"}},
		"vmdk":           {baseFile(t, both, "-O", "vmdk"), nil, "layer", []string{"format vmdk", "standalone"}},
		"too large": {
			baseFile(t, both, "-O", "qcow2"), func(s *Spec) { s.DiskSize = 1 << 19 }, "layer",
			[]string{"1048576 bytes, more than the 524288 of disk_size", "Set disk_size"},
		},
		"no disk":          {baseFile(t, []byte("<html>not found</html>")), nil, "layer", []string{"nothing boots from the base image", "unpacked"}},
		"UEFI alone":       {baseFile(t, bootSector(nil, true)), nil, "layer", []string{`Set firmware = "uefi"`}},
		"BIOS alone":       {baseFile(t, bios, "-O", "qcow2"), func(s *Spec) { s.Firmware = "uefi" }, "layer", []string{`Set firmware = "bios"`}},
		"wrong checksum":   {baseFile(t, both), func(s *Spec) { s.Base.SHA256 = strings.Repeat("0", 64) }, "base", []string{`cannot get base image "cloud.img"`, "wrong checksum"}},
		"missing":          {baseFile(t, both), func(s *Spec) { s.Base.Path = "/nowhere/x.qcow2" }, "base", []string{"/nowhere/x.qcow2", "fetch = true"}},
		"cannot emulate":   {baseFile(t, both), func(s *Spec) { s.Emulation = false }, "accelerator", []string{"emulation = true"}},
		"no such firmware": {baseFile(t, both, "-c", "-O", "qcow2"), func(s *Spec) { s.Arch, s.Firmware = host.ARM64, "bios" }, "layer", []string{"BIOS"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := testBase(t, host.NewLocal(), c.file)
			if c.change != nil {
				c.change(&s)
			}
			fails(t, b, s, c.step, c.wants...)
			onlyLogs(t, b, s)
		})
	}
}

// TestBaseWithoutSSH boots the layer of a base that has no system. The second build takes the first one's layer.
func TestBaseWithoutSSH(t *testing.T) { onEachHost(t, baseWithoutSSH) }

func baseWithoutSSH(t *testing.T, h host.Host) {
	b, s := testBase(t, h, baseFile(t, bootSector(halt, false), "-c", "-O", "qcow2"))
	s.Timeouts.SSH = 5 * time.Second
	var reused bool
	b.Progress = func(_ context.Context, m string) { reused = reused || strings.Contains(m, "layer: reuse") }
	for _, script := range []string{"first", "edited"} {
		s.Scripts[0].Body = []byte(script)
		fails(t, b, s, "boot", "no SSH connection within 5s", "needs cloud-init", "Screenshot: ")
		if again := script != "first"; reused != again {
			t.Errorf("%s: the layer was taken from the store: %t", script, reused)
		}
	}
	key := append(s.baseLayerInputs(), cache.Part{Name: "layer", Value: "base"}).Key()
	layer, err := b.Store.Layer(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	info, err := qemu.ReadInfo(t.Context(), b.Host, layer.Path)
	if err != nil || info.VirtualSize != s.DiskSize || info.Backing != "" {
		t.Errorf("the layer is %+v, %v", info, err)
	}
	if err := b.Store.DeleteLayer(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	onlyLogs(t, b, s)
}
