package build

import (
	"maps"
	"slices"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
)

func testSpec() Spec {
	return Spec{
		Name: "test", Arch: host.X86_64, Firmware: "bios", DiskSize: 1 << 30, Memory: 128, CPUs: 1,
		ISO: cache.ISO{SHA256: "00"},
		Preseed: Preseed{
			Templates: preseed.Templates{"t": "d-i a/b string {{ .InstallURL }} {{ .Hostname }} {{ .HTTPProxy }}\n"},
			Name:      "t",
			Values:    preseed.Values{Hostname: "h", Arch: host.X86_64},
		},
		Install:  Script{Name: "install", Body: []byte("true\n")},
		Scripts:  []Script{{"one", []byte("1")}, {"two", []byte("2")}},
		Triggers: map[string]string{"month": "may"},
	}
}

// TestInputs says for every field of a spec which inputs it changes, and whether the installed layer is kept.
func TestInputs(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*Spec)
		inputs  []string
		install bool // the installed layer changes with it
	}{
		"nothing":   {func(*Spec) {}, nil, false},
		"arch":      {func(s *Spec) { s.Arch = host.ARM64 }, []string{"arch"}, true},
		"firmware":  {func(s *Spec) { s.Firmware = "uefi" }, []string{"firmware"}, true},
		"secure":    {func(s *Spec) { s.Firmware = "uefi-secure" }, []string{"firmware"}, true},
		"tpm":       {func(s *Spec) { s.TPM = true }, []string{"tpm"}, false},
		"iso":       {func(s *Spec) { s.ISO.SHA256 = "01" }, []string{"iso"}, true},
		"iso place": {func(s *Spec) { s.ISO.URL = "https://example.test/x.iso" }, nil, false},
		"preseed":   {func(s *Spec) { s.Preseed.Values.Hostname = "other" }, []string{"preseed"}, true},
		"proxy":     {func(s *Spec) { s.Preseed.Values.HTTPProxy = "http://10.0.2.2:1/" }, nil, false},
		"password":  {func(s *Spec) { s.Preseed.Values.PasswordHash = "$6$x" }, nil, false},
		"password version": {
			func(s *Spec) { s.PasswordVersion = 2 }, []string{"password_version"}, true,
		},
		"install":   {func(s *Spec) { s.Install.Body = []byte("false\n") }, []string{"install"}, true},
		"disk size": {func(s *Spec) { s.DiskSize *= 2 }, []string{"disk_size"}, true},
		"boot args": {func(s *Spec) { s.BootArgs = []string{"quiet"} }, []string{"boot_args"}, true},
		"installer": {func(s *Spec) { s.Autoinstall = &Autoinstall{} }, []string{"autoinstall", "preseed"}, true},
		"trigger":   {func(s *Spec) { s.Triggers = map[string]string{"month": "june"} }, []string{"trigger:month"}, true},
		"script":    {func(s *Spec) { s.Scripts[1].Body = []byte("3") }, []string{"script:two"}, false},
		"order":     {func(s *Spec) { slices.Reverse(s.Scripts) }, []string{"scripts"}, false},
		"no script": {func(s *Spec) { s.Scripts = s.Scripts[:1] }, []string{"script:two", "scripts"}, false},
		"how": {func(s *Spec) {
			s.Memory, s.CPUs, s.Emulation, s.Verify, s.KeepGuest, s.Timeouts.SSH = 1, 2, true, true, true, 3
		}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := testSpec(), testSpec()
			c.change(&b)
			was, is := inputs(t, a), inputs(t, b)
			if got := changed(was.Map(), is.Map()); !slices.Equal(got, c.inputs) {
				t.Errorf("changed inputs %v, want %v", got, c.inputs)
			}
			if (was.Key() != is.Key()) != (c.inputs != nil) {
				t.Errorf("the key does not follow the inputs")
			}
			if got := layer(t, a) != layer(t, b); got != c.install {
				t.Errorf("layer changed: %t, want %t", got, c.install)
			}
		})
	}
}

// Images with and without Secure Boot are two, and share what the installer left.
func TestSecureBootSharesTheLayer(t *testing.T) {
	plain, secure := testSpec(), testSpec()
	plain.Firmware, secure.Firmware = "uefi", "uefi-secure"
	if layer(t, plain) != layer(t, secure) {
		t.Error("the layers differ")
	}
	if got := inputs(t, secure).Map()["firmware"]; got != "uefi-secure" || inputs(t, plain).Key() == inputs(t, secure).Key() {
		t.Errorf("the firmware in the image's key is %q", got)
	}
}

// TestBaseInputs is TestInputs for an image with a base.
func TestBaseInputs(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Spec)
		inputs []string
		layer  bool
	}{
		"base":             {func(s *Spec) { s.Base.SHA256 = "01" }, []string{"base"}, true},
		"base place":       {func(s *Spec) { s.Base.Path = "/elsewhere.qcow2" }, nil, false},
		"disk size":        {func(s *Spec) { s.DiskSize *= 2 }, []string{"disk_size"}, true},
		"firmware":         {func(s *Spec) { s.Firmware = "uefi" }, []string{"firmware"}, true},
		"hostname":         {func(s *Spec) { s.Preseed.Values.Hostname = "other" }, []string{"seed"}, false},
		"packages":         {func(s *Spec) { s.Preseed.Values.Packages = []string{"nginx"} }, []string{"seed"}, false},
		"user":             {func(s *Spec) { s.Preseed.Values.Username = "ada" }, []string{"seed"}, false},
		"proxy":            {func(s *Spec) { s.Preseed.Values.HTTPProxy = "http://10.0.2.2:1/" }, nil, false},
		"password":         {func(s *Spec) { s.Preseed.Values.PasswordHash = "$6$x" }, nil, false},
		"password version": {func(s *Spec) { s.PasswordVersion = 2 }, []string{"password_version"}, false},
		"trigger":          {func(s *Spec) { s.Triggers = map[string]string{"month": "june"} }, []string{"trigger:month"}, false},
		"script":           {func(s *Spec) { s.Scripts[1].Body = []byte("3") }, []string{"script:two"}, false},
	} {
		a, b := testSpec(), testSpec()
		for _, s := range []*Spec{&a, &b} {
			s.ISO, s.Preseed.Templates, s.Install = cache.ISO{}, nil, Script{}
			s.Base = cache.ISO{Path: "/base.qcow2", SHA256: "00"}
		}
		c.change(&b)
		was, is := inputs(t, a), inputs(t, b)
		if got := changed(was.Map(), is.Map()); !slices.Equal(got, c.inputs) {
			t.Errorf("%s: changed inputs %v, want %v", name, got, c.inputs)
		}
		for _, installers := range []string{"iso", "preseed", "install", "boot_args"} {
			if _, ok := is.Map()[installers]; ok {
				t.Errorf("%s: %s is an input", name, installers)
			}
		}
		if got := !slices.Equal(a.baseLayerInputs(), b.baseLayerInputs()); got != c.layer {
			t.Errorf("%s: layer changed: %t, want %t", name, got, c.layer)
		}
	}
}

func inputs(t *testing.T, s Spec) cache.Inputs {
	t.Helper()
	in, err := s.Inputs()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func layer(t *testing.T, s Spec) string {
	t.Helper()
	in, err := s.layerInputs()
	if err != nil {
		t.Fatal(err)
	}
	return in.Key()
}

func changed(a, b map[string]string) []string {
	names := maps.Clone(a)
	maps.Copy(names, b)
	var out []string
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if a[n] != b[n] {
			out = append(out, n)
		}
	}
	return out
}
