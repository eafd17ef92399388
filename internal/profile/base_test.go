package profile_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var cloudSum = strings.Repeat("c", 64)

var cloud = `{source: "https://example.test/d/cloud.img", sha256: ` + cloudSum + `}`

func resolveBase(t *testing.T, c *profile.Config, r profile.Request) *profile.Resolved {
	t.Helper()
	res, err := c.Resolve(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// What nobody sets is the image's own business, and what is only for installers is not there.
func TestBaseIsLeftAsItIs(t *testing.T) {
	c := load(t, map[string]string{"profiles.d/a.yml": "web:\n  base: " + cloud + "\n  hostname: web\n  timezone: Europe/Berlin\n  packages: [nginx]\n"})
	res := resolveBase(t, c, profile.Request{Name: "web", Arch: host.ARM64})
	want := profile.ISO{
		Name: "cloud.img", URL: "https://example.test/d/cloud.img", Filename: "cloud.img", SHA256: cloudSum, Arch: host.ARM64,
	}
	if res.Base != want || res.ISO != (profile.ISO{}) {
		t.Errorf("base %+v, iso %+v", res.Base, res.ISO)
	}
	if res.Hostname != "web" || res.Timezone != "Europe/Berlin" || len(res.Packages) != 1 {
		t.Errorf("hostname %q, time zone %q, packages %q", res.Hostname, res.Timezone, res.Packages)
	}
	if got := res.Username + res.Fullname + res.Locale + res.Keyboard + res.PartitioningMethod + res.PreseedTemplate + res.Installer; got != "" {
		t.Errorf("defaults for installed systems apply: %q", got)
	}
	if len(res.Templates) > 0 || res.Install.Name != "" || len(res.Scripts) != 1 {
		t.Errorf("%d templates, install %q, %d scripts", len(res.Templates), res.Install.Name, len(res.Scripts))
	}
	again := resolveBase(t, c, profile.Request{Name: "web", Arch: host.ARM64})
	if again.Base != want {
		t.Errorf("the second time it is %+v", again.Base)
	}
}

func TestBasePath(t *testing.T) {
	dir := write(t, map[string]string{"profiles.d/a.yml": "web: {base: {source: ../images/c.qcow2}}\n"})
	c, err := profile.Load(profile.Options{ConfigDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := resolveBase(t, c, profile.Request{Name: "web", Arch: host.X86_64}).Base.Path; got != filepath.Join(dir, "images", "c.qcow2") {
		t.Errorf("the path is %s", got)
	}
}

// The iso or base nearest to the image counts, and the other one below it does not.
func TestBaseOrISO(t *testing.T) {
	c := load(t, map[string]string{
		"isos.d/a.yml": "one: {installer: debian, url: /a.iso, architecture: x86_64}\n",
		"profiles.d/a.yml": "default: {base: " + cloud + "}\ninstalled: {iso: one}\ncloudy: {hostname: c}\n" +
			"told: {iso: one, tasksel: \"\", boot_args: []}\n",
	})
	inline, err := profile.NewBase("./other.img", "", "", "", "/images")
	if err != nil {
		t.Fatal(err)
	}
	one := "one"
	for name, tt := range map[string]struct {
		request   profile.Request
		base, iso string
	}{
		"profile":                   {profile.Request{Name: "cloudy"}, "cloud.img", ""},
		"iso over base":             {profile.Request{Name: "installed"}, "", "one"},
		"image's iso":               {profile.Request{Name: "cloudy", ISO: &profile.ISO{Name: "mine", URL: "https://example.test/m.iso"}}, "", "mine"},
		"image's iso by name":       {profile.Request{Name: "cloudy", Override: profile.Profile{ISO: &one}}, "", "one"},
		"image's base":              {profile.Request{Name: "installed", Override: profile.Profile{Base: inline}}, "other.img", ""},
		"settings that ask nothing": {profile.Request{Name: "told", Override: profile.Profile{Base: inline}}, "other.img", ""},
	} {
		tt.request.Arch = host.X86_64
		res := resolveBase(t, c, tt.request)
		if res.Base.Name != tt.base || res.ISO.Name != tt.iso {
			t.Errorf("%s: base %q, iso %q", name, res.Base.Name, res.ISO.Name)
		}
		if installed := tt.iso != ""; installed != (res.Install.Name != "") || installed != (res.Username == "debian") {
			t.Errorf("%s: install %q, username %q", name, res.Install.Name, res.Username)
		}
	}
}

func TestBaseFaults(t *testing.T) {
	text := func(s string) *string { return &s }
	base, err := profile.NewBase("/b.img", "", "", "", "/")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		profile  string
		override profile.Profile
		want     string
	}{
		"nothing":      {"dev: {base: {}}", profile.Profile{}, "a.yml:1:13: dev.base: has no source"},
		"no digest":    {"dev: {base: {source: 'http://x.test/i.img'}}", profile.Profile{}, "a.yml:1:13: dev.base: has no checksum (add sha256, or"},
		"not a digest": {"dev: {base: {source: /i.img, sha256: abc}}", profile.Profile{}, `a.yml:1:38: dev.base.sha256: "abc" is not 64`},
		"not a map":    {"dev: {base: /i.img}", profile.Profile{}, "a.yml:1:13: dev.base: must be a map"},
		"both":         {"dev:\n  iso: x\n  base: " + cloud, profile.Profile{}, "a.yml:3:9: dev.base: cannot be given together with iso"},
		"a profile's preseed": {
			"dev:\n  preseed: debian\n  base: " + cloud, profile.Profile{}, "a.yml:2:12: dev.preseed: cannot be had with a base image",
		},
		"everybody's tasks": {
			"default: {tasksel: standard}\ndev: {base: " + cloud + "}",
			profile.Profile{},
			"a.yml:1:20: default.tasksel: cannot be had with a base image: there is no installer to select them; use packages",
		},
		"the profile's, the image's base": {
			"dev: {partitioning_method: lvm}", profile.Profile{Base: base}, "a.yml:1:28: dev.partitioning_method: cannot be had",
		},
		"boot_args":   {"dev: {}", profile.Profile{Base: base, BootArgs: []string{"quiet"}}, "boot_args: cannot be had with a base image"},
		"grub_device": {"dev: {}", profile.Profile{Base: base, GrubDevice: text("/dev/vda")}, "grub_device: cannot be had"},
		"mirror":      {"dev: {}", profile.Profile{Base: base, MirrorHost: text("m.test")}, "mirror_host: cannot be had with a base image: it brings"},
		"password":    {"dev: {password: x}", profile.Profile{Base: base}, "a.yml:1:17: dev.password: is for an account that nothing names"},
		"keys":        {"dev: {}", profile.Profile{Base: base, AuthorizedKeysURL: text("https://k.test/")}, "authorized_keys_url: is for an account"},
	} {
		dir := write(t, map[string]string{"profiles.d/a.yml": tt.profile + "\n"})
		c, err := profile.Load(profile.Options{ConfigDir: dir})
		if err == nil {
			_, err = c.Resolve(profile.Request{Name: "dev", Arch: host.X86_64, Override: tt.override, NoISO: true})
		}
		if got := complaint(err, filepath.Join(dir, "profiles.d")); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tt.want)
		}
	}
}
