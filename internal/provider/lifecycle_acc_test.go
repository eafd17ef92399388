package provider

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
)

func TestAccImage_replacementOfAnUnchangedImageIsACacheHit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.hcl(`
resource "pim_image" "dev" {
  profile = "dev"
  lifecycle {
    create_before_destroy = true
  }
}
`)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: config, Check: w.expect(1, 1)},
		{
			Taint: []string{dev}, Config: config, Check: w.expect(1, 1),
			ConfigPlanChecks: before(plancheck.ResourceActionCreateBeforeDestroy),
		},
	}})
}

func TestAccImage_resourcesShareAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := `
resource "pim_image" "second" {
  profile = "dev"
}
`
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage + second), Check: w.expect(1, 1), ConfigPlanChecks: emptyAfter},
		{Config: w.hcl(devImage), Check: w.expect(1, 1), ConfigPlanChecks: before(plancheck.ResourceActionNoop)},
	}})
}

func TestAccImage_keepOnDestroy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{
		Steps: []resource.TestStep{{Config: w.hcl(`
resource "pim_image" "dev" {
  profile         = "dev"
  keep_on_destroy = true
}
`)}},
		CheckDestroy: check(func() error {
			if got := w.images(); len(got) != 1 {
				return fmt.Errorf("stored are %v", got)
			}
			if got := w.references(); len(got) != 0 {
				return fmt.Errorf("references are left: %v", got)
			}
			return nil
		}),
	})
}

func TestAccImage_import(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	short := func(s *terraform.State) (string, error) {
		return s.RootModule().Resources[dev].Primary.ID[:12], nil
	}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage)},
		{ResourceName: dev, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"reference"}},
		{ResourceName: dev, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"reference"}, ImportStateIdFunc: short},
		{ResourceName: dev, ImportState: true, ImportStateId: strings.Repeat("0", 64), ExpectError: says("No image with this key is stored")},
		{ResourceName: dev, ImportState: true, ImportStateId: "dev", ExpectError: says("is found by its key")},
	}})
}

// What goes wrong after the image was made taints no image: the next apply would destroy it.
func TestAccImage_failureAfterTheImageIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.builds.after = &build.Error{Step: "clean-up", Err: errors.New("cannot end the guest"), Hint: "End it yourself."}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage), Check: w.expect(1, 1)},
		{
			PreConfig: func() { w.builds.after = nil },
			Config:    w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionNoop),
		},
	}})
}

func TestAccImage_failureWithoutAnImageLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.builds.fail = &build.Error{Step: "scripts", Err: errors.New("script developer: exit status 3"), Output: []string{"no such package"}}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage), ExpectError: says(`(?s)scripts failed.*exit status 3.*no such package`)},
		{
			PreConfig: func() {
				w.builds.fail = nil
				if left := append(w.stored(), w.references()...); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			},
			Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionCreate),
		},
	}})
}
