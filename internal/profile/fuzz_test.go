package profile_test

import (
	"errors"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// FuzzLoad: whatever stands in a file, the loader neither panics nor fails without saying where.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "a:", "a: {}\na: {}", "a: &x {build: *x}", "a: [1]\n---\nb:", "<<: *x", "? [a]\n: b", "a: !!binary x",
		"default: {packages: a b, build: {disk_size: 1G}, architectures: [arm64]}",
		"a: {url: /x, architecture: arm64, checksum: 'sha256:'}", "build: {builders: {arm64: local}, remotes: {p: {host: h}}}",
		"{{ template \"debian.cfg.tmpl\" . }}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, name := range []string{"pim.yml", "profiles.d/a.yml", "isos.d/a.yml", "preseeds.d/a.cfg.tmpl"} {
			dir := write(t, map[string]string{name: body})
			c, err := profile.Load(profile.Options{ConfigDir: dir})
			if err == nil {
				for _, p := range append(c.Profiles(), "") {
					_, err = c.Resolve(profile.Request{Name: p, Arch: host.ARM64, ISO: someISO})
				}
			}
			saysWhere(t, err)
		}
	})
}

// FuzzLoadTargets: whatever stands in targets.d, what is taken from it can be encoded again.
func FuzzLoadTargets(f *testing.F) {
	for _, seed := range []string{
		"", "a:", "a: {type: file, path: /x}", "a: {type: aws, x: &x [1, 01], y: *x, z: {<<: *x}}", "a: &x {type: *x}", "a: {type: u, t: !!binary x}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		all, err := profile.LoadTargets(profile.Options{ConfigDir: write(t, map[string]string{"targets.d/a.yml": body})})
		saysWhere(t, err)
		for _, target := range all {
			if _, err := yaml.Marshal(target.Fields); err != nil {
				t.Error(err)
			}
		}
	})
}

func saysWhere(t *testing.T, err error) {
	t.Helper()
	var es profile.Errors
	if err != nil && !errors.As(err, &es) {
		t.Fatalf("%T: %v", err, err)
	}
	for _, e := range es {
		if e.Msg == "" || e.File == "" && e.Field == "" {
			t.Errorf("%#v says neither what nor where", e)
		}
	}
}
