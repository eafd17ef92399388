package profile_test

import (
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

const remotes = "\n  remotes: {pve: {host: pve.example.test}}"

func TestUnused(t *testing.T) {
	for name, tc := range map[string]struct{ settings, want string }{
		"nothing":      {"", ""},
		"what counts":  {"build: {disk_size: 30G, memory: 4096, cpus: 4, ssh: {timeout: 1800}}", ""},
		"serve":        {"serve: {profile: dev, port: 8080}", "serve.profile serve.port"},
		"folders":      {"iso: {iso_dir: /srv/isos}\nbuild: {image_dir: /srv/images}", "iso.iso_dir build.image_dir"},
		"ssh":          {"build: {ssh: {user: root, port: 2222}}", "build.ssh.user build.ssh.port"},
		"this machine": {"build: {builders: {x86_64: local, arm64: local}}", ""},
		"a remote":     {"build:\n  builders: {x86_64: pve, arm64: local}" + remotes, "build.remotes build.builders.x86_64"},
		"no builder":   {"build:" + remotes, "build.remotes"},
		"empty":        {"serve:\nbuild: {remotes: {}, builders: {}}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, map[string]string{"pim.yml": tc.settings})
			if got := strings.Join(c.Unused(), " "); got != tc.want {
				t.Errorf("unused %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCheckBuilder(t *testing.T) {
	for name, tc := range map[string]struct {
		settings string
		arch     host.Arch
		want     string
	}{
		"nothing":      {"", host.X86_64, ""},
		"this machine": {"build: {builders: {x86_64: local}}", host.X86_64, ""},
		"another's":    {"build:\n  builders: {x86_64: pve}" + remotes, host.ARM64, ""},
		"a remote": {
			"build:\n  builders: {x86_64: pve}" + remotes, host.X86_64,
			`pim.yml:2:22: build.builders.x86_64: builds on remote machines, here "pve", are not supported yet (set it to local or remove it)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"pim.yml": tc.settings})
			c, err := profile.Load(profile.Options{ConfigDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if got := complaint(c.CheckBuilder(tc.arch), dir); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
