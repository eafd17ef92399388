package profile_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func ptr[T any](v T) *T { return &v }

var someISO = &profile.ISO{URL: "https://example.test/a.iso", SHA256: strings.Repeat("0", 64), Filename: "a.iso"}

// resolve fills in what a test does not care about.
func resolve(t *testing.T, c *profile.Config, r profile.Request) *profile.Resolved {
	t.Helper()
	if r.ISO == nil {
		r.ISO = someISO
	}
	if r.Arch == "" {
		r.HostArch = host.X86_64
	}
	res, err := c.Resolve(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestMerge(t *testing.T) {
	c := load(t, map[string]string{
		"profiles.d/10.yml": `
default:
  domain: default.test
  hostname: default
  packages: [a, b]
  build: {memory: 1024, cpus: 3}
`,
		"profiles.d/20.yml": `
dev:
  hostname: dev
  packages: c  d
  build: {memory: 512}
bare: {packages: [], tasksel: ""}
empty:
`,
	})
	type image struct {
		Domain, Hostname, Packages string
		Memory, CPUs               int64
	}
	tests := map[string]struct {
		request profile.Request
		want    image
	}{
		"default":    {profile.Request{}, image{"default.test", "default", "[a b]", 1024, 3}},
		"by name":    {profile.Request{Name: "default"}, image{"default.test", "default", "[a b]", 1024, 3}},
		"profile":    {profile.Request{Name: "dev"}, image{"default.test", "dev", "[c d]", 512, 3}},
		"empty list": {profile.Request{Name: "bare"}, image{"default.test", "default", "[]", 1024, 3}},
		"empty map":  {profile.Request{Name: "empty"}, image{"default.test", "default", "[a b]", 1024, 3}},
		"override": {
			profile.Request{Name: "dev", Override: profile.Profile{Domain: ptr(""), Packages: []string{"e"}, CPUs: ptr(int64(1))}},
			image{"", "dev", "[e]", 512, 1},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := resolve(t, c, tt.request)
			if got := (image{res.Domain, res.Hostname, fmt.Sprint(res.Packages), res.Memory, res.CPUs}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A request must not leave traces in the configuration.
func TestResolveIsPure(t *testing.T) {
	c := load(t, map[string]string{"profiles.d/a.yml": "dev: {domain: a}\n"})
	before := resolve(t, c, profile.Request{Name: "dev"})
	resolve(t, c, profile.Request{Name: "dev", Override: profile.Profile{Domain: ptr("b"), Packages: []string{"x"}}})
	if after := resolve(t, c, profile.Request{Name: "dev"}); !reflect.DeepEqual(before, after) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
}

func TestDurations(t *testing.T) {
	c := load(t, map[string]string{"profiles.d/a.yml": "dev: {ssh_timeout: 90, stall_timeout: 1h30m}\n"})
	res := resolve(t, c, profile.Request{Name: "dev"})
	if res.SSHTimeout != 90*time.Second || res.StallTimeout != 90*time.Minute {
		t.Errorf("ssh %v, stall %v", res.SSHTimeout, res.StallTimeout)
	}
}

func TestAliases(t *testing.T) {
	c := load(t, map[string]string{"profiles.d/a.yml": "dev: &d {domain: &x a, packages: [&p curl]}\nops: *d\nqa: {domain: *x, packages: [*p]}\n"})
	for _, name := range []string{"ops", "qa"} {
		if res := resolve(t, c, profile.Request{Name: name}); res.Domain != "a" || res.Packages[0] != "curl" {
			t.Errorf("%s: domain %q, packages %v", name, res.Domain, res.Packages)
		}
	}
}

func TestScripts(t *testing.T) {
	const mine = "#!/bin/sh\necho mine\n"
	work := write(t, map[string]string{"extra/site.sh": "#!/bin/sh\n", "top.sh": "#!/bin/sh\n"})
	dir := write(t, map[string]string{"scripts.d/base.sh": mine, "profiles.d/a.yml": "dev: {scripts: [base, developer, extra/site.sh, top.sh]}\n"})
	c, err := profile.Load(profile.Options{ConfigDir: dir, WorkDir: work})
	if err != nil {
		t.Fatal(err)
	}
	res := resolve(t, c, profile.Request{Name: "dev"})
	var got []string
	for _, s := range res.Scripts {
		got = append(got, s.Name+"="+s.Path)
		sum := sha256.Sum256(s.Body)
		if s.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: sha256 %s is not that of its body", s.Name, s.SHA256)
		}
	}
	want := []string{
		"base=" + filepath.Join(dir, "scripts.d", "base.sh"), "developer=embedded:scripts.d/developer.sh",
		"site=" + filepath.Join(work, "extra", "site.sh"), "top=" + filepath.Join(work, "top.sh"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("scripts %q, want %q", got, want)
	}
	if string(res.Scripts[0].Body) != mine {
		t.Error("the user's base.sh does not hide the embedded one")
	}
}

const isos = `
small: {url: https://example.test/d/small.iso, checksum: "sha256:` + "ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789" + `", architecture: x86_64}
local: {name: A file, url: files/local.iso, filename: other.iso, architecture: arm64}
`

func TestISO(t *testing.T) {
	dir := write(t, map[string]string{"isos.d/a.yml": isos, "isos.d/files/local.iso": "x"})
	c, err := profile.Load(profile.Options{ConfigDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := map[host.Arch]profile.ISO{
		host.X86_64: {
			Name: "small", URL: "https://example.test/d/small.iso", Filename: "small.iso", Arch: host.X86_64,
			SHA256: "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
		},
		host.ARM64: {
			Name: "local", Title: "A file", Path: filepath.Join(dir, "isos.d", "files", "local.iso"), Filename: "other.iso", Arch: host.ARM64,
		},
	}
	for arch, iso := range want {
		res, err := c.Resolve(profile.Request{Arch: arch})
		if err != nil {
			t.Fatal(err)
		}
		if res.ISO != iso {
			t.Errorf("%s: the only ISO\n     is %+v\nwant %+v", arch, res.ISO, iso)
		}
	}
	if res := resolve(t, c, profile.Request{Arch: host.ARM64, ISO: someISO}); res.ISO.URL != someISO.URL || res.ISO.Arch != host.ARM64 {
		t.Errorf("the inline ISO does not win: %+v", res.ISO)
	}
}

func TestNewISO(t *testing.T) {
	iso, err := profile.NewISO("file:///srv/a.iso", "", "", "", "/work")
	if want := (profile.ISO{Path: "/srv/a.iso", Filename: "a.iso"}); err != nil || iso != want {
		t.Errorf("got %+v, %v, want %+v", iso, err, want)
	}
	iso, err = profile.NewISO("b.iso", "", "", "c.iso", "/work")
	if want := (profile.ISO{Path: "/work/b.iso", Filename: "c.iso"}); err != nil || iso != want {
		t.Errorf("got %+v, %v, want %+v", iso, err, want)
	}
	_, err = profile.NewISO("https://example.test/a.iso", "sha256:1", "nowhere", "a/b", "")
	want := `checksum: "sha256:1" is not "sha256:" and 64 hexadecimal digits
checksum_url: must be an http or https URL
filename: "a/b" is not a file name without directories
url: has a url without a file name (add filename)`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestArchAndFirmware(t *testing.T) {
	c := load(t, map[string]string{"profiles.d/a.yml": "arm: {architectures: [arm64]}\nefi: {firmware: uefi}\n"})
	tests := []struct {
		request  profile.Request
		arch     host.Arch
		firmware string
	}{
		{profile.Request{Name: "arm"}, host.ARM64, "uefi"},
		{profile.Request{Name: "efi"}, host.X86_64, "uefi"},
		{profile.Request{}, host.X86_64, "bios"},
		{profile.Request{Arch: host.ARM64}, host.ARM64, "uefi"},
	}
	for _, tt := range tests {
		if res := resolve(t, c, tt.request); res.Arch != tt.arch || res.Firmware != tt.firmware {
			t.Errorf("%+v: %s %s, want %s %s", tt.request, res.Arch, res.Firmware, tt.arch, tt.firmware)
		}
	}
}

func TestResolveFaults(t *testing.T) {
	const second = "other: {url: /o.iso, architecture: x86_64}\n"
	x86 := profile.Request{Arch: host.X86_64}
	with := func(p profile.Profile) profile.Request {
		return profile.Request{Arch: host.X86_64, ISO: someISO, Override: p}
	}
	dev := profile.Request{Name: "dev", Arch: host.X86_64, ISO: someISO}
	tests := map[string]struct {
		files   map[string]string
		request profile.Request
		want    string
	}{
		"unknown profile": {
			map[string]string{"profiles.d/a.yml": "developer: {}\n"},
			profile.Request{Name: "developper"},
			`name: no profile "developper" in profiles.d (did you mean "developer"?)`,
		},
		"unknown profile of none": {nil, profile.Request{Name: "dev"}, `name: no profile "dev" in profiles.d`},
		"missing script": {
			map[string]string{"profiles.d/a.yml": "dev:\n  scripts:\n    - base\n    - devloper\n"},
			dev,
			`profiles.d/a.yml:4:7: dev.scripts[1]: no script "devloper" in scripts.d (did you mean "developer"?)`,
		},
		"missing script of the request": {
			nil, with(profile.Profile{Scripts: []string{"bass"}}),
			`scripts[0]: no script "bass" in scripts.d (did you mean "base"?)`,
		},
		"missing script file": {
			nil, with(profile.Profile{Scripts: []string{"/nonexistent/x.sh"}}),
			`scripts[0]: cannot read the script /nonexistent/x.sh: no such file or directory`,
		},
		"script twice": {
			map[string]string{"profiles.d/a.yml": "dev:\n  scripts: [base, base]\n"},
			dev,
			`profiles.d/a.yml:2:19: dev.scripts[1]: script "base" is listed twice`,
		},
		"scripts of one name": {
			map[string]string{"mine/base.sh": "#!/bin/sh\n", "profiles.d/a.yml": "dev:\n  scripts: [base, mine/base.sh]\n"},
			dev,
			`profiles.d/a.yml:2:19: dev.scripts[1]: "base" and "mine/base.sh" are both named "base" (rename one of the files)`,
		},
		"script without interpreter": {
			map[string]string{"scripts.d/x.sh": "echo\n", "profiles.d/a.yml": "dev: {scripts: [x]}\n"},
			dev,
			`profiles.d/a.yml:1:17: dev.scripts[0]: the script scripts.d/x.sh does not begin with #! (begin it with #!/bin/sh)`,
		},
		"missing install script": {
			nil, with(profile.Profile{Install: ptr("debain")}),
			`install: no script "debain" in installs.d (did you mean "debian"?)`,
		},
		"missing template": {
			map[string]string{"profiles.d/a.yml": "dev: {preseed: debain}\n"},
			dev,
			`profiles.d/a.yml:1:16: dev.preseed: no template "debain" in preseeds.d (did you mean "debian"?)`,
		},
		"missing template file": {
			nil, with(profile.Profile{Preseed: ptr("/nonexistent/x.cfg.tmpl")}),
			`/nonexistent/x.cfg.tmpl: cannot read the file: no such file or directory`,
		},
		"template is not outside preseeds.d": {
			map[string]string{"pim.yml": ""},
			with(profile.Profile{Preseed: ptr("..")}),
			`preseed: no template ".." in preseeds.d (known: debian)`,
		},
		"no ISO": {nil, x86, `iso: no ISO for x86_64 in isos.d (add one with url, checksum and architecture)`},
		"several ISOs": {
			map[string]string{"isos.d/a.yml": isos, "isos.d/b.yml": second},
			x86,
			`iso: several ISOs for x86_64: other, small (set iso to one of them)`,
		},
		"unknown ISO": {
			map[string]string{"isos.d/a.yml": isos},
			profile.Request{Arch: host.X86_64, Override: profile.Profile{ISO: ptr("smal")}},
			`iso: no ISO "smal" in isos.d (did you mean "small"?)`,
		},
		"ISO of another architecture": {
			map[string]string{"isos.d/a.yml": isos, "profiles.d/a.yml": "dev: {iso: local}\n"},
			profile.Request{Name: "dev", Arch: host.X86_64},
			`profiles.d/a.yml:1:12: dev.iso: ISO "local" is for arm64, the image for x86_64 (name an ISO of the right architecture, add one to its architectures, or leave iso out to have the only one chosen)`,
		},
		"inline ISO of another architecture": {
			nil,
			profile.Request{Arch: host.X86_64, ISO: &profile.ISO{Arch: host.ARM64}},
			`iso: the ISO is for arm64, the image for x86_64`,
		},
		"architecture not allowed": {
			map[string]string{"profiles.d/a.yml": "arm: {architectures: [arm64]}\n"},
			profile.Request{Name: "arm", Arch: host.X86_64},
			`arch: x86_64 is not among the profile's architectures, [arm64] (choose one of them, or add it to the profile)`,
		},
		"unknown architecture": {nil, profile.Request{Arch: "aarch64"}, `arch: unknown architecture "aarch64" (did you mean "arm64"?)`},
		"which architecture":   {nil, profile.Request{}, `arch: the profile allows several architectures, [x86_64 arm64] (set arch to one of them)`},
		"no architecture": {
			map[string]string{"profiles.d/a.yml": "dev: {architectures: []}\n"},
			profile.Request{Name: "dev"},
			`profiles.d/a.yml:1:22: dev.architectures: is empty (name x86_64, arm64 or both)`,
		},
		"arm64 with bios": {
			nil,
			profile.Request{Arch: host.ARM64, ISO: someISO, Override: profile.Profile{Firmware: ptr("bios")}},
			`firmware: arm64 has no bios (set firmware to "uefi" or leave it out)`,
		},
		"bad values of the request": {
			nil, with(profile.Profile{Hostname: ptr("a.b"), Memory: ptr(int64(1)), Packages: []string{"ok", "N/A"}}),
			`hostname: "a.b" is not a host name: letters, digits and hyphens, no dot
packages[1]: "N/A" is not a package name
build.memory: must be at least 256 (MiB), not 1`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := write(t, tt.files)
			c, err := profile.Load(profile.Options{ConfigDir: dir, WorkDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Resolve(tt.request)
			if got := complaint(err, dir); got != tt.want {
				t.Errorf("got\n  %s\nwant\n  %s", got, tt.want)
			}
			var es profile.Errors
			if !errors.As(err, &es) || len(es) == 0 {
				t.Errorf("%T is not Errors", err)
			}
		})
	}
}

func TestSecretStaysSecret(t *testing.T) {
	c := load(t, map[string]string{"profiles.d/a.yml": "dev: {password: hunter2}\n"})
	res := resolve(t, c, profile.Request{Name: "dev"})
	if string(res.Password) != "hunter2" {
		t.Fatalf("password %q", string(res.Password))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "password", res.Password, "resolved", res)
	js, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(js)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb, res.Password) + fmt.Sprintf(verb, *res)
	}
	if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("the password shows in %s", shown)
	}
}

func TestNoISO(t *testing.T) {
	for name, tc := range map[string]struct {
		isos, iso string
		want      string // name of the ISO
		fault     string
	}{
		"none":           {},
		"the only one":   {isos: isos, want: "small"},
		"several":        {isos: isos + "other: {url: /o.iso, architecture: x86_64}\n", fault: "several ISOs for x86_64: other, small"},
		"a name unknown": {isos: isos, iso: "smal", fault: `no ISO "smal"`},
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, map[string]string{"isos.d/a.yml": tc.isos})
			r := profile.Request{Arch: host.X86_64, NoISO: true}
			if tc.iso != "" {
				r.Override.ISO = &tc.iso
			}
			res, err := c.Resolve(r)
			if tc.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fault) {
					t.Errorf("got %v, want %q", err, tc.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if res.ISO.Name != tc.want || (tc.want == "") != (res.ISO == profile.ISO{}) {
				t.Errorf("got %+v, want %q", res.ISO, tc.want)
			}
		})
	}
}
