package qemu

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

func TestImport(t *testing.T) {
	qemutest.Need(t)
	h, dir := host.NewLocal(), t.TempDir()
	raw, dst := filepath.Join(dir, "raw"), filepath.Join(dir, "layer.qcow2")
	content := bytes.Repeat([]byte("disk"), mib/4)
	if err := os.WriteFile(raw, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Import(t.Context(), h, raw, "raw", dst, 4*mib); err != nil {
		t.Fatal(err)
	}
	info, err := ReadInfo(t.Context(), h, dst)
	if err != nil || info.Format != "qcow2" || info.VirtualSize != 4*mib || info.Backing != "" {
		t.Errorf("%+v, %v", info, err)
	}
	qemuIO(t, dst, "read -P 0 1M 3M")
	again := filepath.Join(dir, "again.qcow2")
	if err := Import(t.Context(), h, dst, "qcow2", again, 4*mib); err != nil {
		t.Fatal(err)
	}
	if err := img(t.Context(), h, nil, "compare", "-q", dst, again); err != nil {
		t.Error(err)
	}
	if err := Import(t.Context(), h, raw, "qcow2", filepath.Join(dir, "bad"), 4*mib); err == nil {
		t.Error("a raw file was taken for a qcow2")
	}
	gone(t, filepath.Join(dir, "bad"))
}
