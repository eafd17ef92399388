package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// A fault of the provider's builders is shown where it is written.
func TestAccProvider_badBuilders(t *testing.T) {
	for name, tc := range map[string]struct{ block, want string }{
		"unknown architecture": {`builders = { amd64 = ["local"] }`, `(?s)builders = .*amd64.*x86_64`},
		"no builder":           {`builders = { x86_64 = [] }`, `(?s)builders\["x86_64"\].*at least 1`},
		"unknown remote":       {`builders = { x86_64 = ["pve"] }`, `(?s)Unknown builder.*builders = .*"pve" is no machine that builds`},
		"remote without host":  {`remotes = { pve = { user = "root" } }`, `(?s)remotes = .*"host" is required`},
		"empty host":           {`remotes = { pve = { host = "" } }`, `(?s)remotes\["pve"\].host.*at least 1`},
		"this machine's name":  {`remotes = { local = { host = "pve" } }`, `(?s)remotes = .*local`},
		"another type":         {`remotes = { pve = { host = "pve", type = "proxmox" } }`, `(?s)remotes\["pve"\].type.*ssh`},
		"port":                 {`remotes = { pve = { host = "pve", port = 0 } }`, `(?s)remotes\["pve"\].port.*between 1 and 65535`},
		"patience":             {`remotes = { pve = { host = "pve", reconnect_timeout = "-1s" } }`, `(?s)remotes\["pve"\].reconnect_timeout.*must be a duration`},
		"folder":               {`remotes = { pve = { host = "pve", work_dir = "pim" } }`, `(?s)remotes\["pve"\].work_dir.*must be absolute, or begin with ~/`},
		"not known yet":        {`builders = { x86_64 = [terraform_data.later.output] }`, `(?s)not known yet.*builders\["x86_64"\] to plan`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			config := w.hcl(devImage + "resource \"terraform_data\" \"later\" {\ninput = timestamp()\n}\n")
			config = strings.Replace(config, "provider \"pim\" {", "provider \"pim\" {\n"+tc.block, 1)
			w.test(t, resource.TestCase{Steps: []resource.TestStep{{Config: config, PlanOnly: true, ExpectError: says(tc.want)}}})
		})
	}
}
