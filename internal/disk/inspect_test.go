package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

func TestInspect(t *testing.T) {
	qemutest.Need(t)
	disk := content()
	for name, c := range map[string]struct {
		args   []string
		format string
		says   string
	}{
		"qcow2":          {[]string{"-O", "qcow2"}, "qcow2", ""},
		"compressed":     {[]string{"-c", "-O", "qcow2"}, "qcow2", ""},
		"zstd":           {[]string{"-c", "-O", "qcow2", "-o", "compression_type=zstd"}, "qcow2", ""},
		"version 2":      {[]string{"-O", "qcow2", "-o", "compat=0.10"}, "qcow2", ""},
		"raw":            {[]string{"-O", "raw"}, "raw", ""},
		"vmdk":           {[]string{"-O", "vmdk"}, "", "vmdk"},
		"data elsewhere": {[]string{"-O", "qcow2", "-o", "data_file=" + filepath.Join(t.TempDir(), "data")}, "", "another file"},
	} {
		format, size, err := Inspect(host.NewLocal(), makeImage(t, disk, c.args...))
		if c.says != "" {
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if want := int64(len(disk)); err != nil || format != c.format || size != want {
			t.Errorf("%s: format %q, size %d of %d, %v", name, format, size, want, err)
		}
	}
	over := filepath.Join(t.TempDir(), "over")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", over)
	if _, _, err := Inspect(host.NewLocal(), over); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "backing file") {
		t.Errorf("backing file: %v", err)
	}
}

func TestHasBootCode(t *testing.T) {
	gptOf := func(code string) []byte {
		d := gpt("")
		copy(d, code)
		return d
	}
	for name, c := range map[string]struct {
		disk []byte
		want bool
	}{
		"GRUB":         {gptOf("\xeb\x63\x90"), true},
		"UEFI alone":   {gptOf(""), false},
		"no signature": {append([]byte("<html>"), make([]byte, mib)...), false},
		"tiny":         {[]byte("\xeb\x63\x90"), false},
	} {
		path := filepath.Join(t.TempDir(), "raw")
		must(t, os.WriteFile(path, c.disk, 0o600))
		if got, err := open(t, path).HasBootCode(); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
