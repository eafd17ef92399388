//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// insideLayered says what must be so once cloud-init has done what its seed says.
const insideLayered = `
[ "$(hostname)" = layered ]
[ "$PIM_USERNAME" = ops ]
sudo -u ops sudo -n true
command -v tree
[ "$(df -k --output=size / | tail -1)" -gt $((8 * 1024 * 1024)) ]
grep -q 'name: ops' /etc/cloud/cloud.cfg.d/95_pim.cfg
if id debian; then exit 1; fi # nobody asked for the built-in default
`

// baseImage takes the image that was built for what it is, a cloud image, and makes another one of it.
func baseImage(t *testing.T, w *workspace) {
	first := w.manifest(t)
	d := w.workspaceOf(t, "testdata/base/main.tf").with("source_path="+w.value(t, "path"), "sha256="+first.SHA256)
	installed := w.files(t, "layers")
	t.Cleanup(func() { // of no use to a later run, whose image is another one
		for _, name := range w.files(t, "layers") {
			if !slices.Contains(installed, name) {
				must(t, os.Remove(filepath.Join(w.data, "layers", name)))
			}
		}
	})
	w.script(t, "layered", insideLayered)
	d.apply(t)
	m := d.manifest(t)
	for _, s := range m.Steps {
		t.Logf("%-16s %6.1f s", s.Name, s.Seconds)
	}
	if m.Inputs["base"] != "sha256:"+first.SHA256 || m.VirtualSizeBytes != 9<<30 || m.Verify == nil {
		t.Errorf("manifest: %+v", m)
	}
	for _, name := range []string{"cloud-init", "tree"} {
		if !slices.ContainsFunc(m.Packages, func(p cache.Package) bool { return p.Name == name }) {
			t.Errorf("package %s is not in the manifest", name)
		}
	}
	d.nothingLeft(t)
	d.do(t, 0, "plan", "-detailed-exitcode")

	other := d.with(d.vars[0], "sha256="+strings.Repeat("0", 64))
	if out := other.do(t, 2, "plan", "-detailed-exitcode"); !strings.Contains(out, "base changed") || strings.Contains(out, "seed changed") {
		t.Error("the plan's warning does not name the base alone")
	}

	w.script(t, "layered", insideLayered+"echo edited")
	if out := d.do(t, 2, "plan", "-detailed-exitcode"); !strings.Contains(out, "script:layered changed") {
		t.Error("the plan's warning does not name the script")
	}
	d.interrupt(t, "layer", "reuse")
	d.do(t, 0, "destroy", "-auto-approve")
}
