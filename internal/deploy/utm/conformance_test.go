package utm_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/utm"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

func TestConformance(t *testing.T) {
	deploytest.Run(t, func(t *testing.T) deploytest.World { return newWorld(t) })
}

// world is a folder of bundles.
type world struct {
	dir    string
	faults deploytest.Faults
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{dir: filepath.Join(t.TempDir(), "made", "by the target")}
}

func (w *world) Target(t *testing.T, change map[string]any) deploy.Target {
	t.Helper()
	s := utm.Settings{OutputDir: w.dir}
	must(t, deploy.Decode(change, &s))
	target, err := utm.New(t.Context(), s, utm.Options{Pace: deploytest.Pace(), Host: deploytest.Host(host.NewLocal(), &w.faults)})
	must(t, err)
	return target
}

func (w *world) Faults() *deploytest.Faults { return &w.faults }

// Inventory is every file, in a bundle or not.
func (w *world) Inventory(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	must(t, err)
	return files
}

func (*world) Of(_ *testing.T, r deploy.Result) []string {
	return []string{r.Path + "/Data/disk.qcow2", r.Path + "/config.plist", r.Path + "/pim.json"}
}

func (*world) Remove(t *testing.T, r deploy.Result) {
	t.Helper()
	must(t, os.RemoveAll(r.Path))
}

// Tamper does what a person would in UTM's settings.
func (*world) Tamper(t *testing.T, r deploy.Result) {
	t.Helper()
	path := filepath.Join(r.Path, "config.plist")
	data, err := os.ReadFile(path)
	must(t, err)
	changed := strings.Replace(string(data), "<integer>2048</integer>", "<integer>512</integer>", 1)
	if changed == string(data) {
		t.Fatal("nothing to change")
	}
	must(t, os.WriteFile(path, []byte(changed), 0o600))
}

func (*world) Disk(t *testing.T, r deploy.Result) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "raw")
	h := host.NewLocal()
	img, err := qemu.FindImg(h)
	must(t, err)
	must(t, h.Run(t.Context(), host.Cmd{Argv: []string{img, "convert", "-f", "qcow2", "-O", "raw", filepath.Join(r.Path, "Data", "disk.qcow2"), out}}))
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
