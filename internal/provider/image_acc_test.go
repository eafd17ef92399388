package provider

import (
	"os"
	"regexp"
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

func TestAccImage_isBuiltOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: w.hcl(devImage),
			ConfigPlanChecks: before(plancheck.ResourceActionCreate,
				plancheck.ExpectKnownValue(dev, tfjsonpath.New("id"), knownvalue.StringRegexp(regexp.MustCompile(`^[0-9a-f]{64}$`))),
				plancheck.ExpectKnownValue(dev, tfjsonpath.New("arch"), knownvalue.StringExact("x86_64")),
				plancheck.ExpectUnknownValue(dev, tfjsonpath.New("path"))),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(dev, tfjsonpath.New("name"), knownvalue.StringExact("dev")),
				statecheck.ExpectKnownValue(dev, tfjsonpath.New("status"), knownvalue.StringExact("ok")),
				statecheck.ExpectKnownValue(dev, tfjsonpath.New("format"), knownvalue.StringExact("qcow2")),
				statecheck.ExpectKnownValue(dev, tfjsonpath.New("virtual_size_bytes"), knownvalue.Int64Exact(1<<30)),
				statecheck.ExpectKnownValue(dev, tfjsonpath.New("inputs").AtMapKey("scripts"), knownvalue.StringExact("base developer")),
				statecheck.ExpectKnownValue(dev, tfjsonpath.New("inputs").AtMapKey("iso"), knownvalue.StringExact("sha256:"+strings.Repeat("a", 64))),
				statecheck.ExpectKnownValue(dev, tfjsonpath.New("path"), knownvalue.StringRegexp(regexp.MustCompile(`/dev-x86_64-[0-9a-f]{12}\.qcow2$`))),
			},
			Check: w.expect(1, 1),
		},
		{Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionNoop), Check: w.expect(1, 1)},
	}})
}

func TestAccImage_identity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{
		TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_12_0)},
		Steps: []resource.TestStep{
			{
				Config:            w.hcl(devImage),
				ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectIdentityValueMatchesState(dev, tfjsonpath.New("id"))},
			},
			{ResourceName: dev, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity},
		},
	})
}

func TestAccImage_changedScriptIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	differ := statecheck.CompareValue(compare.ValuesDiffer())
	same := statecheck.CompareValue(compare.ValuesSame())
	id, base := tfjsonpath.New("id"), tfjsonpath.New("inputs").AtMapKey("script:base")
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config:            w.hcl(devImage),
			ConfigStateChecks: []statecheck.StateCheck{differ.AddStateValue(dev, id), same.AddStateValue(dev, base)},
		},
		{
			PreConfig:         func() { w.write("scripts.d/developer.sh", "#!/bin/sh\necho changed\n") },
			Config:            w.hcl(devImage),
			ConfigPlanChecks:  before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[inputs script:developer]")),
			ConfigStateChecks: []statecheck.StateCheck{differ.AddStateValue(dev, id), same.AddStateValue(dev, base)},
			Check:             w.expect(2, 1),
		},
	}})
}

func TestAccImage_addedScriptIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("scripts.d/x.sh", "#!/bin/sh\n")
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage)},
		{
			Config: w.hcl(`
resource "pim_image" "dev" {
  profile = "dev"
  scripts = ["base", "developer", "x"]
}
`),
			ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[inputs script:x]", "[inputs scripts]")),
		},
		{
			Config:           w.hcl(devImage),
			ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[inputs script:x]", "[inputs scripts]")),
		},
	}})
}

func TestAccImage_driftOfTheFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	same := statecheck.CompareValue(compare.ValuesSame())
	again := func(change func(file string)) resource.TestStep {
		return resource.TestStep{
			PreConfig:         func() { change(w.images()[0]) },
			Config:            w.hcl(devImage),
			ConfigPlanChecks:  before(plancheck.ResourceActionDestroyBeforeCreate, replacedFor("[status]")),
			ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(dev, tfjsonpath.New("id"))},
		}
	}
	missing := again(func(file string) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	})
	missing.Check = w.expect(2, 1)
	corrupt := again(func(file string) {
		disk := emptyDisk(1 << 30)
		disk[len(disk)-1] = 1 // as long as before, so only its content tells
		if err := os.WriteFile(file, disk, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	corrupt.Check = w.expect(3, 1)
	short := again(func(file string) {
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
	})
	short.Check = w.expect(4, 1)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage), ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(dev, tfjsonpath.New("id"))}},
		missing, corrupt, short,
	}})
}

func TestAccImage_destroyAfterTheFileIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage)},
		{
			PreConfig: func() {
				if err := os.Remove(w.images()[0]); err != nil {
					t.Fatal(err)
				}
			},
			Config: w.hcl(devImage), Destroy: true,
		},
	}})
}

func TestAccImage_touchedFileIsNoDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage)},
		{
			PreConfig: func() {
				if err := os.WriteFile(w.images()[0], emptyDisk(1<<30), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionNoop),
		},
	}})
}

func TestAccImage_howToBuildIsUpdatedInPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(devImage)},
		{
			Config: w.hcl(`
resource "pim_image" "dev" {
  profile         = "dev"
  verify          = false
  on_error        = "keep"
  emulation       = true
  memory          = 4096
  cpus            = 4
  script_timeout  = "1h"
  keep_on_destroy = false
  disk_size       = "1024M" # what the profile says, too

  timeouts {
    create = "90m"
  }
}
`),
			ConfigPlanChecks: before(plancheck.ResourceActionUpdate,
				plancheck.ExpectKnownValue(dev, tfjsonpath.New("path"), knownvalue.NotNull()),
				plancheck.ExpectKnownValue(dev, tfjsonpath.New("sha256"), knownvalue.NotNull())),
			Check: w.expect(1, 1),
		},
	}})
}

func TestAccImage_unknownTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := func(v string) string {
		return w.hcl(`
resource "terraform_data" "week" {
  input = "` + v + `"
}
resource "pim_image" "dev" {
  profile  = "dev"
  triggers = { week = terraform_data.week.output }
}
`)
	}
	inputs := tfjsonpath.New("inputs")
	unknown := []plancheck.PlanCheck{
		plancheck.ExpectUnknownValue(dev, tfjsonpath.New("id")),
		plancheck.ExpectUnknownValue(dev, inputs.AtMapKey("trigger:week")),
		plancheck.ExpectKnownValue(dev, inputs.AtMapKey("scripts"), knownvalue.StringExact("base developer")),
	}
	w.test(t, resource.TestCase{
		TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_4_0)},
		Steps: []resource.TestStep{
			{Config: config("1"), ConfigPlanChecks: before(plancheck.ResourceActionCreate, unknown...), Check: w.expect(1, 1)},
			{
				Config: config("2"), Check: w.expect(2, 1),
				ConfigPlanChecks: before(plancheck.ResourceActionDestroyBeforeCreate,
					append(unknown, replacedFor("[inputs trigger:week]"))...),
			},
		},
	})
}

func TestAccImage_unknownProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{
		TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_4_0)},
		Steps: []resource.TestStep{{
			Config: w.hcl(`
resource "terraform_data" "name" {
  input = "dev"
}
resource "pim_image" "dev" {
  profile = terraform_data.name.output
}
`),
			ConfigPlanChecks: before(plancheck.ResourceActionCreate,
				plancheck.ExpectUnknownValue(dev, tfjsonpath.New("inputs")), plancheck.ExpectUnknownValue(dev, tfjsonpath.New("arch"))),
		}},
	})
}
