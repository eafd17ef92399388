package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

const dev = "pim_image.dev"

const devImage = `
resource "pim_image" "dev" {
  profile = "dev"
}
`

// emptyAfter expects a plan without changes right after a step's apply.
var emptyAfter = resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}

// before expects an action, and more, of a step's plan.
func before(action plancheck.ResourceActionType, more ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             append([]plancheck.PlanCheck{plancheck.ExpectResourceAction(dev, action)}, more...),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

// planCheck is a plan check made of a function.
type planCheck func(plancheck.CheckPlanRequest) error

func (f planCheck) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	resp.Error = f(req)
}

// replacedFor expects that the plan replaces the image for these paths alone.
func replacedFor(paths ...string) plancheck.PlanCheck {
	return planCheck(func(req plancheck.CheckPlanRequest) error {
		for _, c := range req.Plan.ResourceChanges {
			if c.Address != dev {
				continue
			}
			var got []string
			for _, p := range c.Change.ReplacePaths {
				got = append(got, fmt.Sprint(p))
			}
			if strings.Join(got, " ") != strings.Join(paths, " ") {
				return fmt.Errorf("replaced for %v, want %v", got, paths)
			}
			return nil
		}
		return errors.New("the plan does not have the image")
	})
}

func check(f func() error) resource.TestCheckFunc {
	return func(*terraform.State) error { return f() }
}

// expect checks how much was built and is stored.
func (w *world) expect(builds, images int) resource.TestCheckFunc {
	return check(func() error {
		if got := w.builds.count(); got != builds {
			return fmt.Errorf("built %d times, want %d", got, builds)
		}
		if got := w.images(); len(got) != images {
			return fmt.Errorf("stored are %v, want %d", got, images)
		}
		return nil
	})
}

func (w *world) test(t *testing.T, c resource.TestCase) {
	t.Helper()
	c.ProtoV6ProviderFactories = w.providers()
	if c.CheckDestroy == nil {
		c.CheckDestroy = check(func() error {
			if left := append(w.stored(), w.references()...); len(left) > 0 {
				return fmt.Errorf("left behind: %v", left)
			}
			return nil
		})
	}
	resource.Test(t, c)
}

// keepsNoSecret checks that the profile's password is nowhere in the state.
func keepsNoSecret(s *terraform.State) error {
	for _, r := range s.RootModule().Resources {
		for name, v := range r.Primary.Attributes {
			if strings.Contains(v, profilePassword) || strings.Contains(v, "$6$") {
				return fmt.Errorf("%s holds the password: %s", name, v)
			}
		}
	}
	return nil
}

// says matches a diagnostic, however the CLI wraps its lines.
func says(text string) *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(text, " ", `[\s│╷╵]+`))
}
