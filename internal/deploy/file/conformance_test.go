package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/file"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

func TestConformance(t *testing.T) {
	for _, format := range []string{"qcow2", "vdi"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			deploytest.Run(t, func(t *testing.T) deploytest.World { return newWorld(t, format) })
		})
	}
}

// world is a folder that a deployment goes to.
type world struct {
	dir, format string
	faults      deploytest.Faults
}

func newWorld(t *testing.T, format string) *world {
	t.Helper()
	return &world{dir: filepath.Join(t.TempDir(), "made", "by the target"), format: format}
}

func (w *world) settings(t *testing.T, change map[string]any) file.Settings {
	t.Helper()
	s := file.Settings{Path: filepath.Join(w.dir, "disk."+w.format)}
	must(t, deploy.Decode(change, &s))
	if problems := s.Complete(); len(problems) > 0 {
		t.Fatal(problems)
	}
	return s
}

func (w *world) Target(t *testing.T, change map[string]any) deploy.Target {
	t.Helper()
	target, err := file.New(t.Context(), w.settings(t, change), file.Options{
		Pace: deploytest.Pace(), Host: deploytest.Host(host.NewLocal(), &w.faults),
	})
	must(t, err)
	return target
}

func (w *world) Faults() *deploytest.Faults { return &w.faults }

func (w *world) Inventory(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(w.dir, "*"))
	must(t, err)
	return list
}

func (*world) Of(_ *testing.T, r deploy.Result) []string {
	return []string{r.Path, r.Path + ".sha256", r.Path + ".pim.json"}
}

func (*world) Remove(t *testing.T, r deploy.Result) {
	t.Helper()
	must(t, os.Remove(r.Path))
}

func (*world) Tamper(t *testing.T, r deploy.Result) {
	t.Helper()
	change(t, r.Path)
}

func (w *world) Disk(t *testing.T, r deploy.Result) string {
	t.Helper()
	return raw(t, r.Path, w.format)
}

// raw converts a disk of a format.
func raw(t *testing.T, path, format string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "raw")
	h := host.NewLocal()
	img, err := qemu.FindImg(h)
	must(t, err)
	must(t, h.Run(t.Context(), host.Cmd{Argv: []string{img, "convert", "-f", format, "-O", "raw", path, out}}))
	return out
}

// change does to a file what a machine would that runs from it.
func change(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(strings.Repeat("changed", 100))
	must(t, err)
	must(t, f.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
