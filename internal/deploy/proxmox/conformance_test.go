package proxmox

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// world is a server of one version, and a target with a login that works there.
type world struct {
	*pvetest.Server
	settings map[string]any
}

// newWorld opens a world. Before 8.3 nobody but root can deploy.
func newWorld(t *testing.T, o pvetest.Options, settings map[string]any) *world {
	t.Helper()
	s := pvetest.New(t, o)
	w := &world{Server: s, settings: map[string]any{
		"endpoint": s.URL, "ca_file": s.CAFile, "storage": "local-lvm", "tags": []string{"Golden", "debian"},
	}}
	if o.Version == "8.2" {
		w.settings["username"], w.settings["password"] = root, pvetest.RootPassword
	} else {
		w.settings["api_token"] = s.Token(pvetest.TokenID)
	}
	maps.Copy(w.settings, settings)
	return w
}

func (w *world) Target(t *testing.T, change map[string]any) deploy.Target {
	t.Helper()
	fields := maps.Clone(w.settings)
	maps.Copy(fields, change)
	var s Settings
	if err := deploy.Decode(fields, &s); err != nil {
		t.Fatal(err)
	}
	if problems := s.Complete(); len(problems) > 0 {
		t.Fatal(problems)
	}
	target, err := New(t.Context(), s, Options{Pace: deploytest.Pace()})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func (w *world) Inventory(*testing.T) []string { return w.Server.Inventory() }

func (w *world) Of(_ *testing.T, r deploy.Result) []string { return w.InventoryOf(r.Node, int(r.VMID)) }

func (w *world) Remove(t *testing.T, r deploy.Result) { w.RemoveVM(t, int(r.VMID)) }

func (w *world) Tamper(t *testing.T, r deploy.Result) {
	w.SetConfig(t, int(r.VMID), map[string]string{
		"name": "renamed", "cores": "", "memory": "4096", "tags": "mine", "net0": "virtio=02:00:00:00:00:01,bridge=vmbr1,firewall=1",
		"description": "", "template": "",
	})
}

func (w *world) Disk(t *testing.T, r deploy.Result) string {
	t.Helper()
	path, format := w.DiskPath(t, int(r.VMID))
	if format == "raw" {
		return path
	}
	raw := filepath.Join(t.TempDir(), "disk.raw")
	convert(t, "convert", "-f", format, "-O", "raw", path, raw)
	return raw
}

// convert runs qemu-img.
func convert(t *testing.T, args ...string) {
	t.Helper()
	h := host.NewLocal()
	img, err := qemu.FindImg(h)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := h.Run(t.Context(), host.Cmd{Argv: append([]string{img}, args...), Stdout: &out, Stderr: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

// TestConformance runs the suite with the ways that differ most: a ticket and a path of a file, a token and an import.
// TestTemplate and TestRetired have all of them.
func TestConformance(t *testing.T) {
	t.Parallel()
	for version, settings := range map[string]map[string]any{
		"8.2": {"storage": "data"}, // files, and raw ones unless told otherwise
		"9.2": nil,
	} {
		t.Run(version, func(t *testing.T) {
			deploytest.Run(t, func(t *testing.T) deploytest.World {
				return newWorld(t, pvetest.Options{Version: version}, settings)
			})
		})
	}
}
