package qemu

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

func TestConvert(t *testing.T) {
	qemutest.Need(t)
	h := host.NewLocal()
	src := randomDisk(t, h, 4*mib)
	for _, format := range Formats {
		dst := filepath.Join(t.TempDir(), "out")
		var seen []float64
		if err := Convert(t.Context(), h, src, dst, format, func(p float64) { seen = append(seen, p) }); err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(seen) || len(seen) == 0 || seen[len(seen)-1] != 100 {
			t.Errorf("%s: progress: %v", format, seen)
		}
		if err := img(t.Context(), h, nil, "compare", "-f", "qcow2", "-F", format, src, dst); err != nil {
			t.Errorf("%s differs: %v", format, err)
		}
	}
}

func TestConvertFails(t *testing.T) {
	qemutest.Need(t)
	h := host.NewLocal()
	src := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(src, []byte("no qcow2"), 0o600); err != nil {
		t.Fatal(err)
	}
	dst := src + ".out"
	if err := Convert(t.Context(), h, src, dst, "raw", nil); err == nil || !strings.HasPrefix(err.Error(), "cannot convert the image to raw in "+dst) {
		t.Errorf("got %v", err)
	}
	gone(t, dst)
}
