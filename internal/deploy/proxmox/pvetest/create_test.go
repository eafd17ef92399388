package pvetest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// imported is a client of a server that has local:import/x.qcow2 already.
func imported(t *testing.T, o pvetest.Options) *client {
	t.Helper()
	c := newClient(t, o)
	if exit := c.wait(c.upload("local", "import", "x.qcow2", image(t, "content"))); exit != "OK" {
		t.Fatal(exit)
	}
	return c
}

const importX = "data:0,import-from=local:import/x.qcow2"

// TestCreateRace: of several creates with one id one wins, at once.
func TestCreateRace(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	var wg sync.WaitGroup
	results := make([]reply, 6)
	for i := range results {
		wg.Go(func() { results[i] = c.do("POST", "/nodes/pve1/qemu", "vmid=9000") })
	}
	wg.Wait()
	won := 0
	for _, r := range results {
		if r.status == 200 {
			won++
		} else if r.status != 500 || r.reason != "unable to create VM 9000 - VM 9000 already exists on node 'pve1'" {
			t.Errorf("%d %s", r.status, r.reason)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

// TestSnatch: an id can be lost to another node after all looked well.
func TestSnatch(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Nodes: []string{"pve1", "pve2"}})
	c.s.Snatch(9000, "pve2")
	c.want(200, "GET", "/cluster/nextid", "vmid=9000")
	r := c.want(500, "POST", "/nodes/pve1/qemu", "vmid=9000")
	if !strings.HasPrefix(r.reason, "unable to create VM 9000 - ") || !strings.HasSuffix(r.reason, "File exists") {
		t.Error(r.reason)
	}
	c.want(400, "GET", "/cluster/nextid", "vmid=9000")
	if have := c.s.Inventory(); !slices.Equal(have, []string{"vm pve2/9000 stopped"}) {
		t.Errorf("there is %q", have)
	}
}

// TestCreateRuns: while a create runs there is only a lock, and stopping it removes everything.
func TestCreateRuns(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{TaskDelay: time.Hour})
	upid := c.want(200, "POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:1").Data.(string)
	conf := c.config("9000")
	if delete(conf, "digest"); fmt.Sprint(conf) != "map[lock:create]" {
		t.Errorf("the configuration is %v", conf)
	}
	if r := c.do("PUT", "/nodes/pve1/qemu/9000/config", "name=x"); r.reason != "VM is locked (create)" {
		t.Errorf("%d %s", r.status, r.reason)
	}
	status := c.want(200, "GET", "/nodes/pve1/tasks/"+upid+"/status").Data.(map[string]any)
	if status["status"] != "running" || status["exitstatus"] != nil || status["type"] != "qmcreate" || status["id"] != "9000" {
		t.Errorf("its task is %v", status)
	}
	c.want(200, "DELETE", "/nodes/pve1/tasks/"+upid)
	if exit := c.wait(reply{status: 200, Data: upid}); exit != "received interrupt" {
		t.Errorf("a stopped task ends with %q", exit)
	}
	if have := c.s.Inventory(); len(have) > 0 {
		t.Errorf("left are %q", have)
	}
}

// TestCreateFails: a failed create leaves nothing, but for a killed worker's, which only root can delete.
func TestCreateFails(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, fail, exit string
		leak             bool
		left             []string
	}{
		{"fails", "no space left", "unable to create VM 9000 - no space left", false, nil},
		{
			"fails and leaks", "no space left", "unable to create VM 9000 - no space left", true,
			[]string{"volume pve1/9000 data:9000/vm-9000-disk-0.raw"},
		},
		{"killed", pvetest.Crashed, "unexpected status", false, []string{
			"vm pve1/9000 locked (create)", "volume pve1/9000 data:9000/vm-9000-disk-0.raw",
			"volume pve1/9000 data:9000/vm-9000-disk-1.qcow2",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := imported(t, pvetest.Options{Version: "8.4", LeakEFIDisk: tc.leak})
			c.s.FailTask(func(typ, id string) string { return map[string]string{"qmcreate 9000": tc.fail}[typ+" "+id] })
			exit := c.task("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0="+importX, "efidisk0=data:1,efitype=4m")
			if exit != tc.exit {
				t.Errorf("ended with %q", exit)
			}
			want := append([]string{"file pve1 local:import/x.qcow2"}, tc.left...)
			if have := c.s.Inventory(); !slices.Equal(have, want) {
				t.Errorf("left are %q", have)
			}
			if tc.fail != pvetest.Crashed {
				return
			}
			conf := c.config("9000")
			if delete(conf, "digest"); fmt.Sprint(conf) != "map[lock:create]" {
				t.Errorf("the configuration is %v", conf)
			}
			if exit := c.task("DELETE", "/nodes/pve1/qemu/9000", "purge=1"); exit != "VM is locked (create)" {
				t.Errorf("deleting it: %s", exit)
			}
			c.root().ok("DELETE", "/nodes/pve1/qemu/9000", "skiplock=1", "destroy-unreferenced-disks=1")
		})
	}
}

