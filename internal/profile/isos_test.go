package profile_test

import (
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

const bothArchitectures = `deb:
  architectures:
    x86_64: {url: /amd64.iso, installer: debian}
    arm64: {url: /arm64.iso, installer: debian}
`

func TestOneNameForTheISOsOfAllArchitectures(t *testing.T) {
	t.Parallel()
	for name, profiles := range map[string]string{"named": "dev: {iso: deb}\n", "the only one": "dev: {}\n"} {
		c := load(t, map[string]string{"isos.d/a.yml": bothArchitectures, "profiles.d/a.yml": profiles})
		for arch, path := range map[host.Arch]string{host.X86_64: "/amd64.iso", host.ARM64: "/arm64.iso"} {
			res, err := c.Resolve(profile.Request{Name: "dev", Arch: arch})
			if err != nil {
				t.Fatal(err)
			}
			if res.ISO.Name != "deb" || res.ISO.Arch != arch || res.ISO.Path != path {
				t.Errorf("%s, %s: %+v", name, arch, res.ISO)
			}
		}
	}
}

func TestFaultsOfISOsOfAllArchitectures(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ isos, want string }{
		"unknown architecture": {
			"deb:\n  architectures:\n    amd64: {url: /a.iso}\n",
			`isos.d/a.yml:3:5: deb.architectures.amd64: unknown architecture "amd64" (did you mean "x86_64"?)`,
		},
		"field beside": {
			"deb:\n  url: /a.iso\n  architectures:\n    arm64: {url: /a.iso}\n",
			`isos.d/a.yml:2:3: deb.url: unknown field`,
		},
		"fault within": {
			"deb:\n  architectures:\n    arm64: {url: /a.iso, checksum: 1}\n",
			`isos.d/a.yml:3:36: deb.architectures.arm64.checksum: must be text`,
		},
		"contradiction": {
			"deb:\n  architectures:\n    arm64: {url: /a.iso, architecture: x86_64}\n",
			`isos.d/a.yml:3:12: deb.architectures.arm64: has the architecture x86_64 (leave architecture out)`,
		},
	} {
		_, err := profile.Load(profile.Options{ConfigDir: write(t, map[string]string{"isos.d/a.yml": tt.isos})})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	c := load(t, map[string]string{
		"isos.d/a.yml":     "deb:\n  architectures:\n    arm64: {url: /arm64.iso}\n",
		"profiles.d/a.yml": "dev: {iso: deb}\n",
	})
	_, err := c.Resolve(profile.Request{Name: "dev", Arch: host.X86_64})
	if want := `dev.iso: ISO "deb" is for arm64, the image for x86_64`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
