package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

const deployment = "pim_deployment.dev"

// deploys is a configuration with the image "dev" and a deployment of it.
func (w *world) deploys(body string) string {
	return w.hcl(devImage + `
resource "pim_deployment" "dev" {
  image_id = pim_image.dev.id
` + body + `
}
`)
}

// file is a path in a folder of the test.
func (w *world) file(name string) string { return filepath.Join(filepath.Dir(w.data), "out", name) }

func (w *world) toFile(name, more string) string {
	return w.deploys(fmt.Sprintf("file {\npath = %q\n%s\n}\n", w.file(name), more))
}

// deploying expects an action on the deployment, and more, of a step's plan, and nothing to do after it.
func deploying(action plancheck.ResourceActionType, more ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             append([]plancheck.PlanCheck{plancheck.ExpectResourceAction(deployment, action)}, more...),
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func newImage(w *world, content string) func() {
	return func() { w.write("scripts.d/developer.sh", "#!/bin/sh\necho "+content+"\n") }
}

func planned(attribute string, v knownvalue.Check) plancheck.PlanCheck {
	return plancheck.ExpectKnownValue(deployment, tfjsonpath.New(attribute), v)
}

func plannedUnknown(attribute string) plancheck.PlanCheck {
	return plancheck.ExpectUnknownValue(deployment, tfjsonpath.New(attribute))
}

func has(attribute string, v knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(deployment, tfjsonpath.New(attribute), v)
}

// deployed checks a deployed file against the digest beside it.
func (w *world) deployed(name string) resource.TestCheckFunc {
	return check(func() error {
		data, err := os.ReadFile(w.file(name))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		beside, err := os.ReadFile(w.file(name + ".sha256"))
		if err != nil || !strings.HasPrefix(string(beside), hex.EncodeToString(sum[:])) {
			return fmt.Errorf("the digest beside it is %q: %w", beside, err)
		}
		return nil
	})
}

// registryHas checks for a line in registry.yml.
func (w *world) registryHas(want string) resource.TestCheckFunc {
	return check(func() error {
		data, err := os.ReadFile(filepath.Join(w.data, "registry.yml"))
		if err != nil || !strings.Contains(string(data), want) {
			return fmt.Errorf("registry.yml is %s, %w; want %q", data, err, want)
		}
		return nil
	})
}

func TestAccDeployment_life(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := statecheck.CompareValue(compare.ValuesSame())
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: w.toFile("dev.qcow2", ""),
			ConfigPlanChecks: deploying(plancheck.ResourceActionCreate,
				planned("type", knownvalue.StringExact("file")), planned("status", knownvalue.StringExact("ok")),
				planned("name", knownvalue.StringExact("dev")), planned("image_key", knownvalue.NotNull()), planned("ami_id", knownvalue.Null()),
				planned("settings", knownvalue.MapExact(map[string]knownvalue.Check{
					"path": knownvalue.StringExact(w.file("dev.qcow2")), "format": knownvalue.StringExact("qcow2"), "checksum": knownvalue.StringExact("true"),
				})),
				plannedUnknown("path"), plannedUnknown("id")),
			ConfigStateChecks: []statecheck.StateCheck{
				has("path", knownvalue.StringExact(w.file("dev.qcow2"))), has("name", knownvalue.StringExact("dev")),
				has("deployed_at", knownvalue.NotNull()), has("sha256", knownvalue.StringRegexp(regexp.MustCompile(`^[0-9a-f]{64}$`))),
				statecheck.CompareValuePairs(deployment, tfjsonpath.New("image_key"), dev, tfjsonpath.New("id"), compare.ValuesSame()),
				id.AddStateValue(deployment, tfjsonpath.New("id")),
			},
			Check: resource.ComposeTestCheckFunc(w.deployed("dev.qcow2"), w.registryHas("    file:\n      type: file\n")),
		},
		{Config: w.toFile("dev.qcow2", ""), ConfigPlanChecks: deploying(plancheck.ResourceActionNoop)},
		{
			Config:            w.toFile("dev.qcow2", "checksum = false"), // updated where it is
			ConfigPlanChecks:  deploying(plancheck.ResourceActionUpdate, planned("id", knownvalue.NotNull()), planned("sha256", knownvalue.NotNull())),
			ConfigStateChecks: []statecheck.StateCheck{id.AddStateValue(deployment, tfjsonpath.New("id"))},
		},
		{
			PreConfig: newImage(w, "new"), Config: w.toFile("dev.qcow2", ""),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("id"), plannedUnknown("path")),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.CompareValuePairs(deployment, tfjsonpath.New("image_key"), dev, tfjsonpath.New("id"), compare.ValuesSame()),
			},
			Check: w.deployed("dev.qcow2"),
		},
		{ // another place
			Config:           w.toFile("other.qcow2", ""),
			ConfigPlanChecks: deploying(plancheck.ResourceActionDestroyBeforeCreate),
			Check:            w.deployed("other.qcow2"),
		},
	}})
	if left, err := filepath.Glob(w.file("*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
