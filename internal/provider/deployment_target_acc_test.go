package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

const secretToken = "root@pam!pim=00000000-0000-0000-0000-000000c0ffee"

// pve writes a target to targets.d.
func (w *world) pve(fields string) {
	w.write("targets.d/pve.yml", "pve: {type: proxmox, host: pve.example.test, node: pve1, storage: lvm, api_token: '"+secretToken+"', "+fields+"}\n")
}

// onCluster is a deployment to the target "pve".
func (w *world) onCluster(more string) string { return w.deploys("target = \"pve\"\n" + more) }

// leaves checks that the cluster holds so many templates.
func (w *world) leaves(n int) resource.TestCheckFunc {
	return check(func() error {
		if got := w.cluster.ids(); len(got) != n {
			return fmt.Errorf("the cluster has %v, want %d", got, n)
		}
		return nil
	})
}

// testCluster runs steps, after which nothing may be left.
func (w *world) testCluster(t *testing.T, steps ...resource.TestStep) {
	t.Helper()
	w.test(t, resource.TestCase{Steps: steps})
	if left := w.cluster.ids(); len(left) > 0 {
		t.Errorf("the cluster still has %v", left)
	}
	if err := w.registryHas("deployments: {}")(nil); err != nil {
		t.Error(err)
	}
}

func replacedAt(want string) plancheck.PlanCheck {
	return planCheck(func(req plancheck.CheckPlanRequest) error {
		for _, c := range req.Plan.ResourceChanges {
			if c.Address == deployment {
				if got := fmt.Sprint(c.Change.ReplacePaths); got != want {
					return fmt.Errorf("replaced for %s, want %s", got, want)
				}
				return nil
			}
		}
		return errors.New("the plan does not have the deployment")
	})
}

var sameID, anotherID = compare.ValuesSame(), compare.ValuesDiffer()

func TestAccDeployment_settingsOfTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("memory: 1024")
	id := tfjsonpath.New("template_id")
	same, differs := statecheck.CompareValue(sameID), statecheck.CompareValue(anotherID)
	w.testCluster(
		t,
		resource.TestStep{
			Config:            w.onCluster(""),
			ConfigPlanChecks:  deploying(plancheck.ResourceActionCreate),
			ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(deployment, id), has("node", knownvalue.StringExact("pve1")), has("vmid", knownvalue.Int64Exact(9000))},
			Check:             w.registryHas("    pve:\n      type: template\n      template_id: 9000\n"),
		},
		resource.TestStep{ // what Update does leaves the ids alone
			PreConfig: func() { w.pve("memory: 2048") }, Config: w.onCluster(""),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000)),
				planned("settings", knownvalue.MapPartial(map[string]knownvalue.Check{"memory": knownvalue.StringExact("2048")}))),
			ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(deployment, id), differs.AddStateValue(deployment, id)},
		},
		resource.TestStep{ // how to get there is no matter of the template's
			PreConfig: func() { w.pve("memory: 2048, insecure: true") }, Config: w.onCluster(""),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000))),
		},
		resource.TestStep{ // another storage takes another template
			PreConfig: func() { w.pve("memory: 2048, insecure: true, cloud_init_storage: other") }, Config: w.onCluster(""),
			ConfigPlanChecks:  deploying(plancheck.ResourceActionUpdate, plannedUnknown("template_id"), plannedUnknown("id")),
			ConfigStateChecks: []statecheck.StateCheck{differs.AddStateValue(deployment, id)},
			Check:             w.leaves(1),
		},
		resource.TestStep{ // another cluster is another place
			PreConfig: func() {
				w.write("targets.d/pve.yml", "pve: {type: proxmox, host: other.example.test, node: pve1, storage: lvm, api_token: '"+secretToken+"'}\n")
			},
			Config: w.onCluster(""), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionDestroyBeforeCreate, replacedAt("[[settings endpoint]]")),
		},
	)
}

func TestAccDeployment_keepsOldGenerations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	first := statecheck.CompareValue(compare.ValuesSame())
	w.testCluster(
		t,
		resource.TestStep{
			Config:            w.onCluster("keep = 1"),
			ConfigStateChecks: []statecheck.StateCheck{first.AddStateValue(deployment, tfjsonpath.New("id")), has("previous", knownvalue.ListSizeExact(0))},
		},
		resource.TestStep{
			PreConfig: newImage(w, "second"), Config: w.onCluster("keep = 1"), Check: w.leaves(2),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate),
			ConfigStateChecks: []statecheck.StateCheck{
				has("previous", knownvalue.ListSizeExact(1)),
				first.AddStateValue(deployment, tfjsonpath.New("previous").AtSliceIndex(0).AtMapKey("id")),
			},
		},
		resource.TestStep{
			PreConfig: newImage(w, "third"), Config: w.onCluster("keep = 1"), Check: w.leaves(2),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate),
		},
		resource.TestStep{ // to keep more is a matter of the next image
			Config: w.onCluster("keep = 3"), Check: w.leaves(2),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("previous", knownvalue.ListSizeExact(1))),
		},
		resource.TestStep{ // to keep fewer is done at once
			Config: w.onCluster(""), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("id", knownvalue.NotNull()), plannedUnknown("previous")),
		},
	)
}

