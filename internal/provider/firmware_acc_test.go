package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// What an image boots with is part of it, and a deployment takes it from there.
func TestAccFirmware(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Dir(w.file("x"))
	config := func(image string) string {
		return w.hcl(fmt.Sprintf("resource \"pim_image\" \"dev\" {\nprofile = \"dev\"\n%s\n}\n"+
			"resource \"pim_deployment\" \"dev\" {\nimage_id = pim_image.dev.id\nutm {\noutput_dir = %q\n}\n}\n", image, dir))
	}
	input := func(name string, v knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(dev, tfjsonpath.New("inputs").AtMapKey(name), v)
	}
	bundle := func(uefi, tpm bool) resource.TestCheckFunc {
		return check(func() error {
			data, err := os.ReadFile(filepath.Join(dir, "dev.utm", "config.plist"))
			if err != nil {
				return err
			}
			for key, want := range map[string]bool{"UEFIBoot": uefi, "TPMDevice": tpm} {
				if !regexp.MustCompile(fmt.Sprintf(`<key>%s</key>\s*<%t/>`, key, want)).Match(data) {
					return fmt.Errorf("%s is not %t", key, want)
				}
			}
			return nil
		})
	}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: config(`firmware = "coreboot"`), ExpectError: says(`(?s)firmware.*"bios" "uefi" "uefi-secure"`)},
		{Config: config(`firmware = "uefi"`), Check: bundle(true, false), ConfigStateChecks: []statecheck.StateCheck{input("firmware", knownvalue.StringExact("uefi"))}},
		{
			Config: config("firmware = \"uefi-secure\"\ntpm = true"), Check: bundle(true, true),
			ConfigPlanChecks: before(plancheck.ResourceActionReplace),
			ConfigStateChecks: []statecheck.StateCheck{
				input("firmware", knownvalue.StringExact("uefi-secure")), input("tpm", knownvalue.StringExact("true")),
			},
		},
		{Config: config(`firmware = "uefi-secure"`), ConfigPlanChecks: before(plancheck.ResourceActionReplace)}, // without a TPM it is another image
		{Config: config(`tpm = false`), Check: bundle(false, false), ConfigPlanChecks: before(plancheck.ResourceActionReplace)},
		{Config: config(""), ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{ // false is the default
			plancheck.ExpectResourceAction(deployment, plancheck.ResourceActionNoop),
		}}},
	}})
}

// The firmware of an image from elsewhere is that of the configuration; for a pim_image it is no question.
func TestAccFirmware_ofAnImageFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image, dir := filepath.Join(filepath.Dir(w.data), "cloud.qcow2"), filepath.Dir(w.file("x"))
	if err := os.WriteFile(image, emptyDisk(1<<30), 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(more string) string {
		return w.hcl(fmt.Sprintf("resource \"pim_deployment\" \"dev\" {\nimage_path = %q\n%s\nutm {\noutput_dir = %q\n}\n}\n", image, more, dir))
	}
	says := func(want string) resource.TestCheckFunc {
		return check(func() error {
			data, err := os.ReadFile(filepath.Join(dir, "cloud.utm", "config.plist"))
			if got := strings.Join(strings.Fields(string(data)), ""); err != nil || !strings.Contains(got, want) {
				return fmt.Errorf("no %s: %w", want, err)
			}
			return nil
		})
	}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.deploys("tpm = true\nutm {\noutput_dir = \"/x\"\n}"), ExpectError: regexp.MustCompile(`"image_path" must be specified`)},
		{Config: config(`arch = "x86_64"`), Check: says("<key>TPMDevice</key><false/>")},
		{
			Config: config("arch = \"x86_64\"\ntpm = true"), Check: says("<key>TPMDevice</key><true/>"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("id")),
		},
	}})
}
