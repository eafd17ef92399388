package profile_test

import (
	"strings"
	"testing"
)

func TestUnused(t *testing.T) {
	for name, tc := range map[string]struct{ settings, want string }{
		"nothing":     {"", ""},
		"what counts": {"build: {disk_size: 30G, memory: 4096, cpus: 4, ssh: {timeout: 1800}}", ""},
		"serve":       {"serve: {profile: dev, port: 8080}", "serve.profile serve.port"},
		"folders":     {"iso: {iso_dir: /srv/isos}\nbuild: {image_dir: /srv/images}", "iso.iso_dir build.image_dir"},
		"ssh":         {"build: {ssh: {user: root, port: 2222}}", "build.ssh.user build.ssh.port"},
		"builders":    {"build: {max_parallel_builds: 2, builders: {x86_64: pve}, remotes: {pve: {host: pve.example.test}}}", ""},
		"empty":       {"serve:\nbuild: {remotes: {}, builders: {}}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, map[string]string{"pim.yml": tc.settings})
			if got := strings.Join(c.Unused(), " "); got != tc.want {
				t.Errorf("unused %q, want %q", got, tc.want)
			}
		})
	}
}
