package pvetest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// TestResources: only what the user may see, and names as old as the broadcast.
func TestResources(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{ResourcesLag: time.Hour, Pools: []string{"images"}, Tokens: map[string]map[string][]string{
		pvetest.TokenID: {"/": pvetest.Role}, "a@pve!x": {"/vms/100": {"VM.Audit"}},
	}})
	vms := func(c *client) string {
		list := c.want(200, "GET", "/cluster/resources", "type=vm").Data.([]any)
		var out []string
		for _, vm := range list {
			vm := vm.(map[string]any)
			name, _ := vm["name"].(string)
			out = append(out, vm["id"].(string)+" "+vm["status"].(string)+" "+name)
		}
		return strings.Join(out, ", ")
	}
	c.ok("POST", "/nodes/pve1/qemu", "vmid=100", "name=first", "pool=images")
	if got := vms(c); got != "qemu/100 stopped first" {
		t.Error(got)
	}
	c.want(200, "PUT", "/nodes/pve1/qemu/100/config", "name=renamed")
	c.ok("POST", "/nodes/pve1/qemu", "vmid=101", "name=second")
	if got := vms(c); got != "qemu/100 stopped first, qemu/101 unknown " {
		t.Error(got)
	}
	if got := vms(c.as("a@pve!x")); got != "qemu/100 stopped first" {
		t.Errorf("who may see one sees %s", got)
	}
	r := c.want(403, "POST", "/nodes/pve1/qemu", "vmid=102", "pool=nonsense")
	if r.reason != "Permission check failed (pool 'nonsense' does not exist)" {
		t.Error(r.reason)
	}
}

// TestPoolPrivileges: a pool's grants hold for its members.
func TestPoolPrivileges(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Pools: []string{"images"}, Tokens: map[string]map[string][]string{
		pvetest.TokenID: {"/pool/images": pvetest.Role, "/storage": {"Datastore.AllocateSpace"}},
	}})
	c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "pool=images", "scsi0=data:1", "cores=2")
	c.want(200, "GET", vm9000+"/config")
	if r := c.want(403, "POST", "/nodes/pve1/qemu", "vmid=9001"); r.reason != "Permission check failed" {
		t.Error(r.reason)
	}
}

// TestStorages: what a client learns of storages before it begins.
func TestStorages(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{
		Nodes: []string{"pve1", "pve2"},
		Storages: []pvetest.Storage{
			{ID: "local", Type: "dir", Path: "/var/lib/vz", Content: []string{"iso", "import"}, Total: 100, Avail: 40},
			{ID: "off", Type: "dir", Path: "/off", Content: []string{"images"}, Disabled: true},
			{ID: "there", Type: "dir", Path: "/there", Content: []string{"images"}, Nodes: []string{"pve2"}},
		},
	})
	r := c.want(200, "GET", "/nodes/pve1/storage", "content=import")
	want := `[{"active":1,"avail":40,"content":"iso,import","enabled":1,"shared":0,"storage":"local","total":100,"type":"dir",` +
		`"used":60,"used_fraction":0.6}]`
	if got, _ := json.Marshal(r.Data); string(got) != want {
		t.Errorf("%s", got)
	}
	for storage, reason := range map[string]string{
		"off": "storage 'off' is disabled", "there": "storage 'there' is not available on node 'pve1'",
		"none": "storage 'none' does not exist",
	} {
		if r := c.want(500, "GET", "/nodes/pve1/storage/"+storage+"/content"); r.reason != reason {
			t.Error(r.reason)
		}
	}
	c.want(200, "GET", "/nodes/pve2/storage/there/content")
}

// TestTasks: lists and logs, whose task it is, and one that is not known at once.
func TestTasks(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{LateTasks: 1, Tokens: map[string]map[string][]string{
		pvetest.TokenID: {"/": pvetest.Role}, "a@pve!x": {"/": pvetest.Role},
	}})
	upid := c.want(200, "POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:1").Data.(string)
	status := "/nodes/pve1/tasks/" + upid + "/status"
	if r := c.want(400, "GET", status); r.Errors["upid"] != "no such task" {
		t.Errorf("%v", r.Errors)
	}
	if exit := c.wait(reply{status: 200, Data: upid}); exit != "OK" {
		t.Fatal(exit)
	}
	if !strings.HasPrefix(upid, "UPID:pve1:") || !strings.HasSuffix(upid, ":qmcreate:9000:pim@pve!test:") {
		t.Error(upid)
	}
	r := c.want(200, "GET", "/nodes/pve1/tasks/"+upid+"/log")
	want := `[{"n":1,"t":"scsi0: successfully created disk 'data:9000/vm-9000-disk-0.raw,size=1G'"},{"n":2,"t":"TASK OK"}]`
	if got, _ := json.Marshal(r.Data); string(got) != want || r.Total != 2 {
		t.Errorf("the log is %s, total %d", got, r.Total)
	}
	other := c.as("a@pve!x")
	if r := other.want(403, "GET", status); r.reason != "Permission check failed (/nodes/pve1, Sys.Audit)" {
		t.Error(r.reason)
	}
	list := c.want(200, "GET", "/nodes/pve1/tasks", "vmid=9000", "typefilter=qmcreate").Data.([]any)
	if len(list) != 1 || list[0].(map[string]any)["status"] != "OK" || list[0].(map[string]any)["upid"] != upid {
		t.Errorf("%v", list)
	}
	if list := other.want(200, "GET", "/nodes/pve1/tasks").Data.([]any); len(list) > 0 {
		t.Errorf("somebody else sees %v", list)
	}
}
