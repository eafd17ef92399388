package profile_test

import (
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/media/mediatest"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func TestInstaller(t *testing.T) {
	casper := mediatest.ISO(t, map[string][]byte{"casper/vmlinuz": []byte("x"), "casper/initrd": []byte("x")})
	debian := mediatest.ISO(t, map[string][]byte{"linux": []byte("x"), "initrd.gz": []byte("x")})
	dir := write(t, map[string]string{
		"profiles.d/a.yml": "said: {installer: autoinstall}\nreplaced: {installer: autoinstall, username: me, build: {memory: 512}}\n",
		"isos.d/a.yml":     "listed: {url: " + debian + ", architecture: x86_64, installer: autoinstall}\n",
	})
	c, err := profile.Load(profile.Options{ConfigDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		request profile.Request
		want    string
	}{
		"nothing said":                {profile.Request{}, "debian debian debian 2048"},
		"profile":                     {profile.Request{Name: "said"}, "autoinstall ubuntu ubuntu 4096"},
		"over defaults":               {profile.Request{Name: "replaced"}, "autoinstall me ubuntu 512"},
		"local casper":                {profile.Request{ISO: &profile.ISO{Path: casper}}, "autoinstall ubuntu ubuntu 4096"},
		"local debian":                {profile.Request{ISO: &profile.ISO{Path: debian}}, "debian debian debian 2048"},
		"said of a file that is away": {profile.Request{ISO: &profile.ISO{Path: "/nonexistent"}, Override: profile.Profile{Installer: ptr("debian")}}, "debian debian debian 2048"},
		"said beats found":            {profile.Request{ISO: &profile.ISO{Path: casper}, Override: profile.Profile{Installer: ptr("debian")}}, "debian debian debian 2048"},
		"catalogue":                   {profile.Request{Override: profile.Profile{ISO: ptr("listed")}}, "autoinstall ubuntu ubuntu 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			r := tt.request
			r.Arch = host.X86_64
			if r.ISO == nil && r.Override.ISO == nil {
				r.ISO = someISO
			}
			res, err := c.Resolve(r)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{res.Installer, res.Username, res.Install.Name, "512"}
			if res.Memory != 512 {
				got[3] = map[int64]string{2048: "2048", 4096: "4096"}[res.Memory]
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
			if (len(res.Templates) == 0) != (res.Installer == profile.Ubuntu) {
				t.Errorf("%d preseed templates", len(res.Templates))
			}
		})
	}
	// A guess would call an image stale whose ISO is only out of reach.
	for _, away := range []string{"/nonexistent", t.TempDir()} {
		_, err := c.Resolve(profile.Request{Arch: host.X86_64, ISO: &profile.ISO{Path: away, SHA256: strings.Repeat("0", 64)}})
		if err == nil || !strings.Contains(err.Error(), "iso: cannot look which installer is on it") || !strings.Contains(err.Error(), "set installer") {
			t.Errorf("%s: %v", away, err)
		}
	}
}

// TestDefaultsAreAnswers: what the defaults come to is a document subiquity takes.
func TestDefaultsAreAnswers(t *testing.T) {
	p := resolve(t, load(t, nil), profile.Request{Override: profile.Profile{Installer: ptr("autoinstall")}})
	docs, err := preseed.Autoinstall{Values: preseed.Values{
		Hostname: p.Hostname, Username: p.Username, Fullname: p.Fullname, Locale: p.Locale, Keyboard: p.Keyboard,
		Timezone: p.Timezone, PartitioningMethod: p.PartitioningMethod, Arch: p.Arch, Disk: "/dev/vda",
	}}.Documents()
	if err != nil || !strings.Contains(string(docs[preseed.UserData]), "username: ubuntu") {
		t.Errorf("%v:\n%s", err, docs[preseed.UserData])
	}
}

// TestExampleOfUbuntu: its fields and its document come to one that subiquity takes.
func TestExampleOfUbuntu(t *testing.T) {
	c, err := profile.Load(profile.Options{ConfigDir: "../../examples/ubuntu/pim"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Resolve(profile.Request{Name: "web", Arch: host.X86_64})
	if err != nil {
		t.Fatal(err)
	}
	a := preseed.Autoinstall{Values: preseed.Values{PartitioningMethod: p.PartitioningMethod}, Over: []byte(p.Autoinstall.Body)}
	text, err := a.Shown()
	if err != nil || p.Installer != profile.Ubuntu || !strings.Contains(string(text), "sizing-policy: scaled") {
		t.Errorf("%s, %v:\n%s", p.Installer, err, text)
	}
}

// TestWhatAnInstallerCannotSay: a field that one of them has no words for is refused where a person set it.
func TestWhatAnInstallerCannotSay(t *testing.T) {
	for name, tt := range map[string]struct{ profiles, override, want string }{
		"preseed":          {"x: {installer: autoinstall, preseed: lean}", "", `profiles.d/a.yml:1:38: x.preseed: Ubuntu's installer cannot do "lean" (`},
		"tasks":            {"default:\n  tasksel: standard\nx: {installer: autoinstall}", "", `profiles.d/a.yml:2:12: default.tasksel: Ubuntu's`},
		"unsaid":           {"default: {tasksel: standard}\nx: {installer: autoinstall, tasksel: \"\"}", "", ""},
		"grub":             {"x: {installer: autoinstall, grub_device: /dev/vda}", "", "x.grub_device: Ubuntu's"},
		"recipe":           {"x: {installer: autoinstall, partitioning_recipe: atomic}", "", "x.partitioning_recipe: Ubuntu's"},
		"same recipe":      {"x: {installer: autoinstall, partitioning_recipe: root, partitioning_method: lvm}", "", ""},
		"document":         {"x: {autoinstall: lean}", "", `x.autoinstall: Debian's installer cannot do "lean"`},
		"answers":          {"x: {answers: seed}", "", `x.answers: Debian's installer cannot do "seed"`},
		"same answers":     {"x: {answers: http}", "", ""},
		"inline":           {"x: {installer: autoinstall}", "tasksel", `tasksel: Ubuntu's installer cannot do "standard" (name the packages in packages)`},
		"reserved":         {"x: {installer: autoinstall, username: admin}", "", `x.username: "admin" is a name that Ubuntu's installer refuses`},
		"not reserved":     {"x: {username: admin}", "", ""},
		"no such":          {"x: {installer: preseed}", "", `x.installer: unknown value "preseed"`},
		"unknown document": {"x: {installer: autoinstall, autoinstall: leam}", "", `x.autoinstall: no document "leam" in autoinstalls.d (did you mean "lean"?)`},
		"document's fault": {"x: {installer: autoinstall, autoinstall: wrong}", "", "autoinstalls.d/wrong.yml:2:3: locales: unknown key"},
		"fine document":    {"x: {installer: autoinstall, autoinstall: lean}", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{
				"profiles.d/a.yml":          tt.profiles + "\n",
				"autoinstalls.d/lean.yml":   "updates: security\n",
				"autoinstalls.d/wrong.yml":  "autoinstall:\n  locales: a\n",
				"preseeds.d/lean.cfg":       "",
				"autoinstalls.d/ignored.md": "",
			})
			r := profile.Request{Name: "x", Arch: host.X86_64, ISO: someISO}
			if tt.override != "" {
				r.Override.Tasksel = ptr("standard")
			}
			c, err := profile.Load(profile.Options{ConfigDir: dir})
			if err == nil {
				var res *profile.Resolved
				if res, err = c.Resolve(r); err == nil && name == "fine document" && res.Autoinstall.Body != "updates: security\n" {
					t.Errorf("document %+v", res.Autoinstall)
				}
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
