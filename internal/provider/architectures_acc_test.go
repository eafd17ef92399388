package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// One profile whose ISO is there for both architectures: an image of each, and one more when the profile gets another.
// People write for_each (see examples/two-architectures), which the test library cannot look into; count asks no less
// of the plan.
func TestAccProfile_eachArchitecture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("isos.d/tiny.yml", `
tiny:
  architectures:
    x86_64: {url: "https://example.test/tiny-amd64.iso", checksum: "sha256:`+strings.Repeat("a", 64)+`"}
    arm64: {url: "https://example.test/tiny-arm64.iso", checksum: "sha256:`+strings.Repeat("b", 64)+`"}
`)
	const images = `
data "pim_profile" "dev" {
  name = "dev"
}

resource "pim_image" "dev" {
  count     = length(data.pim_profile.dev.architectures)
  profile   = data.pim_profile.dev.name
  arch      = data.pim_profile.dev.architectures[count.index]
  emulation = true
}
`
	one, other := `pim_image.dev[0]`, `pim_image.dev[1]`
	at := tfjsonpath.New[string]
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(images), Check: w.expect(1, 1)},
		{
			PreConfig: func() {
				w.write("profiles.d/dev.yml", "dev: {iso: tiny, architectures: [x86_64, arm64], scripts: [base]}\n")
			},
			Config: w.hcl(images),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(other, plancheck.ResourceActionCreate),
			}},
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.CompareValuePairs(one, at("id"), other, at("id"), compare.ValuesDiffer()),
				statecheck.ExpectKnownValue(one, at("inputs").AtMapKey("iso"), knownvalue.StringExact("sha256:"+strings.Repeat("a", 64))),
				statecheck.ExpectKnownValue(other, at("inputs").AtMapKey("iso"), knownvalue.StringExact("sha256:"+strings.Repeat("b", 64))),
				statecheck.ExpectKnownValue(one, at("inputs").AtMapKey("firmware"), knownvalue.StringExact("bios")),
				statecheck.ExpectKnownValue(other, at("inputs").AtMapKey("firmware"), knownvalue.StringExact("uefi")),
			},
		},
	}})
}