func TestAccDeployment_changedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.testCluster(
		t,
		resource.TestStep{Config: w.onCluster("")},
		resource.TestStep{
			PreConfig: func() { w.cluster.change(func(t *fakeTemplate) { t.memory = 1 }) }, Config: w.onCluster(""),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("id", knownvalue.NotNull()), planned("status", knownvalue.StringExact("ok")),
				drifted("memory is 1, not 2048")),
		},
		resource.TestStep{
			PreConfig: func() { w.cluster.set(func() { clear(w.cluster.templates) }) }, Config: w.onCluster(""), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("id"), plannedUnknown("template_id")),
		},
	)
}

// drifted expects the drift that a refresh found.
func drifted(want string) plancheck.PlanCheck {
	return planCheck(func(req plancheck.CheckPlanRequest) error {
		for _, c := range req.Plan.ResourceChanges {
			if c.Address == deployment {
				before := c.Change.Before.(map[string]any)
				if got := fmt.Sprint(before["status"], " ", before["drift"]); got != "changed ["+want+"]" {
					return fmt.Errorf("the refresh found %s, want %s", got, want)
				}
			}
		}
		return nil
	})
}

func TestAccDeployment_failureKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	same := statecheck.CompareValue(sameID)
	id := tfjsonpath.New("id")
	fails := func(rest bool) func() {
		return func() {
			newImage(w, "second")()
			w.cluster.set(func() { w.cluster.fail, w.cluster.rest = errors.New("the storage broke"), rest })
		}
	}
	w.testCluster(
		t,
		resource.TestStep{Config: w.onCluster(""), ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(deployment, id)}},
		resource.TestStep{PreConfig: fails(false), Config: w.onCluster(""), ExpectError: says(`(?s)Cannot deploy "dev" to pve.*The storage broke`)},
		resource.TestStep{PreConfig: fails(true), Config: w.onCluster(""), ExpectError: says(`The storage broke`)},
		resource.TestStep{
			RefreshState: true, ExpectNonEmptyPlan: true, Check: resource.ComposeTestCheckFunc(w.leaves(2),
				resource.TestCheckResourceAttr(deployment, "template_id", "9000"), resource.TestCheckResourceAttr(deployment, "previous.0.broken", "true")),
		},
		resource.TestStep{
			PreConfig: func() { w.cluster.set(func() { w.cluster.fail = nil }) }, Config: w.onCluster(""), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("id")),
		},
	)
}

func TestAccDeployment_failedCreateIsTainted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.cluster.fail, w.cluster.rest = errors.New("the storage broke"), true
	w.testCluster(
		t,
		resource.TestStep{Config: w.onCluster(""), ExpectError: says(`The storage broke`)},
		resource.TestStep{
			PreConfig: func() { w.cluster.set(func() { w.cluster.fail = nil }) }, Config: w.onCluster(""), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionReplace),
		},
	)
}

func TestAccDeployment_unreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	away := func(is bool) func() { return func() { w.cluster.set(func() { w.cluster.unreachable = is }) } }
	w.testCluster(
		t,
		resource.TestStep{PreConfig: away(true), Config: w.onCluster(""), PlanOnly: true, ExpectNonEmptyPlan: true},
		resource.TestStep{Config: w.onCluster(""), ExpectError: says(`cannot be reached`)},
		resource.TestStep{PreConfig: away(false), Config: w.onCluster("")},
		resource.TestStep{PreConfig: away(true), Config: w.onCluster(""), PlanOnly: true}, // what the state says is kept
		resource.TestStep{Config: w.onCluster(""), Destroy: true, ExpectError: says(`Cannot destroy deployment "dev"`)},
		resource.TestStep{PreConfig: away(false), Config: w.onCluster(""), ConfigPlanChecks: emptyAfter},
	)
}

