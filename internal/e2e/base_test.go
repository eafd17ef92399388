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
[ "$(hostname -f)" = layered.example.test ]
[ "$PIM_USERNAME" = ops ]
sudo -u ops sudo -n true
[ "$(getent passwd ops | cut -d: -f5)" = "Olga Petrova" ]
[ "$(stat -c '%U %a' /home/ops/.ssh/authorized_keys)" = "ops 600" ]
grep -q Debian /home/ops/.ssh/authorized_keys
[ "$(TZ= date -d @0 +%H)" = 00 ] && [ "$(date -d @0 +%H)" = 02 ]
grep -q '^LANG="*de_DE.UTF-8' /etc/default/locale && locale -a | grep -qi de_DE.utf8
command -v tree
[ "$(df -k --output=size / | tail -1)" -gt $((8 * 1024 * 1024)) ]
grep -q 'name: ops' /etc/cloud/cloud.cfg.d/95_pim.cfg
if id debian; then exit 1; fi # nobody asked for the built-in default
`

// baseOf is a workspace that takes the image of another one for what it is, a cloud image, and makes a further one of it.
func (w *workspace) baseOf(t *testing.T, vars ...string) *workspace {
	t.Helper()
	installed := w.files(t, "layers")
	t.Cleanup(func() { // of no use to a later run, whose image is another one
		for _, name := range w.files(t, "layers") {
			if !slices.Contains(installed, name) {
				must(t, os.Remove(filepath.Join(w.data, "layers", name)))
			}
		}
	})
	w.script(t, "layered", insideLayered)
	return w.workspaceOf(t, "testdata/base/main.tf").with(append([]string{
		"source_path=" + w.value(t, "path"), "sha256=" + w.manifest(t).SHA256,
	}, vars...)...)
}

func baseImage(t *testing.T, w *workspace) {
	d := w.baseOf(t)
	d.apply(t)
	m := d.manifest(t)
	for _, s := range m.Steps {
		t.Logf("%-16s %6.1f s", s.Name, s.Seconds)
	}
	if m.Inputs["base"] != "sha256:"+w.manifest(t).SHA256 || m.VirtualSizeBytes != 9<<30 || m.Verify == nil {
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
