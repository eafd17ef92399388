package preseed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// ubuntu is a Values as full, with what only Ubuntu's installer is told and without what it cannot be told.
func ubuntu() Values {
	v := full()
	v.Keyboard, v.MirrorPath, v.Tasksel, v.Arch, v.Firmware = "de(nodeadkeys)", "/ubuntu", "", host.X86_64, "bios"
	v.ReportURL, v.LogURL = "http://10.0.2.2:8080/token/report", "http://10.0.2.2:8080/token/logs/"
	return v
}

const mine = `#cloud-config
autoinstall:
  packages: [nginx] # instead of the profile's
  identity: {groups: [adm, sudo]}
  storage:
    layout: {name: lvm}
  oem: {install: no}
  network:
    version: 2
    wifis: {all: {access-points: {site: {password: passphrase}}}}
  late-commands:
    - &true [curtin, in-target, --, "true"]
  error-commands:
    - *true
  reporting: {mine: {type: webhook, endpoint: "http://example.test/", token_secret: C1NWcZTHLteJXGVMM6YhvHDpGrhyy7}}
`

func TestAutoinstall(t *testing.T) {
	lvm := ubuntu()
	lvm.PartitioningMethod, lvm.MirrorPath, lvm.Arch = "lvm", "", host.ARM64
	for _, tt := range []struct {
		golden string
		render func() ([]byte, error)
	}{
		{"autoinstall-full.yml", documents(Autoinstall{Values: ubuntu()})},
		{"autoinstall-least.yml", documents(Autoinstall{Values: least()})},
		{"autoinstall-lvm.yml", documents(Autoinstall{Values: lvm})},
		{"autoinstall-merged.yml", documents(Autoinstall{Values: ubuntu(), Over: []byte(mine)})},
		{"autoinstall-shown.yml", Autoinstall{Values: ubuntu(), Over: []byte(mine)}.Shown},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			got, err := tt.render()
			if err != nil {
				t.Fatal(err)
			}
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
				t.Errorf("%s differs, run with -update and look at the difference; got:\n%s", path, got)
			}
		})
	}
}

func documents(a Autoinstall) func() ([]byte, error) {
	return func() ([]byte, error) {
		docs, err := a.Documents()
		return docs[UserData], err
	}
}