func TestAccDeployment_lostStateIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	made := statecheck.CompareValue(sameID)
	forget := `
removed {
  from = pim_deployment.dev
  lifecycle {
    destroy = false
  }
}
`
	w.testCluster(
		t,
		resource.TestStep{Config: w.onCluster(""), ConfigStateChecks: []statecheck.StateCheck{made.AddStateValue(deployment, tfjsonpath.New("id"))}},
		resource.TestStep{Config: w.hcl(devImage + forget), Check: w.leaves(1)},
		resource.TestStep{
			Config: w.onCluster("adopt = true"), Check: w.leaves(1), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate),
			ConfigStateChecks: []statecheck.StateCheck{made.AddStateValue(deployment, tfjsonpath.New("id"))},
		},
	)
}

func TestAccDeployment_import(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.env["PROXMOX_VE_ENDPOINT"], w.env["PROXMOX_VE_API_TOKEN"] = "https://pve.example.test:8006/", secretToken
	inline := w.deploys("proxmox {\nnode = \"pve1\"\nstorage = \"lvm\"\n}\n")
	w.testCluster(
		t,
		resource.TestStep{Config: w.onCluster("")},
		resource.TestStep{ResourceName: deployment, ImportState: true, ImportStateId: "pve:pve1/9000", ImportStateVerify: true},
		resource.TestStep{ResourceName: deployment, ImportState: true, ImportStateId: "pve:9000", ImportStateVerify: true},
		resource.TestStep{Config: inline, ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000)))},
		resource.TestStep{
			ResourceName: deployment, ImportState: true, ImportStateId: "proxmox:pve1:9000", ImportStateVerify: true,
			ImportStateVerifyIgnore: []string{
				"status", "proxmox", "settings.%", "settings.bridge", "settings.cloud_init_storage", "settings.cores", "settings.cpu_type",
				"settings.import_storage", "settings.memory", "settings.storage", "settings.template_id_start",
			},
		},
		resource.TestStep{ResourceName: deployment, ImportState: true, ImportStateId: "pve:pve1/9007", ExpectError: says(`Cannot import non-existent remote object`)},
		resource.TestStep{ResourceName: deployment, ImportState: true, ImportStateId: "pve:web", ExpectError: says(`A template is named "proxmox:NODE:VMID"`)},
		resource.TestStep{ResourceName: deployment, ImportState: true, ImportStateId: "pev:9000", ExpectError: says(`did you mean "pve"`)},
	)
}

// The first apply after an import of a block puts the settings into effect, and makes nothing anew.
func TestAccDeployment_importedIsUpdated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env["PROXMOX_VE_ENDPOINT"], w.env["PROXMOX_VE_API_TOKEN"] = "https://pve.example.test", secretToken
	inline := w.deploys("proxmox {\nnode = \"pve1\"\nstorage = \"lvm\"\nmemory = 4096\n}\n")
	forget := "removed {\nfrom = pim_deployment.dev\nlifecycle {\ndestroy = false\n}\n}\n"
	bring := "import {\nto = pim_deployment.dev\nid = \"proxmox:pve1:9000\"\n}\n"
	w.testCluster(
		t,
		resource.TestStep{Config: inline},
		resource.TestStep{Config: w.hcl(devImage + forget), Check: w.leaves(1)},
		resource.TestStep{
			Config: inline + bring, Check: w.leaves(1),
			ConfigPlanChecks:  deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000))),
			ConfigStateChecks: []statecheck.StateCheck{has("status", knownvalue.StringExact("ok")), has("name", knownvalue.StringExact("dev"))},
		},
	)
}

func TestAccDeployment_usedByOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.cluster.inUse = true
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.onCluster("")},
		{
			PreConfig: newImage(w, "second"), Config: w.onCluster(""), Check: w.leaves(2), ExpectNonEmptyPlan: true, // which tries again
			ConfigStateChecks: []statecheck.StateCheck{has("previous", knownvalue.ListSizeExact(1))},
		},
	}})
	if err := w.leaves(2)(nil); err != nil { // destroyed, and still there for the clones
		t.Error(err)
	}
}

func TestAccDeployment_targetIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	rename := func() {
		w.remove("targets.d/pve.yml")
		w.write("targets.d/new.yml", "pve-sg: {type: proxmox, host: pve.example.test, node: pve1, storage: lvm, api_token: '"+secretToken+"'}\n")
	}
	w.testCluster(
		t,
		resource.TestStep{Config: w.onCluster("")},
		resource.TestStep{PreConfig: rename, Config: w.onCluster(""), ExpectError: says(`Target "pve": not in targets.d`)},
		resource.TestStep{Config: w.hcl(devImage), ExpectError: says(`Put it back until the destroy is done`)},
		resource.TestStep{
			Config: w.deploys(`target = "pve-sg"`), Check: w.registryHas("    pve-sg:\n"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000))),
		},
	)
}

