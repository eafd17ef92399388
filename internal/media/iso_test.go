package media

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// x86Kernel is the head of a bzImage of boot protocol 2.15, for 64 bits or 32.
func x86Kernel(wide bool) []byte {
	b := make([]byte, 5000)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20f)
	if wide {
		b[0x236] = 1
	}
	return b
}

func armKernel() []byte {
	b := make([]byte, 5000)
	copy(b, "MZ")
	copy(b[0x38:], "ARM\x64")
	return b
}

// peKernel is an EFI program, as a compressed arm64 kernel is.
func peKernel(machine uint16) []byte {
	b := make([]byte, 5000)
	copy(b, "MZ")
	b[0x3c] = 0x80
	copy(b[0x80:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[0x84:], machine)
	return b
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b) //nolint:errcheck // to memory
	w.Close()
	return out.Bytes()
}

// makeISO has xorriso make an ISO, as Debian's are made.
func makeISO(t testing.TB, files map[string][]byte, options ...string) []byte {
	t.Helper()
	xorriso, err := exec.LookPath("xorriso")
	if err != nil {
		t.Skip("needs xorriso")
	}
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "x.iso")
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	argv := append([]string{"-no_rc", "-as", "mkisofs", "-quiet", "-o", out}, append(options, dir)...)
	if text, err := exec.CommandContext(t.Context(), xorriso, argv...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(image []byte) (*Installer, error) {
	return Open(bytes.NewReader(image), int64(len(image)))
}

func TestOpen(t *testing.T) {
	rockRidge := []string{"-r", "-J"}
	initrd := bytes.Repeat([]byte("initrd"), 1000)
	crowd := map[string][]byte{"linux": x86Kernel(true), "initrd.gz": initrd}
	for i := range 300 { // a root directory of many sectors
		crowd[strings.Repeat("long-name-", 12)+string(rune('a'+i%26))+string(rune('a'+i/26))] = []byte("x")
	}
	for _, tt := range []struct {
		name           string
		files          map[string][]byte
		options        []string
		kind           string
		arch           host.Arch
		kernel, initrd string
	}{
		{
			"netinst amd64",
			map[string][]byte{
				"install.amd/vmlinuz": x86Kernel(true), "install.amd/initrd.gz": initrd,
				"install.amd/gtk/initrd.gz": []byte("another"), "README.txt": []byte("x"),
			},
			rockRidge, DebianNetinst, host.X86_64, "install.amd/vmlinuz", "install.amd/initrd.gz",
		},
		{
			"netinst arm64",
			map[string][]byte{"install.a64/vmlinuz": []byte("unknown"), "install.a64/initrd.gz": initrd},
			rockRidge, DebianNetinst, host.ARM64, "install.a64/vmlinuz", "install.a64/initrd.gz",
		},
		{
			"mini amd64",
			map[string][]byte{"linux": x86Kernel(true), "initrd.gz": initrd},
			rockRidge, DebianNetboot, host.X86_64, "linux", "initrd.gz",
		},
		{
			"mini arm64",
			map[string][]byte{"linux": armKernel(), "initrd.gz": initrd},
			rockRidge, DebianNetboot, host.ARM64, "linux", "initrd.gz",
		},
		{
			"mini i386",
			map[string][]byte{"linux": x86Kernel(false), "initrd.gz": initrd},
			rockRidge, DebianNetboot, i386, "linux", "initrd.gz",
		},
		{
			"casper",
			map[string][]byte{"casper/vmlinuz": gzipped(armKernel()), "casper/initrd": initrd},
			rockRidge, UbuntuCasper, host.ARM64, "casper/vmlinuz", "casper/initrd",
		},
		{
			"Joliet only",
			map[string][]byte{"install.amd/vmlinuz": x86Kernel(true), "install.amd/initrd.gz": initrd},
			[]string{"--norock", "-J"},
			DebianNetinst, host.X86_64, "install.amd/vmlinuz", "install.amd/initrd.gz",
		},
		{
			"ISO 9660 names only",
			map[string][]byte{"linux": x86Kernel(true), "initrd.gz": initrd},
			[]string{"--norock"},
			DebianNetboot, host.X86_64, "linux", "initrd.gz",
		},
		{"crowded root", crowd, rockRidge, DebianNetboot, host.X86_64, "linux", "initrd.gz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inst, err := open(makeISO(t, tt.files, tt.options...))
			if err != nil {
				t.Fatal(err)
			}
			if inst.Kind != tt.kind || inst.Arch != tt.arch {
				t.Errorf("got %q for %q", inst.Kind, inst.Arch)
			}
			for range 2 { // what was read can be read again
				var kernel, initrd bytes.Buffer
				if err := errors.Join(inst.WriteKernel(&kernel), inst.WriteInitrd(&initrd)); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(kernel.Bytes(), tt.files[tt.kernel]) {
					t.Errorf("%d bytes of kernel, want %d", kernel.Len(), len(tt.files[tt.kernel]))
				}
				if !bytes.Equal(initrd.Bytes(), tt.files[tt.initrd]) {
					t.Errorf("%d bytes of initrd, want %d", initrd.Len(), len(tt.files[tt.initrd]))
				}
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	good := makeISO(t, map[string][]byte{"linux": x86Kernel(true), "initrd.gz": bytes.Repeat([]byte("i"), 1<<20)}, "-r", "-J")
	other := makeISO(t, map[string][]byte{"linux": x86Kernel(true), "live/vmlinuz": nil}, "-r")
	edit := func(offset int, b ...byte) []byte {
		c := slices.Clone(good)
		copy(c[offset:], b)
		return c
	}
	const pvd = 16 * sectorSize
	for _, tt := range []struct {
		name  string
		image []byte
		is    error
		want  string
	}{
		{"empty", nil, ErrNotISO, "it has only 0 bytes"},
		{"text", bytes.Repeat([]byte("<html>"), 10_000), ErrNotISO, "no volume descriptor"},
		{"no installer", other, ErrNoKernel, `the ISO holds "linux", "live/"`},
		{"cut short", good[:len(good)-1<<20], ErrNotISO, "is cut short"},
		{"cut in the directories", good[:18*sectorSize], ErrNotISO, ""},
		{"huge path table", edit(pvd+132, 0xff, 0xff, 0xff, 0xff), ErrNotISO, "impossible size"},
		{"huge root", edit(pvd+156+10, 0xff, 0xff, 0xff, 0xff), ErrNotISO, "impossible size"},
		{"huge Joliet path table", edit(pvd+sectorSize+132, 0xff, 0xff, 0xff, 0xff), ErrNotISO, "impossible size"},
		{"huge continuation", edit(bytes.Index(good, []byte("CE\x1c\x01"))+20, 0xff, 0xff, 0xff, 0xff), ErrNotISO, "impossible size"},
		{"other block size", edit(pvd+128, 0, 2), ErrNotISO, "2048"},
		{"root nowhere", edit(pvd+156+2, 0xff, 0xff, 0xff, 0x0f), ErrNotISO, ""},
		{"root of zeros", edit(pvd+156+2, 0), ErrNotISO, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			inst, err := open(tt.image)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 4*maxTable {
				t.Errorf("took %d bytes of memory", n)
			}
			if inst != nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, error %v; want %q", inst, err, tt.want)
			}
		})
	}
	if _, err := open(other); !strings.Contains(err.Error(), "install.amd/vmlinuz + initrd.gz") {
		t.Errorf("%v does not say what was looked for", err)
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, fs.ErrPermission }

func TestOpenReadError(t *testing.T) {
	if _, err := Open(failing{}, 1<<30); !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrNotISO) {
		t.Errorf("error %v", err)
	}
}

func TestKernelArch(t *testing.T) {
	old := x86Kernel(false)
	binary.LittleEndian.PutUint16(old[0x206:], 0x204) // before xloadflags
	for name, tt := range map[string]struct {
		kernel []byte
		want   host.Arch
	}{
		"x86_64":          {x86Kernel(true), host.X86_64},
		"i386":            {x86Kernel(false), i386},
		"old x86":         {old, host.X86_64},
		"arm64":           {armKernel(), host.ARM64},
		"arm64, gzip":     {gzipped(armKernel()), host.ARM64},
		"arm64, EFI":      {peKernel(0xaa64), host.ARM64},
		"x86_64, EFI":     {peKernel(0x8664), host.X86_64},
		"riscv64, EFI":    {peKernel(0x5064), ""},
		"EFI cut short":   {peKernel(0xaa64)[:0x82], ""},
		"DOS":             {[]byte("MZ"), ""},
		"gzip of nothing": {[]byte{0x1f, 0x8b, 8}, ""},
		"empty":           {nil, ""},
	} {
		if got := kernelArch(bytes.NewReader(tt.kernel)); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// FuzzOpen changes a few bytes of a small ISO's descriptors and directories: no change may make it panic, and what is
// found lies within the image.
func FuzzOpen(f *testing.F) {
	image := makeISO(f, map[string][]byte{"install.amd/vmlinuz": x86Kernel(true), "install.amd/initrd.gz": []byte("i")}, "-r", "-J")
	image = image[:min(len(image), 200<<10)]
	f.Add(uint32(0), []byte{0}, uint32(0))
	f.Add(uint32(132), []byte{0xff, 0xff, 0xff}, uint32(0))
	f.Add(uint32(3*sectorSize), []byte{1}, uint32(1<<20))
	f.Add(uint32(3*sectorSize+33), []byte("CE\x1c\x01"), uint32(0))
	f.Fuzz(func(t *testing.T, offset uint32, change []byte, cut uint32) {
		c := slices.Clone(image)
		copy(c[16*sectorSize+int(offset)%(len(c)-16*sectorSize):], change)
		c = c[:max(len(c)-int(cut), 0)]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		inst, err := open(c)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16*maxTable {
			t.Errorf("took %d bytes of memory", n)
		}
		if err != nil {
			if !errors.Is(err, ErrNotISO) && !errors.Is(err, ErrNoKernel) {
				t.Errorf("error %v", err)
			}
			return
		}
		if err := errors.Join(inst.WriteKernel(io.Discard), inst.WriteInitrd(io.Discard)); err != nil {
			t.Error(err)
		}
	})
}
