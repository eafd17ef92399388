package profile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// write lays out files, by relative path, in a directory of the test.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, files map[string]string) *profile.Config {
	t.Helper()
	c, err := profile.Load(profile.Options{ConfigDir: write(t, files)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// complaint is an error's text with the directory of the test taken out.
func complaint(err error, dir string) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
}

func TestLoadFaults(t *testing.T) {
	const x86 = "\n  architecture: x86_64\n"
	tests := map[string]struct {
		file, body string
		want       string
	}{
		"unknown field": {
			"profiles.d/a.yml", "dev:\n  pakages: curl\n",
			`profiles.d/a.yml:2:3: dev.pakages: unknown field (did you mean "packages"?)`,
		},
		"folder of the provider": {
			"pim.yml", "data_dir: ~/images\n",
			`pim.yml:1:1: data_dir: unknown field (known: build, iso, serve)`,
		},
		"unknown nested field": {
			"profiles.d/a.yml", "dev:\n  build:\n    ram: 1\n",
			`profiles.d/a.yml:3:5: dev.build.ram: unknown field (known: cpus, disk_size, memory)`,
		},
		"number for text": {
			"profiles.d/a.yml", "dev:\n  hostname: 12\n",
			`profiles.d/a.yml:2:13: dev.hostname: must be text, not the number 12 (write "12")`,
		},
		"password is not repeated": {
			"profiles.d/a.yml", "dev:\n  password: 4711\n",
			`profiles.d/a.yml:2:13: dev.password: must be text (put it in quotes)`,
		},
		"text for number": {
			"profiles.d/a.yml", "dev:\n  build: {memory: lots}\n",
			`profiles.d/a.yml:2:19: dev.build.memory: must be a whole number, not "lots"`,
		},
		"text for list": {
			"profiles.d/a.yml", "dev:\n  scripts: base\n",
			`profiles.d/a.yml:2:12: dev.scripts: must be a list, not "base"`,
		},
		"list for map": {
			"profiles.d/a.yml", "dev:\n  - scripts\n",
			`profiles.d/a.yml:2:3: dev: must be a map of fields, not a list`,
		},
		"empty value": {
			"profiles.d/a.yml", "dev:\n  domain:\n",
			`profiles.d/a.yml:2:10: dev.domain: must be text, not empty`,
		},
		"yes is not true": {
			"profiles.d/a.yml", "dev:\n  verify: yes\n",
			`profiles.d/a.yml:2:11: dev.verify: must be true or false, not "yes"`,
		},
		"size without unit": {
			"profiles.d/a.yml", "dev:\n  build: {disk_size: 20}\n",
			`profiles.d/a.yml:2:22: dev.build.disk_size: "20" is not a size: write a whole number and K, M, G or T, such as 20G`,
		},
		"size too small": {
			"profiles.d/a.yml", "dev:\n  build: {disk_size: 20M}\n",
			`profiles.d/a.yml:2:22: dev.build.disk_size: must be at least 1G`,
		},
		"memory too small": {
			"profiles.d/a.yml", "dev:\n  build: {memory: 2}\n",
			`profiles.d/a.yml:2:19: dev.build.memory: must be at least 256 (MiB), not 2`,
		},
		"duration": {
			"profiles.d/a.yml", "dev:\n  ssh_timeout: soon\n",
			`profiles.d/a.yml:2:16: dev.ssh_timeout: must be a duration such as 90m, or seconds, not "soon"`,
		},
		"duration of nothing": {
			"profiles.d/a.yml", "dev:\n  ssh_timeout: 0\n",
			`profiles.d/a.yml:2:16: dev.ssh_timeout: must be longer than nothing, not 0s`,
		},
		"unknown choice": {
			"profiles.d/a.yml", "dev:\n  on_error: kep\n",
			`profiles.d/a.yml:2:13: dev.on_error: unknown value "kep" (did you mean "keep"?)`,
		},
		"Debian's name of an architecture": {
			"profiles.d/a.yml", "dev:\n  architectures: [amd64]\n",
			`profiles.d/a.yml:2:19: dev.architectures[0]: unknown architecture "amd64" (did you mean "x86_64"?)`,
		},
		"user the installer refuses": {
			"profiles.d/a.yml", "dev:\n  username: backup\n",
			`profiles.d/a.yml:2:13: dev.username: "backup" is a name of Debian's own, which its installer refuses`,
		},
		"a line more": {
			"profiles.d/a.yml", "dev:\n  fullname: \"a\\nb\"\n",
			`profiles.d/a.yml:2:13: dev.fullname: must be one line`,
		},
		"one bad package among words": {
			"profiles.d/a.yml", "dev:\n  packages: curl $(x)\n",
			`profiles.d/a.yml:2:13: dev.packages[1]: "$(x)" is not a package name`,
		},
		"quote in a URL": {
			"profiles.d/a.yml", "dev:\n  authorized_keys_url: \"http://example.test/'k\"\n",
			`profiles.d/a.yml:2:24: dev.authorized_keys_url: must be an http or https URL`,
		},
		"field twice": {
			"profiles.d/a.yml", "dev:\n  domain: a\n  domain: b\n",
			`profiles.d/a.yml:3:3: dev.domain: given twice, first in line 2`,
		},
		"profile twice in a file": {
			"profiles.d/a.yml", "dev: {}\ndev: {}\n",
			`profiles.d/a.yml:2:1: dev: given twice, first in line 1`,
		},
		"profile name": {
			"profiles.d/a.yml", "a/b: {}\n",
			`profiles.d/a.yml:1:1: "a/b" is not a name: letters, digits, dots, hyphens and underscores`,
		},
		"merge key": {
			"profiles.d/a.yml", "dev:\n  <<: {domain: a}\n",
			`profiles.d/a.yml:2:3: dev.<<: merge keys are not supported (put what profiles share in the profile "default")`,
		},
		"alias cycle": {
			"profiles.d/a.yml", "dev: &d\n  build: *d\n",
			`profiles.d/a.yml:2:10: alias *d stands inside what it stands for, a cycle`,
		},
		"syntax": {
			"profiles.d/a.yml", "dev:\n\tdomain: a\n",
			`profiles.d/a.yml:2:1: cannot parse YAML: found character that cannot start any token`,
		},
		"two documents": {
			"profiles.d/a.yml", "dev: {}\n---\nops: {}\n",
			`profiles.d/a.yml:2:1: more than one YAML document, or text after the first`,
		},
		"ISO without url": {
			"isos.d/a.yml", "deb:" + x86,
			`isos.d/a.yml:2:3: deb: has no url (add url: an http or https URL, or the path of a local file)`,
		},
		"ISO without checksum": {
			"isos.d/a.yml", "deb:\n  url: https://example.test/a.iso" + x86,
			`isos.d/a.yml:2:3: deb: has no checksum (add checksum: sha256:… or checksum_url: the URL of its SHA256SUMS file, so that a plan knows the ISO without a download)`,
		},
		"ISO without architecture": {
			"isos.d/a.yml", "deb:\n  url: /a.iso\n",
			`isos.d/a.yml:2:3: deb: has no architecture (add architecture: x86_64 or arm64)`,
		},
		"ISO checksum": {
			"isos.d/a.yml", "deb:\n  url: /a.iso\n  checksum: md5:1" + x86,
			`isos.d/a.yml:3:13: deb.checksum: "md5:1" is not "sha256:" and 64 hexadecimal digits`,
		},
		"ISO outside its directory": {
			"isos.d/a.yml", "deb:\n  url: /a.iso\n  filename: ../a.iso" + x86,
			`isos.d/a.yml:3:13: deb.filename: "../a.iso" is not a file name without directories`,
		},
		"ISO by another protocol": {
			"isos.d/a.yml", "deb:\n  url: ftp://example.test/a.iso" + x86,
			`isos.d/a.yml:2:3: deb: has a url that is neither http, https, file:/// nor a path`,
		},
		"ISO url of a directory": {
			"isos.d/a.yml", "deb:\n  url: https://example.test/\n  checksum_url: https://example.test/SHA256SUMS" + x86,
			`isos.d/a.yml:2:3: deb: has a url without a file name (add filename)`,
		},
		"builder that is no remote": {
			"pim.yml", "build:\n  builders: {arm64: pve}\n  remotes:\n    pve1: {host: pve1.example.test}\n",
			`pim.yml:2:21: build.builders.arm64: "pve" is neither local nor a remote of build.remotes (did you mean "pve1"?)`,
		},
		"builder of an unknown architecture": {
			"pim.yml", "build:\n  builders: {aarch64: local}\n",
			`pim.yml:2:14: build.builders.aarch64: unknown architecture "aarch64" (did you mean "arm64"?)`,
		},
		"one bad builder of several": {
			"pim.yml", "build:\n  builders:\n    arm64: [local, pve]\n",
			`pim.yml:3:20: build.builders.arm64[1]: "pve" is neither local nor a remote of build.remotes (known: local)`,
		},
		"architecture without a builder": {
			"pim.yml", "build:\n  builders: {arm64: []}\n",
			`pim.yml:2:21: build.builders.arm64: names no builder (name one, or remove it)`,
		},
		"builder that is a number": {
			"pim.yml", "build:\n  builders: {arm64: 1}\n",
			`pim.yml:2:21: build.builders.arm64: must be a name or a list of names, not the number 1`,
		},
		"remote that is this machine": {
			"pim.yml", "build:\n  remotes:\n    local: {host: pve.example.test}\n",
			`pim.yml:3:5: build.remotes.local: is the name of this machine (choose another name)`,
		},
		"remote's port": {
			"pim.yml", "build:\n  remotes:\n    pve: {host: pve.example.test, port: 65536}\n",
			`pim.yml:3:41: build.remotes.pve.port: must be a port between 1 and 65535, not 65536`,
		},
		"remote's folder": {
			"pim.yml", "build:\n  remotes:\n    pve: {host: pve.example.test, work_dir: pim}\n",
			`pim.yml:3:45: build.remotes.pve.work_dir: "pim" is not an absolute path there, or one that begins with ~/`,
		},
		"remote's patience": {
			"pim.yml", "build:\n  remotes:\n    pve: {host: pve.example.test, reconnect_timeout: -1s}\n",
			`pim.yml:3:54: build.remotes.pve.reconnect_timeout: must be at least 0s, not -1s`,
		},
		"fewer builds than none": {
			"pim.yml", "build:\n  max_parallel_builds: -1\n",
			`pim.yml:2:24: build.max_parallel_builds: must be at least 0, not -1`,
		},
		"remote of another type": {
			"pim.yml", "build:\n  remotes:\n    pve: {host: pve.example.test, type: proxmox}\n",
			`pim.yml:3:41: build.remotes.pve.type: unknown value "proxmox" (known: ssh)`,
		},
		"remote without host": {
			"pim.yml", "build:\n  remotes:\n    pve: {user: root}\n",
			`pim.yml:3:5: build.remotes.pve: has no host (add host: the machine's name or address)`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{tt.file: tt.body})
			_, err := profile.Load(profile.Options{ConfigDir: dir})
			if got := complaint(err, dir); got != tt.want {
				t.Errorf("got\n  %s\nwant\n  %s", got, tt.want)
			}
		})
	}
}

