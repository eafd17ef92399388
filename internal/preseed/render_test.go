package preseed_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
)

var update = flag.Bool("update", false, "write the golden files anew")

// set has a template and one of a user that includes it and adds a line.
var set = preseed.Templates{
	"base.cfg.tmpl": `# answers
d-i netcfg/get_hostname string {{ .Hostname }}
d-i passwd/user-password-crypted password {{ .PasswordHash }}
d-i mirror/http/proxy string {{ .HTTPProxy }}
d-i pkgsel/include string {{ join .Packages " " }}
d-i preseed/late_command string \
    wget -O /target/x {{ quote .InstallURL }}; \
    in-target sh /x
`,
	"mine.cfg.tmpl": `{{ template "base.cfg.tmpl" . }}
d-i netcfg/get_hostname string mine
`,
}

func values() preseed.Values {
	return preseed.Values{
		Hostname: "golden", Domain: "example.test", Username: "admin", Fullname: "Pat O'Brien",
		PasswordHash: "$6$salt$hash", Packages: []string{"curl", "git"}, Arch: host.ARM64,
		HTTPProxy: "http://user:secret@10.0.2.2:3128/", InstallURL: "http://10.0.2.2:1/TOKEN/install.sh",
		LogHost: "10.0.2.2", LogPort: "514",
	}
}

// TestRenderGolden renders the default template of internal/profile, and one that extends it.
func TestRenderGolden(t *testing.T) {
	const debian = "debian.cfg.tmpl"
	text, err := os.ReadFile(filepath.Join("..", "profile", "defaults", "preseeds.d", debian))
	if err != nil {
		t.Fatal(err)
	}
	set := preseed.Templates{
		debian:          string(text),
		"mine.cfg.tmpl": `{{ template "debian.cfg.tmpl" . }}` + "\nd-i clock-setup/ntp boolean true\n",
	}
	full := values()
	full.Locale, full.Keyboard, full.Timezone, full.Disk = "en_US.UTF-8", "us", "Etc/UTC", "/dev/vda"
	full.MirrorHost, full.MirrorPath = "mirror.example.test", "/debian"
	full.PartitioningMethod, full.PartitioningRecipe = "regular", "root"
	full.Tasksel, full.AuthorizedKeysURL, full.Firmware = "standard, web-server", "https://keys.example.test/ann", "uefi"
	for _, tc := range []struct {
		golden, template string
		values           preseed.Values
	}{
		{"debian-full.cfg", debian, full},
		{"debian-shown.cfg", "mine.cfg.tmpl", full.WithoutSecrets()},
		{"debian-least.cfg", debian, preseed.Values{Hostname: "debian", Username: "admin", Disk: "/dev/vda"}},
	} {
		t.Run(tc.golden, func(t *testing.T) {
			got, err := preseed.Render(set, tc.template, tc.values)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", tc.golden)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("differs from %s; got:\n%s", golden, got)
			}
		})
	}
}

func TestWithoutSecretsIsTheSameForEveryBuild(t *testing.T) {
	other := values()
	other.PasswordHash, other.HTTPProxy, other.InstallURL, other.LogHost, other.LogPort = "", "", "http://x/", "h", "1"
	if got, want := fmt.Sprintf("%#v", fields(t, other.WithoutSecrets())), fmt.Sprintf("%#v", fields(t, values().WithoutSecrets())); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if values().PasswordHash == "!" {
		t.Error("WithoutSecrets changed its receiver")
	}
}

// fields gets around the redaction.
func fields(t *testing.T, v preseed.Values) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRenderRefuses(t *testing.T) {
	tests := map[string]struct {
		template string
		want     string
	}{
		"unknown field":    {"d-i a/b string {{ .Hostnam }}\n", "Hostnam"},
		"unknown function": {"d-i a/b string {{ upper .Hostname }}\n", `"upper" not defined`},
		"broken template":  {"\n{{ if }}\n", "t:2"},
		"missing include":  {`{{ template "none" . }}`, `"none" not defined`},
		"syntax":           {"# ok\nd-i a/b strin x\n", `line 2: a/b: "strin" is no type`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := preseed.Render(preseed.Templates{"t": tc.template}, "t", values())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
	_, err := preseed.Render(set, "other.cfg", values())
	if err == nil || !strings.Contains(err.Error(), "base.cfg.tmpl, mine.cfg.tmpl") {
		t.Errorf("unknown template: got error %v, want one that lists what there is", err)
	}
}

func TestRenderRefusesValuesThatReachOut(t *testing.T) {
	tests := map[string]func(*preseed.Values){
		"Hostname":           func(v *preseed.Values) { v.Hostname = "a\nd-i passwd/root-password password x" },
		"Fullname":           func(v *preseed.Values) { v.Fullname = "a\r" },
		"Username":           func(v *preseed.Values) { v.Username = "a'; rm -rf /; '" },
		"Timezone":           func(v *preseed.Values) { v.Timezone = `UTC\` },
		"Tasksel":            func(v *preseed.Values) { v.Tasksel = "standard\\" },
		"PartitioningRecipe": func(v *preseed.Values) { v.PartitioningRecipe = "root ::\n 1 1 1 free ." },
		"Packages":           func(v *preseed.Values) { v.Packages = []string{"a", "b\nc"} },
		"HTTPProxy":          func(v *preseed.Values) { v.HTTPProxy = "http://secret@x\x00" },
		"Arch":               func(v *preseed.Values) { v.Arch = "a b" },
	}
	for field, change := range tests {
		t.Run(field, func(t *testing.T) {
			v := values()
			change(&v)
			_, err := preseed.Render(set, "base.cfg.tmpl", v)
			if err == nil || !strings.Contains(err.Error(), field) {
				t.Fatalf("got error %v, want one that names %s", err, field)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func TestValuesRedactThemselves(t *testing.T) {
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "values", values())
	for _, text := range []string{log.String(), fmt.Sprintf("%v %+v %#v %s", values(), values(), values(), values())} {
		if strings.Contains(text, "secret") || strings.Contains(text, "$6$") || strings.Contains(text, "TOKEN") {
			t.Errorf("a secret is in %q", text)
		}
	}
}
