package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"
)

// later is a value that is only known after the apply that changes it.
func later(value string) string {
	return fmt.Sprintf("resource \"terraform_data\" \"later\" {\ninput = %q\n}\n", value)
}

func (w *world) testLater(t *testing.T, steps ...resource.TestStep) {
	t.Helper()
	w.test(t, resource.TestCase{
		TerraformVersionChecks: []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_4_0)}, Steps: steps,
	})
	if left := w.cluster.ids(); len(left) > 0 {
		t.Errorf("the cluster still has %v", left)
	}
}

func TestAccDeployment_unknownSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env["PROXMOX_VE_API_TOKEN"] = secretToken
	config := func(field, value string) string {
		fields := map[string]string{"endpoint": `"https://pve.example.test"`, "node": `"pve1"`, "storage": `"lvm"`, field: "terraform_data.later.output"}
		body := ""
		for name, v := range fields {
			body += name + " = " + v + "\n"
		}
		return w.deploys("proxmox {\n"+body+"}\n") + later(value)
	}
	w.testLater(
		t,
		resource.TestStep{
			Config: config("bridge", "vmbr1"), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate, plannedUnknown("settings"), plannedUnknown("id")),
		},
		resource.TestStep{ // what is updated in place leaves the ids known
			Config:           config("bridge", "vmbr2"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("settings"), planned("template_id", knownvalue.Int64Exact(9000))),
		},
		resource.TestStep{
			Config:           config("cloud_init_storage", "other"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("settings"), plannedUnknown("template_id")),
		},
		resource.TestStep{ // the place may be another one, so it has to be taken for that
			Config:           config("endpoint", "https://other.example.test"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionDestroyBeforeCreate, replacedAt("[[settings]]")),
		},
	)
}

func TestAccDeployment_unknownNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.write("targets.d/other.yml", "other: {type: proxmox, host: pve.example.test, node: pve1, storage: lvm, api_token: '"+secretToken+"', memory: 4096}\n")
	config := func(body, value string) string { return w.deploys(body) + later(value) }
	w.testLater(
		t,
		resource.TestStep{
			Config:           config("target = \"pve\"\nname = terraform_data.later.output", "web"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionCreate, plannedUnknown("name")),
		},
		resource.TestStep{
			Config:           config("target = \"pve\"\nname = terraform_data.later.output", "db"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("name"), plannedUnknown("id")),
			Check:            w.leaves(1),
		},
		resource.TestStep{
			Config: config("target = terraform_data.later.output\nname = \"db\"", "other"), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionDestroyBeforeCreate, plannedUnknown("type")),
		},
	)
}

func TestAccDeployment_unknownImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	config := func(value string) string {
		return strings.Replace(w.onCluster(""), `profile = "dev"`, "profile = \"dev\"\ntriggers = { x = terraform_data.later.output }", 1) + later(value)
	}
	w.testLater(
		t,
		resource.TestStep{Config: config("1"), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate, plannedUnknown("image_key"), plannedUnknown("name"))},
		resource.TestStep{
			Config: config("2"), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("image_key"), planned("name", knownvalue.StringExact("dev"))),
		},
	)
}

// Any stored image can be named by its key, and one that is not stored cannot be told from one that is yet to be built.
func TestAccDeployment_imageByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	key := ""
	remember := func(s *terraform.State) error {
		key = s.RootModule().Resources[dev].Primary.ID
		return nil
	}
	byKey := func(key string) string {
		return w.hcl(devImage + fmt.Sprintf("resource \"pim_deployment\" \"dev\" {\nimage_id = %q\ntarget = \"pve\"\n}\n", key))
	}
	short := byKey("@")
	w.testLater(
		t,
		resource.TestStep{Config: byKey(oldKey), ExpectError: says(`No image with this key is stored`)},
		resource.TestStep{Config: w.onCluster(""), Check: remember},
		resource.TestStep{
			PreConfig: func() { w.write("key.txt", key[:12]) }, ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("id", knownvalue.NotNull())),
			Config: strings.Replace(short, `"@"`, fmt.Sprintf("file(%q)", w.config+"/key.txt"), 1),
		},
	)
}
