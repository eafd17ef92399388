package provider

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/pim-tools/terraform-provider-pim/internal/media/mediatest"
)

// TestAccImage_autoinstall lives with an image from a local ISO that holds Ubuntu's installer: nothing says so.
func TestAccImage_autoinstall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	iso := mediatest.ISO(t, map[string][]byte{"casper/vmlinuz": []byte("x"), "casper/initrd": []byte("x")})
	w.write("isos.d/tiny.yml", "tiny: {url: "+iso+", architecture: x86_64}\n")
	const document = "network: {version: 2, wifis: {all: {access-points: {site: {password: from-the-document}}}}}\n"
	w.write("autoinstalls.d/mine.yml", document)
	config := w.hcl(`
resource "pim_image" "dev" {
  profile     = "dev"
  autoinstall = "mine"
  answers     = "seed"
}
data "pim_profile" "dev" {
  name = "dev"
}
`)
	const profile = "data.pim_profile.dev"
	at := tfjsonpath.New[string]
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: config,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(dev, at("inputs").AtMapKey("autoinstall"), knownvalue.NotNull()),
				statecheck.CompareValuePairs(profile, at("inputs").AtMapKey("install"), dev, at("inputs").AtMapKey("install"), compare.ValuesSame()),
				statecheck.ExpectKnownValue(profile, at("installer"), knownvalue.StringExact("autoinstall")),
				statecheck.ExpectKnownValue(profile, at("username"), knownvalue.StringExact("ubuntu")),
				statecheck.ExpectKnownValue(profile, at("rendered_preseed"), knownvalue.Null()),
				statecheck.ExpectSensitiveValue(profile, at("rendered_autoinstall")),
			},
			Check: keepsNoSecret,
		},
		{
			// The document's secret is none of the inputs; what else it says is one.
			PreConfig: func() {
				if s := w.builds.last(); s.Autoinstall == nil || !s.Autoinstall.Seed || string(s.Autoinstall.Over) != document {
					t.Errorf("built with %+v", s.Autoinstall)
				}
				w.write("autoinstalls.d/mine.yml", strings.Replace(document, "from-the-document", "another", 1))
			},
			Config: config, ConfigPlanChecks: before(plancheck.ResourceActionNoop),
		},
		{
			PreConfig:        func() { w.write("autoinstalls.d/mine.yml", "updates: security\n") },
			Config:           config,
			ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[inputs autoinstall]")),
		},
	}})
}

// TestAccImage_autoinstallOfALaterISO does not know when it plans what the ISO will be, and so not which installer.
func TestAccImage_autoinstallOfALaterISO(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	iso := mediatest.ISO(t, map[string][]byte{"casper/vmlinuz": []byte("x"), "casper/initrd": []byte("x")})
	w.testLater(t, resource.TestStep{
		Config: w.hcl(`
resource "terraform_data" "iso" {
  input = "` + filepath.ToSlash(iso) + `"
}
resource "pim_image" "dev" {
  profile = "dev"
  iso     = { path = terraform_data.iso.output }
}
`),
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue(dev, tfjsonpath.New("inputs").AtMapKey("autoinstall"), knownvalue.NotNull()),
		},
	})
}

// TestAccImage_autoinstallUnknown: a setting that is not known yet makes the answers unknown under their own name.
func TestAccImage_autoinstallUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inputs := tfjsonpath.New("inputs")
	w.testLater(t, resource.TestStep{
		Config: w.hcl(`
resource "terraform_data" "name" {
  input = "Ada Lovelace"
}
resource "pim_image" "dev" {
  profile   = "dev"
  installer = "autoinstall"
  fullname  = terraform_data.name.output
}
`),
		ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
			plancheck.ExpectUnknownValue(dev, inputs.AtMapKey("autoinstall")),
			plancheck.ExpectKnownValue(dev, inputs.AtMapKey("arch"), knownvalue.StringExact("x86_64")),
		}},
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue(dev, inputs.AtMapKey("autoinstall"), knownvalue.NotNull()),
		},
	})
}