func TestAccDeployment_secretsStaySecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	config := func(body string) string {
		return strings.Replace(w.hcl(devImage+"\nresource \"pim_deployment\" \"dev\" {\nimage_id = pim_image.dev.id\n"+body+"\n}\n"), "provider \"pim\" {",
			"provider \"pim\" {\nproxmox = { endpoint = \"https://pve.example.test:8006\", username = \"root@pam\", password = \"hunter2secret\" }\n", 1)
	}
	clean := planCheck(func(req plancheck.CheckPlanRequest) error {
		for what, v := range map[string]any{"changes": req.Plan.ResourceChanges, "values": req.Plan.PlannedValues, "prior": req.Plan.PriorState} {
			data, err := json.Marshal(v)
			if err != nil || strings.Contains(string(data), secretToken) || strings.Contains(string(data), "hunter2secret") {
				return fmt.Errorf("a secret is in the plan's %s, %w", what, err)
			}
		}
		return nil
	})
	noSecret := func(s *terraform.State) error {
		for name, v := range s.RootModule().Resources[deployment].Primary.Attributes {
			if strings.Contains(v, secretToken) || strings.Contains(v, "hunter2secret") || strings.Contains(v, "root@pam") {
				return fmt.Errorf("%s holds a secret: %s", name, v)
			}
		}
		return nil
	}
	w.testCluster(
		t,
		resource.TestStep{Config: config(`target = "pve"`), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate, clean), Check: noSecret},
		resource.TestStep{
			Config: config("proxmox {\nnode = \"pve1\"\nstorage = \"lvm\"\n}"), Check: noSecret,
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, clean, planned("template_id", knownvalue.Int64Exact(9000))),
		},
	)
	if last := w.cluster.used[len(w.cluster.used)-1]; last.Password != "hunter2secret" || last.APIToken != "" { // the destroy
		t.Errorf("opened with %q, %q", last.Username, last.APIToken)
	}
}

func TestAccDeployment_timeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.cluster.hang = true
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config:      w.onCluster("timeouts {\ncreate = \"1ms\"\n}\n"),
		ExpectError: says(`It took longer than 1ms`),
	}}})
}

func TestAccDeployment_planErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.write("targets.d/odd.yml", "odd: {type: vmware}\ntypo: {type: aws, region: eu-central-1, methd: x}\nmars: {type: aws, region: Mars}\n")
	for name, c := range map[string]struct{ body, want string }{
		"no target":            {``, `No target`},
		"two targets":          {"target = \"pve\"\nfile {\npath = \"/x\"\n}", `(?s)More than one target.*target and file`},
		"no such target":       {`target = "pev"`, `(?s)target = "pev".*did you mean "pve"`},
		"no such type":         {`target = "odd"`, `(?s)odd\.yml:1:13: odd\.type: there is no such type`},
		"no such field":        {`target = "typo"`, `(?s)odd\.yml:2:48:.*typo\.methd: there is no such field`},
		"wrong field":          {`target = "mars"`, `(?s)odd\.yml:3:27: mars\.region: region is "Mars"`},
		"wrong attribute":      {"aws {\nregion = \"Mars\"\n}", `(?s)region = "Mars".*Region is "Mars"`},
		"missing attribute":    {"file {}", `(?s)file \{\}.*Give the path of the file to make`},
		"the target says so":   {"proxmox {\nendpoint = \"https://x:8006\"\nstorage = \"full\"\nnode = \"n\"\n}", `(?s)No room.*storage = "full"`},
		"image named twice":    {"target = \"pve\"\nimage_path = \"/x\"", `image_path`},
		"arch of a known one":  {"target = \"pve\"\narch = \"arm64\"", `image_path`},
		"impossible name":      {"target = \"pve\"\nname = \"../x\"", `Invalid name`},
		"impossible directory": {"utm {\noutput_dir = \"~root/x\"\n}", `only your own home directory`},
	} {
		t.Run(name, func(t *testing.T) {
			w.env["PROXMOX_VE_API_TOKEN"] = secretToken
			w.test(t, resource.TestCase{Steps: []resource.TestStep{{Config: w.deploys(c.body), PlanOnly: true, ExpectError: says(c.want)}}})
		})
	}
}

func TestAccDeployment_noCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config:   w.deploys("proxmox {\nendpoint = \"https://x:8006\"\nstorage = \"lvm\"\nnode = \"n\"\n}"),
		PlanOnly: true, ExpectError: says(`There is no token`),
	}}})
}

func TestAccDeployment_problemsAreWarnings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.cluster.warnings = []deploy.Problem{{Field: "memory", Summary: "Little memory", Detail: "It may work.", Warning: true}}
	w.testCluster(t, resource.TestStep{Config: w.onCluster(""), ConfigPlanChecks: emptyAfter})
}