// TestImportPrivileges: the source wants Datastore.Audit or AllocateSpace, the target AllocateSpace.
func TestImportPrivileges(t *testing.T) {
	t.Parallel()
	with := func(source, target string) map[string][]string {
		return map[string][]string{
			"/":              slices.DeleteFunc(pvetest.MinimalRole(), func(p string) bool { return strings.HasPrefix(p, "Datastore.") }),
			"/storage/local": {source}, "/storage/data": {target},
		}
	}
	c := imported(t, pvetest.Options{Tokens: map[string]map[string][]string{
		pvetest.TokenID: {"/": pvetest.Role},
		"a@pve!audit":   with("Datastore.Audit", "Datastore.AllocateSpace"),
		"a@pve!space":   with("Datastore.AllocateSpace", "Datastore.AllocateSpace"),
		"a@pve!blind":   with("Datastore.AllocateTemplate", "Datastore.AllocateSpace"),
		"a@pve!full":    with("Datastore.Audit", "Datastore.Audit"),
	}})
	for i, tc := range []struct{ token, reason string }{
		{"a@pve!audit", "OK"},
		{"a@pve!space", "OK"},
		{"a@pve!blind", "Permission check failed (/storage/local, Datastore.AllocateSpace|Datastore.Audit)"},
		{"a@pve!full", "Permission check failed (/storage/data, Datastore.AllocateSpace)"},
	} {
		r := c.as(tc.token).do("POST", "/nodes/pve1/qemu", fmt.Sprintf("vmid=%d", 100+i), "scsi0="+importX)
		if r.reason != tc.reason {
			t.Errorf("%s: %d %s, want %s", tc.token, r.status, r.reason, tc.reason)
		}
	}
}

// TestMinimalRole: everything but changing the cloud-init drive and deleting the upload goes with it.
func TestMinimalRole(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Tokens: map[string]map[string][]string{pvetest.TokenID: {"/": pvetest.MinimalRole()}}})
	c.template("local-lvm", image(t, "x"))
	c.want(200, "PUT", "/nodes/pve1/qemu/9000/config", "cores=4", "memory=1024", "name=x", "description=y", "tags=z",
		"net0=virtio,bridge=vmbr1", "ciuser=debian")
	r := c.want(403, "PUT", "/nodes/pve1/qemu/9000/config", "ide2=data:cloudinit")
	if r.reason != "Permission check failed (/vms/9000, VM.Config.CDROM)" {
		t.Error(r.reason)
	}
	r = c.want(403, "DELETE", "/nodes/pve1/storage/local/content/local:import/pim-1.qcow2")
	if r.reason != "Permission check failed (/storage/local, Datastore.Allocate)" {
		t.Error(r.reason)
	}
	c.ok("DELETE", "/nodes/pve1/qemu/9000", "purge=1", "destroy-unreferenced-disks=1")
}

// TestFormats: which format a new disk has, and what size.
func TestFormats(t *testing.T) {
	t.Parallel()
	c := imported(t, pvetest.Options{})
	for i, tc := range []struct{ drive, want string }{
		{"data:0,import-from=local:import/x.qcow2", "data:100/vm-100-disk-0.qcow2,size=8M"},
		{"data:0,import-from=local:import/x.qcow2,format=raw", "data:101/vm-101-disk-0.raw,size=8M"},
		{"local-lvm:0,import-from=local:import/x.qcow2,format=qcow2", "local-lvm:vm-102-disk-0,size=8M"},
		{"data:0.5", "data:103/vm-103-disk-0.raw,size=512M"},
		{"local-lvm:1,ssd=on", "local-lvm:vm-104-disk-0,size=1G,ssd=1"},
	} {
		id := fmt.Sprint(100 + i)
		c.ok("POST", "/nodes/pve1/qemu", "vmid="+id, "scsi0="+tc.drive)
		if got := c.config(id)["scsi0"]; got != tc.want {
			t.Errorf("%s became %s, want %s", tc.drive, got, tc.want)
		}
	}
	c.ok("POST", "/nodes/pve1/qemu", "vmid=200", "efidisk0=local-lvm:1,efitype=4m", "ide2=local-lvm:cloudinit", "storage=data")
	conf := c.config("200")
	if conf["efidisk0"] != "local-lvm:vm-200-disk-0,efitype=4m,size=4M" || conf["ide2"] != "local-lvm:vm-200-cloudinit,media=cdrom" {
		t.Errorf("%v", conf)
	}
	exit := c.task("POST", "/nodes/pve1/qemu", "vmid=201", "ide0=data:cloudinit", "ide2=data:cloudinit")
	if exit != "unable to create VM 201 - ide2 - cloud-init drive is already attached at 'ide0'" {
		t.Error(exit)
	}
	exit = c.task("POST", "/nodes/pve1/qemu", "vmid=201", "scsi0=data:0,import-from=local:import/none.qcow2")
	if exit != "unable to create VM 201 - failed to stat '/var/lib/vz/import/none.qcow2'" {
		t.Error(exit)
	}
}

// TestUpTo8_2: there is no content to import, not even by hand.
func TestUpTo8_2(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Version: "8.2"})
	file := filepath.Join(filepath.Dir(c.s.CAFile), "pve1", "local", "import", "x.qcow2")
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(image(t, "x")), 0o600))
	r := c.do("POST", "/nodes/pve1/qemu", "vmid=100", "scsi0="+importX)
	if r.status != 500 || r.reason != "unable to parse directory volume name 'import/x.qcow2'" {
		t.Errorf("%d %s", r.status, r.reason)
	}
}
