package provider

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func TestAccImage_badInput(t *testing.T) {
	t.Parallel()
	notFound := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(notFound.Close)
	for _, tc := range []struct {
		name  string
		setup func(*world)
		image string // body of the resource
		want  string
	}{
		{name: "missing script", image: `profile = "dev"` + "\n" + `scripts = ["base", "develper"]`, want: `(?s)scripts\[1\].*develper.*developer`},
		{name: "missing script file", image: `profile = "dev"` + "\n" + `scripts = ["./nowhere.sh"]`, want: `nowhere.sh`},
		{name: "unknown profile", image: `profile = "devl"`, want: `(?s)devl.*dev`},
		{name: "unknown preseed", image: `profile = "dev"` + "\n" + `preseed = "debain"`, want: `debain`},
		{
			name:  "preseed that does not render",
			setup: func(w *world) { w.write("preseeds.d/mine.cfg.tmpl", "d-i x string {{ .Nope }}\n") },
			image: `profile = "dev"` + "\n" + `preseed = "mine"`, want: `(?s)Cannot render the installer's answers.*Nope`,
		},
		{
			name:  "setting that Ubuntu's installer cannot express",
			image: `profile = "dev"` + "\n" + `installer = "autoinstall"` + "\n" + `tasksel = "standard"`,
			want:  `(?s)on .* line \d+.*tasksel = "standard".*Ubuntu's installer cannot do "standard"`,
		},
		{
			name:  "setting of the profile that Debian's installer cannot express",
			setup: func(w *world) { w.write("profiles.d/dev.yml", "dev:\n  iso: tiny\n  answers: seed\n") },
			image: `profile = "dev"`, want: `(?s)dev.yml:3:12: dev.answers: Debian's installer cannot do "seed"`,
		},
		{
			name:  "document with an unknown key",
			setup: func(w *world) { w.write("autoinstalls.d/mine.yml", "updates: all\nlate-command: [reboot]\n") },
			image: `profile = "dev"` + "\n" + `installer = "autoinstall"` + "\n" + `autoinstall = "mine"`,
			want:  `(?s)autoinstall = "mine".*mine.yml:2:1: late-command: unknown key`,
		},
		{name: "installer", image: `profile = "dev"` + "\n" + `installer = "kickstart"`, want: `(?s)installer.*debian.*autoinstall`},
		{
			name:  "YAML with an unknown field",
			setup: func(w *world) { w.write("profiles.d/dev.yml", "dev:\n  hostnam: x\n") },
			image: `profile = "dev"`, want: `(?s)dev.yml:2:3.*hostnam`,
		},
		{
			name:  "checksum with a prefix",
			image: `iso = { url = "https://example.test/a.iso", sha256 = "sha256:` + strings.Repeat("a", 64) + `" }`,
			want:  "must be 64 lower-case hexadecimal digits",
		},
		{name: "ISO without a checksum", image: `iso = { url = "https://example.test/a.iso" }`, want: "must be verified"},
		{
			name:  "checksum URL not found",
			image: `iso = { url = "https://example.test/a.iso", checksum_url = "` + notFound.URL + `/SHA256SUMS" }`,
			want:  "(?s)Cannot tell the ISO's digest.*404",
		},
		{name: "ISO file not found", image: `iso = { path = "/nowhere/a.iso" }`, want: `(?s)/nowhere/a.iso`},
		{name: "disk size", image: `profile = "dev"` + "\n" + `disk_size = "20 gigs"`, want: "Invalid disk size"},
		{name: "duration", image: `profile = "dev"` + "\n" + `script_timeout = "10"`, want: "Invalid duration"},
		{name: "on_error", image: `profile = "dev"` + "\n" + `on_error = "ignore"`, want: `(?s)on_error.*destroy.*keep`},
		{name: "architecture", image: `profile = "dev"` + "\n" + `arch = "amd64"`, want: "x86_64"},
		{name: "architecture the profile does not have", image: `profile = "dev"` + "\n" + `arch = "arm64"`, want: "arm64"},
		{
			name:  "architecture of another machine",
			setup: func(w *world) { w.host.arch = host.ARM64 },
			image: `profile = "dev"`, want: `(?s)No machine builds x86_64.*build.builders.x86_64.*emulation = true`,
		},
		{
			name:  "builder that is not there",
			setup: func(w *world) { w.write("pim.yml", "build: {builders: {x86_64: pve}}\n") },
			image: `profile = "dev"`, want: `(?s)pim.yml:1:28: build.builders.x86_64: "pve" is neither local nor a remote`,
		},
		{name: "lock on another input", image: `profile = "dev"` + "\n" + `inputs_lock = { arch = "arm64" }`, want: changedSummary},
		{name: "password without its version", image: `profile = "dev"` + "\n" + `password_wo = "x"`, want: "password_wo_version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tc.setup != nil {
				tc.setup(w)
			}
			w.test(t, resource.TestCase{
				TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_11_0)},
				Steps: []resource.TestStep{{
					Config:   w.hcl("resource \"pim_image\" \"dev\" {\n" + tc.image + "\n}\n"),
					PlanOnly: true, ExpectError: says(tc.want),
				}},
			})
			if w.builds.count() > 0 {
				t.Error("something was built")
			}
		})
	}
}

