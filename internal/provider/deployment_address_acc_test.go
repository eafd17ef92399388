package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
)

// Another address of the same cluster leaves the template, and what was cloned from it, alone.
func TestAccDeployment_anotherAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const first, second, third = "https://pve1.example.test:8006", "https://pve2.example.test:8006", "https://10.0.0.1:8006"
	w.env["PROXMOX_VE_ENDPOINT"], w.env["PROXMOX_VE_API_TOKEN"] = first, secretToken
	w.cluster.aliases = map[string]string{second: first, third: first}
	config := w.deploys("proxmox {\nnode = \"pve1\"\nstorage = \"lvm\"\n}")
	at := func(address, dead string) func() {
		return func() {
			w.env["PROXMOX_VE_ENDPOINT"] = address
			w.cluster.set(func() { w.cluster.dead = dead })
		}
	}
	inPlace := func(address string) resource.ConfigPlanChecks {
		return deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000)), planned("uuid", knownvalue.NotNull()),
			planned("settings", knownvalue.MapPartial(map[string]knownvalue.Check{"endpoint": knownvalue.StringExact(address)})))
	}
	w.testCluster(
		t,
		resource.TestStep{Config: config},
		resource.TestStep{PreConfig: at(second, ""), Config: config, ConfigPlanChecks: inPlace(second), Check: w.leaves(1)},
		resource.TestStep{ // the stored address is dead
			PreConfig: func() {
				at(third, second)()
				w.cluster.change(func(t *fakeTemplate) { t.memory = 1 })
			},
			Config: config, ConfigPlanChecks: inPlace(third), Check: w.leaves(1),
			ConfigStateChecks: []statecheck.StateCheck{has("template_id", knownvalue.Int64Exact(9000))},
		},
		resource.TestStep{ // one that does not answer may be anything
			PreConfig: at(second, second), Config: config, ExpectError: says(`Cannot tell whether it is the same cluster`),
		},
		resource.TestStep{PreConfig: at(third, ""), Config: config, ConfigPlanChecks: emptyAfter},
		resource.TestStep{PreConfig: at(first, third), Config: w.hcl(devImage), Check: w.leaves(0)}, // destroyed by today's address
	)
}

// A target of targets.d, too. The address that the state has serves where today's does not lead to the template.
func TestAccDeployment_anotherAddressOfATarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	w.cluster.aliases = map[string]string{"https://pve2.example.test:8006": "https://pve.example.test:8006"}
	host := func(name string) func() {
		return func() {
			w.write("targets.d/pve.yml", "pve: {type: proxmox, host: "+name+", node: pve1, storage: lvm, api_token: '"+secretToken+"'}\n")
		}
	}
	w.testCluster(
		t,
		resource.TestStep{Config: w.onCluster("")},
		resource.TestStep{
			PreConfig: host("pve2.example.test"), Config: w.onCluster(""), Check: w.leaves(1),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000))),
		},
		resource.TestStep{PreConfig: host("other.example.test"), Config: w.hcl(devImage), Check: w.leaves(0)},
	)
}
