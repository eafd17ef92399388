package profile_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runInstall runs a post-install script on a tree: its own paths lead there, and so do the programs that would act on this
// machine. An apt-get there brings what is in "packages" below it. It returns the tree, and how they were called.
func runInstall(t *testing.T, name string, files map[string]string, env ...string) (root string, calls []string, err error) {
	t.Helper()
	root = write(t, files)
	for _, dir := range []string{"bin", "etc/default", "etc/systemd/network", "usr/share/i18n"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for program, does := range map[string]string{
		"apt-get": `cp -a "$PIM_ROOT/packages/." "$PIM_ROOT/"`, "locale-gen": "", "systemctl": "",
	} {
		stub := "#!/bin/sh\necho " + program + ` "$@" >>"$PIM_ROOT/calls"` + "\n" + does + "\n"
		if err := os.WriteFile(filepath.Join(root, "bin", program), []byte(stub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	body, err := os.ReadFile("defaults/installs.d/" + name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = strings.NewReader(strings.NewReplacer("/etc/", root+"/etc/", "/usr/", root+"/usr/").Replace(string(body)))
	cmd.Env = append([]string{"PATH=" + root + "/bin:/usr/bin:/bin", "PIM_ROOT=" + root}, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return root, nil, fmt.Errorf("%w: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(root, "calls"))
	return root, strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

func TestUbuntuLocale(t *testing.T) {
	const (
		known = "de_DE.UTF-8 UTF-8\nde_DE ISO-8859-1\nde_DE@euro ISO-8859-15\n"
		none  = "# de_DE.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n"
	)
	for name, tt := range map[string]struct {
		locale, listed, lang, gen string
		minimal                   bool
		calls                     string
	}{
		"none":                    {gen: none, listed: none},
		"no language":             {locale: "C.UTF-8", lang: "C.UTF-8", gen: none, listed: none},
		"new":                     {locale: "de_DE.UTF-8", lang: "de_DE.UTF-8", gen: none, listed: none + "de_DE.UTF-8 UTF-8\n", calls: "locale-gen"},
		"listed":                  {locale: "de_DE.UTF-8", lang: "de_DE.UTF-8", gen: known, listed: known, calls: "locale-gen"},
		"without a character set": {locale: "de_DE", lang: "de_DE.UTF-8", gen: none, listed: none + "de_DE.UTF-8 UTF-8\n", calls: "locale-gen"},
		"with a modifier":         {locale: "de_DE@euro", lang: "de_DE@euro", gen: none, listed: none + "de_DE@euro ISO-8859-15\n", calls: "locale-gen"},
		"minimal system": {
			locale: "de_DE.UTF-8", lang: "de_DE.UTF-8", listed: "de_DE.UTF-8 UTF-8\n", minimal: true,
			calls: "apt-get install -q -y --no-install-recommends locales\nlocale-gen",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"usr/share/i18n/SUPPORTED": known, "etc/locale.gen": tt.gen}
			if tt.minimal {
				files = map[string]string{"packages/usr/share/i18n/SUPPORTED": known}
			}
			root, calls, err := runInstall(t, "ubuntu.sh", files, "PIM_LOCALE="+tt.locale)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimSpace(tt.calls + "\nsystemctl enable systemd-networkd.service systemd-resolved.service")
			if got := strings.Join(calls, "\n"); got != want {
				t.Errorf("it ran\n%s\nwant\n%s", got, want)
			}
			if got := text(t, root, "etc/locale.gen"); got != tt.listed {
				t.Errorf("locale.gen:\n%swant\n%s", got, tt.listed)
			}
			if tt.lang != "" {
				tt.lang = "LANG=" + tt.lang + "\n"
			}
			if got := text(t, root, "etc/default/locale"); got != tt.lang {
				t.Errorf("/etc/default/locale: %q, want %q", got, tt.lang)
			}
		})
	}
	_, _, err := runInstall(t, "ubuntu.sh", map[string]string{"usr/share/i18n/SUPPORTED": known}, "PIM_LOCALE=de_XX.UTF-8")
	if err == nil || !strings.Contains(err.Error(), "no locale de_XX.UTF-8 in ") {
		t.Errorf("a locale that nobody knows: %v", err)
	}
}

// text is what a file of a tree holds, "" when it is not there.
func text(t *testing.T, root, name string) string {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(root, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(got)
}

// TestUbuntuForgetsTheInstaller: what subiquity of any version tells cloud-init must not reach a clone.
func TestUbuntuForgetsTheInstaller(t *testing.T) {
	const kept = "etc/cloud/cloud.cfg.d/90_dpkg.cfg"
	files := map[string]string{kept: "x"}
	for _, name := range []string{
		"cloud.cfg.d/99-installer.cfg", "cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
		"cloud.cfg.d/00-subiquity-disable-cloudinit-networking.cfg", "ds-identify.cfg", "clean.d/99-installer",
	} {
		files["etc/cloud/"+name] = "x"
	}
	root, _, err := runInstall(t, "ubuntu.sh", files)
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if stays := text(t, root, name) != ""; stays != (name == kept) {
			t.Errorf("%s: stays is %v", name, stays)
		}
	}
}