// Without QEMU a plan warns and an apply fails, unless the image is there already.
func TestAccImage_withoutQEMU(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.host.noQEMU = true
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage), PlanOnly: true, ExpectNonEmptyPlan: true},
		{Config: w.hcl(devImage), ExpectError: says(`(?s)cannot be built yet.*qemu-system-x86_64.*qemu-img`)},
		{PreConfig: func() { w.host.noQEMU = false }, Config: w.hcl(devImage)},
		{PreConfig: func() { w.host.noQEMU = true }, Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionNoop)},
	}})
}

func TestAccImage_emulationOfAnotherArchitecture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.host.arch = host.ARM64
	w.builds.tcg = true
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config: w.hcl(`
resource "pim_image" "dev" {
  profile   = "dev"
  emulation = true
}
`),
		ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(dev, tfjsonpath.New("accelerator"), knownvalue.StringExact("tcg"))},
	}}})
	if !w.builds.last().Emulation {
		t.Error("the builder was not allowed to emulate")
	}
}

func TestAccImage_withoutYAML(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("mine.sh", "#!/bin/sh\n")
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config: w.hcl(`
resource "pim_image" "dev" {
  arch      = "x86_64"
  hostname  = "plain"
  packages  = ["curl"]
  scripts   = ["` + w.config + `/mine.sh"]
  disk_size = "2G"
  iso = {
    url    = "https://example.test/a.iso"
    sha256 = "` + strings.Repeat("b", 64) + `"
  }
}
`),
		ConfigPlanChecks:  emptyAfter,
		ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(dev, tfjsonpath.New("name"), knownvalue.StringExact("plain"))},
		Check:             w.expect(1, 1),
	}}})
}

// The lock is made by the data source, which is not read again at apply.
func TestAccImage_fileChangedBetweenPlanAndApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.hcl(`
data "pim_profile" "dev" {
  name = "dev"
}
resource "pim_image" "dev" {
  profile     = "dev"
  inputs_lock = data.pim_profile.dev.inputs
}
`)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: config, ConfigPlanChecks: before(plancheck.ResourceActionCreate)},
		{
			PreConfig: func() { w.write("scripts.d/base.sh", "#!/bin/sh\necho 2\n") },
			Config:    config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				planCheck(func(plancheck.CheckPlanRequest) error {
					w.write("scripts.d/base.sh", "#!/bin/sh\necho 3\n")
					return nil
				}),
			}},
			ExpectError: says(changedSummary),
		},
		{Config: config},
	}})
}

func TestAccImage_destroyIsNotBlockedForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage)},
		{
			PreConfig: func() {
				w.remove("scripts.d/developer.sh")
				w.write("profiles.d/dev.yml", "dev:\n  iso: tiny\n  scripts: [gone]\n")
			},
			Config: w.hcl(devImage), Destroy: true, ExpectError: says("add -refresh=false"),
		},
		{
			PreConfig: func() { w.write("scripts.d/gone.sh", "#!/bin/sh\n") },
			Config:    w.hcl(devImage), Destroy: true,
		},
	}})
}

