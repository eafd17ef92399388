package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"
)

// A base that cannot be, and settings that it cannot take, are errors of the plan at their attribute.
func TestAccImage_badBase(t *testing.T) {
	t.Parallel()
	const inline = "base = { source = \"cloud.qcow2\", sha256 = \"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\" }\n"
	for _, tc := range []struct{ name, profile, image, want string }{
		{"base and iso", "", inline + `iso = { name = "tiny" }`, `"iso" cannot be specified when "base" is specified`},
		{"no digest", "", `base = { source = "https://example.test/c.img" }`, `(?s)base = .*has no checksum \(add sha256, or checksum_url`},
		{"two digests", "", `base = { source = "/c", sha256 = "` + strings.Repeat("c", 64) + `", checksum_url = "https://example.test/S" }`, `(?s)checksum_url.*cannot be specified when`},
		{"digest with a prefix", "", `base = { source = "/c.img", sha256 = "sha256:x" }`, "must be 64 lower-case hexadecimal digits"},
		{"no file", "", `base = { source = "/nowhere/c.img" }`, `(?s)base = .*Cannot tell the checksum of base image "c.img".*/nowhere/c.img`},
		{"scheme", "", `base = { source = "ftp://example.test/c.img" }`, `neither http, https, file:/// nor a path`},
		{"tasksel", "", inline + `tasksel = "standard"`, `(?s)tasksel = .*cannot be had with a base image.*use packages`},
		{"boot_args", "", inline + `boot_args = ["quiet"]`, `(?s)boot_args = .*cannot be had with a base image`},
		{"profile's preseed", "preseed: debian\n", inline, `(?s)profile = .*dev.yml:5:12: dev.preseed: cannot be had with a base image`},
		{"password without an account", "", inline + "password_wo = \"x\"\npassword_wo_version = 1", `(?s)password_wo_version = .*is for an account that nothing names`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("profiles.d/dev.yml", "dev:\n  hostname: dev\n  architectures: [x86_64]\n  iso: tiny\n"+indent(tc.profile))
			w.test(t, resource.TestCase{
				TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_11_0)},
				Steps: []resource.TestStep{{
					Config:   w.hcl("resource \"pim_image\" \"dev\" {\nprofile = \"dev\"\n" + tc.image + "\n}\n"),
					PlanOnly: true, ExpectError: says(tc.want),
				}},
			})
		})
	}
}

// indent makes a line of a profile.
func indent(line string) string {
	if line == "" {
		return ""
	}
	return "  " + line
}

// An image is stale when its base, or what its base is told, has changed.
func TestAccImage_base(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := func(hostname string) string {
		return w.hcl(`
resource "pim_image" "dev" {
  arch     = "x86_64"
  hostname = "` + hostname + `"
  packages = ["nginx"]
  scripts  = ["base"]
  base     = { source = "` + w.config + `/cloud.img" }
}
output "names" {
  value = join(" ", keys(pim_image.dev.inputs))
}
`)
	}
	w.write("cloud.img", "of March")
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: config("web"), ConfigPlanChecks: emptyAfter, Check: w.expect(1, 1),
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownOutputValue("names", knownvalue.StringExact(
				"arch base disk_size firmware format recipe script:base scripts seed"))},
		},
		{
			PreConfig: func() {
				w.write("cloud.img", "of April")
				if s := w.builds.last(); s.Base.Path != w.config+"/cloud.img" || s.Preseed.Values.Username != "" || s.Install.Name != "" {
					t.Errorf("built from %+v", s.Base)
				}
			},
			Config:           config("web"),
			ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[inputs base]")),
		},
		{
			Config:           config("other"),
			ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[inputs seed]")),
		},
	}})
}

// Golden images in layers: one image is the other's base, also while neither is there.
func TestAccImage_baseOfAnotherImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.hcl(`
resource "pim_image" "first" {
  profile = "dev"
}
resource "pim_image" "dev" {
  arch     = "x86_64"
  hostname = "second"
  scripts  = ["developer"]
  base     = { source = pim_image.first.path, sha256 = pim_image.first.sha256 }
}
`)
	unknownBase := plancheck.ExpectUnknownValue(dev, tfjsonpath.New("inputs").AtMapKey("base"))
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: config, ConfigPlanChecks: before(plancheck.ResourceActionCreate, unknownBase), Check: w.expect(2, 2),
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(dev, tfjsonpath.New("inputs").AtMapKey("base"), knownvalue.NotNull())},
		},
		{
			PreConfig: func() { // the disk's size changes the content that the fake builds
				w.write("profiles.d/dev.yml", "dev: {iso: tiny, scripts: [base], build: {disk_size: 2G}}\n")
			},
			Config:           config,
			ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate, unknownBase, replacedFor("[inputs base]")),
			Check: check(func() error {
				if s := w.builds.last(); s.Base.SHA256 == "" || !strings.Contains(s.Base.Path, "/cache/images/dev-x86_64-") {
					return fmt.Errorf("built from %+v", s.Base)
				}
				return nil
			}),
		},
	}})
}

func TestAccProfile_base(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sum := strings.Repeat("c", 64)
	w.write("profiles.d/cloud.yml", "cloud:\n  base: {source: 'https://example.test/cloud.img', sha256: "+sum+"}\n  architectures: [x86_64]\n  scripts: [base]\n")
	const profile = "data.pim_profile.cloud"
	at := tfjsonpath.New[string]
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config: w.hcl(`
data "pim_profile" "cloud" {
  name = "cloud"
}
resource "pim_image" "dev" {
  profile     = data.pim_profile.cloud.name
  inputs_lock = data.pim_profile.cloud.inputs
}
resource "pim_image" "installed" {
  profile = data.pim_profile.cloud.name
  iso     = { name = "tiny" }
}
output "installed" {
  value = contains(keys(pim_image.installed.inputs), "iso") && !contains(keys(pim_image.installed.inputs), "base")
}
`),
		ConfigPlanChecks: emptyAfter,
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.CompareValuePairs(profile, at("inputs"), dev, at("inputs"), compare.ValuesSame()),
			statecheck.ExpectKnownValue(profile, at("base").AtMapKey("source"), knownvalue.StringExact("https://example.test/cloud.img")),
			statecheck.ExpectKnownValue(profile, at("base").AtMapKey("sha256"), knownvalue.StringExact(sum)),
			statecheck.ExpectKnownValue(profile, at("iso"), knownvalue.Null()),
			statecheck.ExpectKnownValue(profile, at("install"), knownvalue.Null()),
			statecheck.ExpectKnownValue(profile, at("rendered_preseed"), knownvalue.Null()),
			statecheck.ExpectKnownValue(profile, at("username"), knownvalue.Null()),
			statecheck.ExpectKnownOutputValue("installed", knownvalue.Bool(true)),
		},
	}}})
}
