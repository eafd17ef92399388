package profile_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The embedded defaults must leave nothing to chance: whatever is zero here is so on purpose.
func TestDefaultsAreComplete(t *testing.T) {
	onPurpose := map[string]bool{
		"Name": true, "Password": true, "PasswordVersion": true, "Domain": true, "MirrorHost": true, "MirrorPath": true,
		"HTTPProxy": true, "GrubDevice": true, "Tasksel": true, "AuthorizedKeysURL": true,
		"Base": true, "TPM": true, "Autoinstall": true, "InstallerSaid": true,
	}
	v := reflect.ValueOf(*resolve(t, load(t, nil), profile.Request{Arch: host.X86_64}))
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != onPurpose[name] {
			t.Errorf("%s is %v by default", name, v.Field(i))
		}
	}
}

func TestDebianPreseed(t *testing.T) {
	c := load(t, map[string]string{"profiles.d/a.yml": `
full:
  username: admin
  fullname: Ada Admin
  domain: example.test
  mirror_host: mirror.example.test
  mirror_path: /debian
  http_proxy: http://proxy.example.test:3128
  partitioning_method: lvm
  partitioning_recipe: root
  firmware: uefi
  grub_device: /dev/sda
  tasksel: standard
  packages: curl git
  authorized_keys_url: https://example.test/keys
`, "preseeds.d/lean.cfg.tmpl": "{{ template \"debian.cfg.tmpl\" . }}\nd-i base-installer/install-recommends boolean false\n"})
	for _, tt := range []struct {
		golden, hash string
		request      profile.Request
	}{
		{"default-x86_64.cfg", "", profile.Request{Arch: host.X86_64}},
		{"default-arm64.cfg", "", profile.Request{Arch: host.ARM64}},
		{"full.cfg", "$6$salt$hash", profile.Request{Name: "full", Arch: host.X86_64}},
		{"root-bios.cfg", "", profile.Request{Arch: host.X86_64, Override: profile.Profile{PartitioningRecipe: ptr("root"), Preseed: ptr("lean")}}},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			got := render(t, resolve(t, c, tt.request), tt.hash)
			path := filepath.Join("testdata", tt.golden)
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
				t.Errorf("differs from %s; look at the difference, then run with -update. Got:\n%s", path, got)
			}
			checkAnswers(t, path)
		})
	}
}

func render(t *testing.T, res *profile.Resolved, hash string) []byte {
	t.Helper()
	got, err := preseed.Render(res.Templates, res.PreseedTemplate, preseed.Values{
		Hostname: res.Hostname, Domain: res.Domain, Username: res.Username, Fullname: res.Fullname, PasswordHash: hash,
		Locale: res.Locale, Keyboard: res.Keyboard, Timezone: res.Timezone,
		MirrorHost: res.MirrorHost, MirrorPath: res.MirrorPath, HTTPProxy: res.HTTPProxy,
		PartitioningMethod: res.PartitioningMethod, PartitioningRecipe: res.PartitioningRecipe,
		Tasksel: res.Tasksel, GrubDevice: res.GrubDevice, AuthorizedKeysURL: res.AuthorizedKeysURL, Packages: res.Packages,
		Firmware: res.Firmware, Arch: res.Arch, Disk: "/dev/vda", InstallURL: "http://10.0.2.2:8080/token/install.sh",
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// checkAnswers has debconf's own reader check the syntax, where it is installed.
func checkAnswers(t *testing.T, path string) {
	t.Helper()
	tool, err := exec.LookPath("debconf-set-selections")
	if err != nil {
		t.Log("debconf-set-selections is not installed")
		return
	}
	if out, err := exec.CommandContext(t.Context(), tool, "--checkonly", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("debconf-set-selections: %v\n%s", err, out)
	}
}

func TestEmbeddedScripts(t *testing.T) {
	var scripts []string
	err := filepath.WalkDir("defaults", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".sh" {
			scripts = append(scripts, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, ours := range []string{"deb." + "debian", "apt-get clean", "cloud-init clean", "exit 0"} {
			if strings.Contains(string(body), ours) {
				t.Errorf("%s says %q: host names and cleaning up are not its business, and more may be appended to it", path, ours)
			}
		}
		shell, _, _ := strings.Cut(strings.TrimPrefix(string(body), "#!"), "\n")
		if out, err := exec.CommandContext(t.Context(), shell, "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
	tool, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed")
	}
	if out, err := exec.CommandContext(t.Context(), tool, scripts...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}