func TestAccImage_password(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := func(password string, version string) string {
		return w.hcl(`
resource "pim_image" "dev" {
  profile             = "dev"
  password_wo         = "` + password + `"
  password_wo_version = ` + version + `
}
`)
	}
	hashed := func() {
		if got := w.builds.last().Preseed.Values.PasswordHash; !strings.HasPrefix(got, "$6$") {
			t.Errorf("the password's hash is %q", got)
		}
	}
	w.test(t, resource.TestCase{
		TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_11_0)},
		Steps: []resource.TestStep{
			{
				Config: config("one", "1"),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(dev, tfjsonpath.New("password_wo"), knownvalue.Null()),
					statecheck.ExpectKnownValue(dev, tfjsonpath.New("inputs").AtMapKey("password_version"), knownvalue.StringExact("1")),
				},
			},
			{PreConfig: hashed, Config: config("two", "1"), ConfigPlanChecks: before(plancheck.ResourceActionNoop)},
			{
				Config:           config("two", "2"),
				ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[inputs password_version]")),
			},
		},
	})
}

func TestAccProvider_unknownFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{
		TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_4_0)},
		Steps: []resource.TestStep{{
			Config: `
resource "terraform_data" "dir" {
  input = "` + w.data + `"
}
provider "pim" {
  config_dir = "` + w.config + `"
  data_dir   = terraform_data.dir.output
}
` + devImage,
			ExpectError: says("Folder is not known yet"),
		}},
	})
}

func TestAccProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const profile = "data.pim_profile.dev"
	at := tfjsonpath.New[string]
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config: w.hcl(devImage + `
data "pim_profile" "dev" {
  name = "dev"
}
`),
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.CompareValuePairs(profile, at("inputs"), dev, at("inputs"), compare.ValuesSame()),
			statecheck.ExpectKnownValue(profile, at("arch"), knownvalue.StringExact("x86_64")),
			statecheck.ExpectKnownValue(profile, at("architectures"), knownvalue.ListExact([]knownvalue.Check{knownvalue.StringExact("x86_64")})),
			statecheck.ExpectKnownValue(profile, at("hostname"), knownvalue.StringExact("dev")),
			statecheck.ExpectKnownValue(profile, at("disk_size"), knownvalue.StringExact("1G")),
			statecheck.ExpectKnownValue(profile, at("iso").AtMapKey("filename"), knownvalue.StringExact("tiny.iso")),
			statecheck.ExpectKnownValue(profile, at("iso").AtMapKey("sha256"), knownvalue.StringExact(strings.Repeat("a", 64))),
			statecheck.ExpectKnownValue(profile, at("scripts").AtSliceIndex(1).AtMapKey("path"), knownvalue.StringExact(w.config+"/scripts.d/developer.sh")),
			statecheck.ExpectSensitiveValue(profile, at("rendered_preseed")),
		},
		Check: keepsNoSecret,
	}}})
}

// Without an ISO in the catalogue the image gives its own, also under a lock made of the rest.
func TestAccProfile_withoutISO(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.remove("isos.d/tiny.yml")
	w.write("profiles.d/dev.yml", "dev: {architectures: [x86_64], scripts: [base]}\n")
	const profile = "data.pim_profile.dev"
	data := `
data "pim_profile" "dev" {
  name = "dev"
}
`
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: w.hcl(data + `
resource "pim_image" "dev" {
  profile     = "dev"
  inputs_lock = data.pim_profile.dev.inputs
  iso = {
    url    = "https://example.test/a.iso"
    sha256 = "` + strings.Repeat("b", 64) + `"
  }
}
output "names" {
  value = join(" ", keys(data.pim_profile.dev.inputs))
}
`),
			ConfigPlanChecks: emptyAfter,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(profile, tfjsonpath.New("iso"), knownvalue.Null()),
				statecheck.ExpectKnownOutputValue("names", knownvalue.StringExact(
					"arch boot_args disk_size firmware format install preseed recipe script:base scripts")),
			},
			Check: w.expect(1, 1),
		},
		{
			PreConfig: func() {
				const entry = ": {url: /a.iso, architecture: x86_64}\n"
				w.write("isos.d/two.yml", "one"+entry+"two"+entry)
			},
			Config: w.hcl(data), ExpectError: says("several ISOs for x86_64: one, two"),
		},
	}})
}

func TestAccProfile_unknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config:      w.hcl("data \"pim_profile\" \"dev\" {\n  name = \"devl\"\n}\n"),
		ExpectError: says(`(?s)devl.*dev`),
	}}})
}