func TestDocumentsAreWhatNoCloudWants(t *testing.T) {
	docs, err := Autoinstall{Values: ubuntu()}.Documents()
	if err != nil {
		t.Fatal(err)
	}
	var meta map[string]string
	if err := yaml.Unmarshal(docs[MetaData], &meta); err != nil || meta["instance-id"] == "" {
		t.Errorf("meta-data %q, %v", docs[MetaData], err)
	}
	for _, name := range []string{UserData, MetaData, VendorData, NetworkConfig} {
		if _, ok := docs[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}

// TestShownIsTheSameForEveryBuild: it goes into the cache key and is shown.
func TestShownIsTheSameForEveryBuild(t *testing.T) {
	a := Autoinstall{Values: ubuntu(), Over: []byte(mine)}
	b := Autoinstall{Values: ubuntu(), Over: []byte(strings.ReplaceAll(mine, "passphrase", "another"))}
	b.Values.PasswordHash, b.Values.HTTPProxy, b.Values.InstallURL, b.Values.ReportURL, b.Values.LogURL = "", "", "http://x/", "", "y"
	one, err := a.Shown()
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Shown()
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("%v: the builds differ:\n%s\n%s", err, one, two)
	}
	secrets := a.Secrets()
	for _, secret := range []string{"$6$salt$hash", "user:pw", "passphrase", "C1NWcZTHLteJXGVMM6YhvHDpGrhyy7"} {
		if strings.Contains(string(one), secret) {
			t.Errorf("%q is shown:\n%s", secret, one)
		}
		if !contains(secrets, secret) {
			t.Errorf("%q is not among the secrets", secret)
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func TestCheckAutoinstall(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"empty":        {"", ""},
		"comment":      {"# nothing\n", ""},
		"empty inside": {"autoinstall:\n", ""},
		"inside":       {"autoinstall: {version: 1}", ""},
		"bare":         {"version: 1\nshutdown: poweroff\n", ""},
		"all sorts": {`
early-commands: [echo a, [echo, b]]
refresh-installer: {update: yes, channel: edge}
network: {version: 2, ethernets: {all: {match: {name: "en*"}, dhcp6: on}}}
apt: {mirror-selection: {primary: [country-mirror, {uri: "http://x/", arches: [amd64]}]}, sources: {a: {source: ppa}}}
kernel: {flavor: hwe}
kernel-crash-dumps: {enabled: null}
ssh: {allow-pw: False, install-server: True}
oem: {install: auto}
identity: {groups: {append: [kvm]}}
storage: {config: [{type: disk, id: disk0}], swap: {size: 0}}
reporting: {mine: {type: webhook, anything: [goes]}}
`, ""},
		"no map":           {"- a", "line 1: must be a map, not a list"},
		"syntax":           {"a: 1\nb: c: d", "line 2: cannot parse YAML: mapping values are not allowed in this context"},
		"beside":           {"autoinstall: {}\nusers: []", "line 1: no other key may stand beside autoinstall"},
		"two documents":    {"a: 1\n---\nb: 2", "line 2: more than one YAML document, or text after the first"},
		"twice":            {"locale: a\nlocale: b", "line 2: locale: given twice"},
		"merge key":        {"a: &a {}\nb: {<<: *a}", "line 2: merge keys are not supported"},
		"unknown":          {"version: 1\nlate-command: [a]", "line 2: late-command: unknown key, known are "},
		"unknown below":    {"storage:\n  layout:\n    nam: lvm", "line 3: storage.layout.nam: unknown key"},
		"type":             {"packages: nginx", "line 1: packages: must be a list, not text"},
		"item":             {"packages: [a, 1]", "line 1: packages[1]: must be text, not 1"},
		"number":           {"version: two", "line 1: version: must be a whole number, not text"},
		"version":          {"version: 2", "line 1: version: must be 1"},
		"word":             {"updates: none", "line 1: updates: must be one of security, all"},
		"mirror":           {"apt: {mirror-selection: {primary: [here]}}", "must be one of country-mirror"},
		"kernel":           {"kernel: {package: a, flavor: b}", "kernel: must have either package or flavor"},
		"reporting":        {"reporting: {x: y}", "reporting.x: must be a map, not text"},
		"asks":             {"interactive-sections: [network]", "interactive-sections: nobody is there to be asked"},
		"user name":        {"identity: {username: me}", "line 1: identity.username: is the profile's to say: set username there"},
		"our destination":  {"reporting: {pim: {type: none}}", "reporting.pim: is the build's own destination"},
		"without a server": {"ssh: {install-server: off}", "ssh.install-server: must be true"},
		"passwords":        {"ssh: {allow-pw: yes}", "line 1: ssh.allow-pw: must be false: no password opens SSH in an image"},
		"authorized keys":  {"ssh: {authorized-keys: [a]}", "ssh.authorized-keys: is for a first boot, which an image does not have: set authorized_keys_url"},
		"locale":           {"locale: C.UTF-8", "locale: is the profile's to say: set locale there"},
		"time zone":        {"timezone: geoip", "timezone: is the profile's to say: set timezone there"},
		"user-data":        {"\nuser-data: {x: secretive}", "line 2: user-data: is for a first boot, which an image does not have: use a script"},
		"snaps":            {"snaps: [{name: etcd}]", "snaps: is for a first boot"},
		"Pro":              {"ubuntu-pro: {token: secretive}", "ubuntu-pro: is for a first boot"},
		"Pro's old name":   {"ubuntu-advantage: {token: secretive}", "ubuntu-advantage: is for a first boot"},
		"passphrase":       {"storage: {layout: {name: lvm, password: secretive}}", "storage.layout.password: must be left out: nobody is there to type it when the image boots"},
		"cycle":            {"user-data: &a {b: *a}", "an alias stands inside what it stands for"},
		"bomb": {"user-data:\n  a: &a [x,x,x,x,x,x,x,x,x,x]\n  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" +
			"  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n  e: [*d,*d,*d]", "the document is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckAutoinstall([]byte(tt.text))
			var all KeyErrors
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("unexpected: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got  %v\nwant %s", err, tt.want)
			case err != nil && !errors.As(err, &all):
				t.Errorf("%T is no KeyErrors", err)
			case err != nil && strings.Contains(err.Error(), "secretive"):
				t.Errorf("%v shows a value", err)
			}
		})
	}
}

func TestAutoinstallErrors(t *testing.T) {
	bad := ubuntu()
	bad.Hostname = "x; reboot"
	for name, tt := range map[string]struct {
		a    Autoinstall
		want string
	}{
		"value": {Autoinstall{Values: bad}, "Hostname must not hold a space or a quote"},
		"over":  {Autoinstall{Values: ubuntu(), Over: []byte("\nupdates: [a]")}, "line 2: updates: must be text, not a list"},
		// Only the whole has the fault: what the user wrote is a fine part of it.
		"merged": {Autoinstall{Values: ubuntu(), Over: []byte("keyboard: {toggle: null}\nstorage: {layout: {name: lvm, mode: gap}}")}, "storage.layout.mode"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.a.Documents()
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "reboot") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzCheckAutoinstall(f *testing.F) {
	f.Add(mine)
	f.Add("a: &a [*a]\nb: {<<: *a}")
	f.Fuzz(func(t *testing.T, text string) {
		if CheckAutoinstall([]byte(text)) != nil {
			return
		}
		docs, err := Autoinstall{Values: ubuntu(), Over: []byte(text)}.Documents()
		if err != nil {
			return
		}
		var back map[string]map[string]any
		if err := yaml.Unmarshal(docs[UserData], &back); err != nil {
			t.Fatalf("%q: %v:\n%s", text, err, docs[UserData])
		}
		if back["autoinstall"]["late-commands"] == nil || back["autoinstall"]["version"] != 1 {
			t.Errorf("%q gives\n%s", text, docs[UserData])
		}
	})
}
