package preseed

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// embedded is the template the provider ships. It is read, not imported: the profile package is above this one.
const embedded = "../profile/defaults/preseeds.d/debian.cfg.tmpl"

// full is a Values with every secret set.
func full() Values {
	return Values{
		Hostname: "golden", Domain: "example.test",
		Username: "ansible", Fullname: `Ann O'Brien "AO"`, PasswordHash: "$6$salt$hash",
		Locale: "en_US.UTF-8", Keyboard: "us", Timezone: "Etc/UTC",
		MirrorHost: "mirror.example.test", MirrorPath: "/debian", HTTPProxy: "http://user:pw@proxy.example.test:3128",
		PartitioningMethod: "regular", PartitioningRecipe: "root", Tasksel: "standard, web-server",
		Packages: []string{"curl", "git"}, AuthorizedKeysURL: "https://keys.example.test/ann",
		Firmware: "uefi", Arch: host.ARM64, Disk: "/dev/vda",
		InstallURL: "http://10.0.2.2:8080/token/install.sh",
	}
}

// least is what a profile of nothing but defaults gives.
func least() Values {
	return Values{
		Hostname: "debian", Username: "admin", Locale: "en_US.UTF-8", Keyboard: "us", Timezone: "Etc/UTC",
		Firmware: "bios", Arch: host.X86_64, Disk: "/dev/vda",
	}
}

// withoutComments leaves the answers: a better comment in the template is no other preseed.
func withoutComments(text []byte) []byte {
	var out []string
	for line := range strings.Lines(string(text)) {
		if t := strings.TrimSpace(line); t != "" && t[0] != '#' {
			out = append(out, line)
		}
	}
	return []byte(strings.Join(out, ""))
}

func TestRenderEmbedded(t *testing.T) {
	text, err := os.ReadFile(embedded)
	if err != nil {
		t.Fatal(err)
	}
	set := Templates{
		"debian.cfg.tmpl": string(text),
		"mine.cfg.tmpl":   "{{ template \"debian.cfg.tmpl\" . }}\nd-i clock-setup/ntp boolean true\n",
	}
	for _, tt := range []struct {
		golden, template string
		values           Values
	}{
		{"debian-full.cfg", "debian.cfg.tmpl", full()},
		{"debian-least.cfg", "debian.cfg.tmpl", least()},
		{"debian-shown.cfg", "mine.cfg.tmpl", full().WithoutSecrets()},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			out, err := Render(set, tt.template, tt.values)
			if err != nil {
				t.Fatal(err)
			}
			got, path := withoutComments(out), filepath.Join("testdata", tt.golden)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs, run with -update and look at the difference; got:\n%s", path, got)
			}
		})
	}
}

func TestRenderErrors(t *testing.T) {
	set := Templates{
		"ok":       "d-i a/b string {{ .Hostname }}\n",
		"field":    "d-i a/b string {{ .Nope }}\n",
		"missing":  `{{ template "absent" . }}`,
		"mistyped": "d-i a/b strin x\n",
		"nul":      "d-i a/b boolean {{ .Fullname }}\n",
	}
	for _, tt := range []struct {
		name string
		edit func(*Values)
		want string
	}{
		{"none", nil, `no preseed template "none", only field, missing, mistyped, nul, ok`},
		{"field", nil, "Nope"},
		{"missing", nil, `"absent"`},
		{"mistyped", nil, `line 1: a/b: "strin" is no type`},
		{"nul", func(v *Values) { v.Fullname = "secretive" }, "line 1: a/b: a boolean is true or false"},
		{"ok", func(v *Values) { v.Fullname = "x\nd-i preseed/early_command string reboot" }, "Fullname must not hold a line break"},
		{"ok", func(v *Values) { v.Fullname = `x\` }, "Fullname must not hold a backslash"},
		{"ok", func(v *Values) { v.Hostname = "x; reboot" }, "Hostname must not hold a space or a quote"},
		{"ok", func(v *Values) { v.Username = "x'y" }, "Username must not hold a space or a quote"},
		{"ok", func(v *Values) { v.Arch = "x\r" }, "Arch must not hold a line break"},
		{"ok", func(v *Values) { v.HTTPProxy = "http://secretive@x\x00" }, "HTTPProxy must not hold a line break"},
		{"ok", func(v *Values) { v.Packages = []string{"curl", "git make"} }, "Packages[1] must not hold a space"},
		{"ok", func(v *Values) { v.Packages = []string{""} }, "Packages[0] must not be empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := full()
			if tt.edit != nil {
				tt.edit(&v)
			}
			_, err := Render(set, tt.name, v)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			for _, secret := range []string{v.PasswordHash, v.HTTPProxy, "secretive", "reboot"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%v shows the value %q", err, secret)
				}
			}
		})
	}

	if _, err := Render(Templates{"ok": "", "broken": "{{ if }}"}, "ok", full()); err == nil || !strings.Contains(err.Error(), `"broken"`) {
		t.Errorf("error %v, want the broken template's name", err)
	}
}

func TestRenderFuncs(t *testing.T) {
	out, err := Render(Templates{"t": `d-i a/b string {{ quote .Fullname }} {{ join .Packages "," }}`}, "t", full())
	if err != nil {
		t.Fatal(err)
	}
	if want := `d-i a/b string 'Ann O'"'"'Brien "AO"' curl,git`; string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}

func TestValuesHideSecrets(t *testing.T) {
	v := full()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("values", "v", v)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s", v, v, v, &v), log.String()} {
		for _, secret := range []string{v.PasswordHash, "user:pw", "/token/"} {
			if strings.Contains(s, secret) {
				t.Errorf("%q is in %s", secret, s)
			}
		}
		if !strings.Contains(s, v.Hostname) {
			t.Errorf("the host name is not in %s", s)
		}
	}
}

func TestWithoutSecretsIsTheSameForEveryBuild(t *testing.T) {
	with, without := full(), full()
	without.PasswordHash, without.HTTPProxy, without.InstallURL = "", "", "http://x/"
	if a, b := fmt.Sprintf("%+v", plain(with.WithoutSecrets())), fmt.Sprintf("%+v", plain(without.WithoutSecrets())); a != b {
		t.Errorf("what differs from build to build goes into the key:\n%s\n%s", a, b)
	}
	if full().PasswordHash != with.PasswordHash {
		t.Error("WithoutSecrets changed its receiver")
	}
}

// FuzzRenderValue holds that no value makes an answer of its own, nor leaves its quotes in a shell command.
func FuzzRenderValue(f *testing.F) {
	for _, s := range []string{"x", "a b", "x\ny z string w", `x\`, "'; reboot; '", "\u2028", "#", "{{ .PasswordHash }}"} {
		f.Add(s)
	}
	set := Templates{"t": "d-i a/full string {{ .Fullname }}\nd-i a/cmd string '{{ .Hostname }}' end\nd-i a/last boolean true\n"}
	f.Fuzz(func(t *testing.T, s string) {
		if out, err := Render(set, "t", Values{Fullname: s}); err == nil {
			if want := "d-i a/full string " + s + "\nd-i a/cmd string '' end\nd-i a/last boolean true\n"; string(out) != want {
				t.Errorf("got %q", out)
			}
			if strings.ContainsAny(s, "\n\r\\\x00") {
				t.Errorf("%q was let through", s)
			}
		}
		if out, err := Render(set, "t", Values{Hostname: s}); err == nil && bytes.Count(out, []byte("'")) != 2 {
			t.Errorf("%q leaves its quotes: %q", s, out)
		}
	})
}
