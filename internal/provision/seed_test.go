package provision_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/provision/provisiontest"
)

// TestSeedScript runs it in a tree that has keys of its own, and has the guest's own scripts remove what it makes.
func TestSeedScript(t *testing.T) {
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	g, err := provision.Connect(t.Context(), s.Dial, s.Addr, id, "root")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	fill(t, s.Root, dirty)
	fill(t, s.Root, map[string]string{"root/.ssh/authorized_keys": "ssh-ed25519 AAAA site\n", "etc/apt/apt.conf": ""})
	const proxy = "http://me:it's@10.0.2.2:3142/"
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = strings.NewReader(id.SeedScript(proxy))
	cmd.Env = []string{"PATH=/usr/bin:/bin", "PIM_ROOT=" + s.Root}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(s.Root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(text)
	}
	const conf, keys = "etc/apt/apt.conf.d/00pim-build-proxy", "root/.ssh/authorized_keys"
	if got, want := read(conf), "Acquire::http::Proxy \""+proxy+"\";\n"; got != want {
		t.Errorf("proxy: %q, want %q", got, want)
	}
	if got, want := read(keys), "ssh-ed25519 AAAA site\n"+id.AuthorizedKey()+"\n"; got != want {
		t.Errorf("keys: %q, want %q", got, want)
	}
	if err := g.Finalize(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := read(conf); got != "" {
		t.Errorf("the proxy stayed: %q", got)
	}
	if got, want := read(keys), "ssh-ed25519 AAAA site\n"; got != want {
		t.Errorf("keys after the build: %q, want %q", got, want)
	}
}