func TestLoadReportsEveryFault(t *testing.T) {
	dir := write(t, map[string]string{
		"pim.yml":          "bild: {}\n",
		"profiles.d/a.yml": "dev:\n  domain: 1\n  verify: 2\n",
		"profiles.d/b.yml": "dev: {}\n",
	})
	_, err := profile.Load(profile.Options{ConfigDir: dir})
	want := `pim.yml:1:1: bild: unknown field (did you mean "build"?)
profiles.d/a.yml:2:11: dev.domain: must be text, not the number 1 (write "1")
profiles.d/a.yml:3:11: dev.verify: must be true or false, not the number 2
profiles.d/b.yml:1:1: dev: defined twice, first at profiles.d/a.yml:1`
	if got := complaint(err, dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var one *profile.Error
	if !errors.As(err, &one) || one.Line != 1 || one.Field != "bild" {
		t.Errorf("errors.As found %+v", one)
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := write(t, map[string]string{"profiles.d": "not a directory"})
	if err := os.Symlink("nowhere", filepath.Join(dir, "pim.yml")); err != nil {
		t.Fatal(err)
	}
	_, err := profile.Load(profile.Options{ConfigDir: dir})
	if got, want := complaint(err, dir), "profiles.d: cannot read the directory: not a directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var errno interface{ Is(error) bool }
	if !errors.As(err, &errno) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestLoadNothing(t *testing.T) {
	for _, o := range []profile.Options{{}, {ConfigDir: "/nonexistent/pim", ProjectDir: "/nonexistent/project"}} {
		c, err := profile.Load(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Profiles(); len(got) != 0 {
			t.Errorf("profiles %v of nothing", got)
		}
	}
}

func TestProjectOverridesUser(t *testing.T) {
	user := write(t, map[string]string{
		"profiles.d/a.yml":  "hidden: {}\nkept: {}\n",
		"profiles.d/b.yml":  "shared: {domain: user, hostname: user}\n",
		"profiles.d/.a.yml": "not: [read]\n",
		"profiles.d/README": "neither",
	})
	project := write(t, map[string]string{
		"profiles.d/a.yml":  "kept: {}\n",
		"profiles.d/c.yaml": "shared: {domain: project}\n",
	})
	c, err := profile.Load(profile.Options{ConfigDir: user, ProjectDir: project})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Profiles(), []string{"kept", "shared"}; !slices.Equal(got, want) {
		t.Errorf("profiles %v, want %v", got, want)
	}
	res := resolve(t, c, profile.Request{Name: "shared"})
	if res.Domain != "project" || res.Hostname != "debian" {
		t.Errorf("domain %q, hostname %q: the project's entry must replace the user's", res.Domain, res.Hostname)
	}
}

func TestSettings(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := write(t, map[string]string{"pim.yml": `
serve: {profile: dev, port: 8080}
iso: {iso_dir: isos}
build:
  image_dir: ~/images
  disk_size: 30G
  memory: 4096
  cpus: 4
  ssh: {user: root, timeout: 1800, port: 2222}
`})
	c, err := profile.Load(profile.Options{ConfigDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Settings
	for _, d := range [][2]string{
		{s.ISODir, filepath.Join(dir, "isos")},
		{s.ImageDir, filepath.Join(home, "images")},
	} {
		if d[0] != d[1] {
			t.Errorf("directory %q, want %q", d[0], d[1])
		}
	}
	if s.Serve != (profile.Serve{Profile: "dev", Port: 8080}) || s.SSHUser != "root" || s.SSHPort != 2222 {
		t.Errorf("settings %+v", s)
	}
	res := resolve(t, c, profile.Request{})
	if res.DiskSize != 30<<30 || res.Memory != 4096 || res.CPUs != 4 || res.SSHTimeout.Minutes() != 30 {
		t.Errorf("pim.yml's build section is not below every profile: %+v", res)
	}
}

// Builders are known whatever is wrong elsewhere.
func TestLoadSettings(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := write(t, map[string]string{"profiles.d/a.yml": "not: [a, profile]", "pim.yml": `
build:
  max_parallel_builds: 1
  builders: {arm64: local, x86_64: [pve, lab]}
  remotes:
    pve: {host: pve.example.test}
    lab:
      type: ssh
      host: lab
      port: 2222
      user: root
      identity_file: ~/.ssh/lab
      jump_host: jump.example.test
      known_hosts: known_hosts
      work_dir: /srv/pim
      max_parallel_builds: 2
      reconnect_timeout: 5m
`})
	s, err := profile.LoadSettings(profile.Options{ConfigDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	builders := map[host.Arch][]string{host.ARM64: {"local"}, host.X86_64: {"pve", "lab"}}
	remotes := map[string]profile.Remote{
		"pve": {Type: "ssh", Host: "pve.example.test", WorkDir: profile.DefaultWorkDir},
		"lab": {
			Type: "ssh", Host: "lab", Port: 2222, User: "root", IdentityFile: filepath.Join(home, ".ssh/lab"), JumpHost: "jump.example.test",
			KnownHosts: filepath.Join(dir, "known_hosts"), WorkDir: "/srv/pim", MaxParallelBuilds: 2, ReconnectTimeout: new(5 * time.Minute),
		},
	}
	if !reflect.DeepEqual(s.Builders, builders) || !reflect.DeepEqual(s.Remotes, remotes) || s.MaxParallelBuilds != 1 {
		t.Errorf("got %+v", s)
	}
	broken := write(t, map[string]string{"pim.yml": "build: {builders: {x86_64: pve}}"})
	s, err = profile.LoadSettings(profile.Options{ConfigDir: dir, ProjectDir: broken})
	if err == nil || s.Remotes != nil {
		t.Errorf("got %+v, %v, want the fault of the project's file", s, err)
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{"1K": 1 << 10, "5M": 5 << 20, "20G": 20 << 30, "20GiB": 20 << 30, "20GB": 20 << 30, "2T": 2 << 40} {
		if got, err := profile.ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "20", "G", "-1G", "1.5G", "20g", "20 G", "9999999999999T", "99999999999999999999K"} {
		if got, err := profile.ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}
