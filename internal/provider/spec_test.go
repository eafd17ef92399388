package provider

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func resolved() *profile.Resolved {
	return &profile.Resolved{
		Name: "developer", Arch: host.X86_64,
		ISO:      profile.ISO{Name: "debian", Title: "Debian", URL: "https://example.test/d.iso", ChecksumURL: "https://example.test/S", Filename: "d.iso"},
		Firmware: "bios", Templates: map[string]string{"debian": "d-i debian-installer/locale string C\n"}, PreseedTemplate: "debian",
		Install:  profile.Script{Name: "debian", Body: []byte("install")},
		Scripts:  []profile.Script{{Name: "base", Body: []byte("b")}, {Name: "developer", Body: []byte("d")}},
		BootArgs: []string{"quiet"}, Username: "me", Password: "secret", PasswordVersion: 3, Hostname: "dev", HTTPProxy: "http://profile.test",
		Packages: []string{"git"}, DiskSize: 1 << 30, Memory: 2048, CPUs: 2, Verify: true, OnError: "keep",
		InstallTimeout: time.Hour, SSHTimeout: time.Minute, ScriptTimeout: 2 * time.Minute, StallTimeout: 3 * time.Minute,
	}
}

func TestSpecOf(t *testing.T) {
	got := specOf(wish{triggers: map[string]string{"a": "1"}, emulation: true, timeout: 4 * time.Hour}, resolved(), "")
	want := build.Spec{
		Name: "developer", Profile: "developer", Arch: host.X86_64, Firmware: "bios",
		ISO: cache.ISO{Name: "debian", URL: "https://example.test/d.iso", ChecksumURL: "https://example.test/S", Filename: "d.iso"},
		Preseed: build.Preseed{
			Templates: map[string]string{"debian": "d-i debian-installer/locale string C\n"}, Name: "debian",
			Values: preseed.Values{
				Hostname: "dev", Username: "me", HTTPProxy: "http://profile.test", Packages: []string{"git"},
				Firmware: "bios", Arch: host.X86_64, Disk: "/dev/vda",
			},
		},
		Install:  build.Script{Name: "debian", Body: []byte("install")},
		Scripts:  []build.Script{{Name: "base", Body: []byte("b")}, {Name: "developer", Body: []byte("d")}},
		DiskSize: 1 << 30, BootArgs: []string{"quiet"}, Triggers: map[string]string{"a": "1"}, PasswordVersion: 3,
		Memory: 2048, CPUs: 2, Emulation: true, Verify: true, KeepGuest: true,
		Timeouts: build.Timeouts{Build: 4 * time.Hour, Install: time.Hour, SSH: time.Minute, Script: 2 * time.Minute, Stall: 3 * time.Minute},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSpecOfNamesAnImageWithoutProfile(t *testing.T) {
	p := resolved()
	p.Name = ""
	if got := specOf(wish{}, p, "").Name; got != "dev" {
		t.Errorf("it is named %q", got)
	}
}

func TestProvidersProxyOverridesTheProfiles(t *testing.T) {
	if got := specOf(wish{}, resolved(), "http://provider.test").Preseed.Values.HTTPProxy; got != "http://provider.test" {
		t.Errorf("the proxy is %q", got)
	}
}

// What is not content must not change the key, and secrets must be in none of its parts.
func TestKeyIgnoresHowAnImageIsBuilt(t *testing.T) {
	key := func(change func(*profile.Resolved), w wish, proxy string) string {
		p := resolved()
		change(p)
		s := specOf(w, p, proxy)
		s.ISO.SHA256 = strings.Repeat("a", 64)
		in, err := s.Inputs()
		if err != nil {
			t.Fatal(err)
		}
		return in.Key()
	}
	same := func(*profile.Resolved) {}
	base := key(same, wish{}, "")
	for name, got := range map[string]string{
		"memory":    key(func(p *profile.Resolved) { p.Memory = 1 }, wish{}, ""),
		"cpus":      key(func(p *profile.Resolved) { p.CPUs = 1 }, wish{}, ""),
		"verify":    key(func(p *profile.Resolved) { p.Verify = false }, wish{}, ""),
		"on_error":  key(func(p *profile.Resolved) { p.OnError = "destroy" }, wish{}, ""),
		"password":  key(func(p *profile.Resolved) { p.Password = "other" }, wish{}, ""),
		"script":    key(func(p *profile.Resolved) { p.Scripts[0].Path = "/elsewhere" }, wish{}, ""),
		"emulation": key(same, wish{emulation: true}, ""),
		"timeout":   key(same, wish{timeout: time.Second}, ""),
		"proxy":     key(same, wish{}, "http://provider.test"),
	} {
		if got != base {
			t.Errorf("%s changes the key", name)
		}
	}
	for name, got := range map[string]string{
		"trigger":          key(same, wish{triggers: map[string]string{"a": "1"}}, ""),
		"password_version": key(func(p *profile.Resolved) { p.PasswordVersion++ }, wish{}, ""),
		"disk_size":        key(func(p *profile.Resolved) { p.DiskSize++ }, wish{}, ""),
		"script":           key(func(p *profile.Resolved) { p.Scripts[0].Body = []byte("x") }, wish{}, ""),
	} {
		if got == base {
			t.Errorf("%s does not change the key", name)
		}
	}
}
