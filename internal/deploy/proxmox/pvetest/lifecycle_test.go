package pvetest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

const vm9000 = "/nodes/pve1/qemu/9000"

// TestTemplate: what a template can and cannot take.
func TestTemplate(t *testing.T) {
	t.Parallel()
	for _, storage := range []string{"data", "local-lvm"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, pvetest.Options{})
			c.template(storage, image(t, "x"))
			r := c.want(500, "POST", vm9000+"/template")
			if r.reason != "you can't convert a template to a template" {
				t.Error(r.reason)
			}
			exit := c.task("PUT", vm9000+"/resize", "disk=scsi0", "size=1G")
			if !strings.HasPrefix(exit, "command '/usr/bin/qemu-img resize") {
				t.Errorf("resizing a template: %s", exit)
			}
			c.want(200, "PUT", vm9000+"/config", "template=0")
			if conf := c.config("9000"); conf["template"] != 0.0 || !strings.Contains(conf["scsi0"].(string), "base-9000-disk-1") {
				t.Errorf("%v", conf)
			}
		})
	}
}

// TestTemplateAtCreate: such a template has no base images, and never gets any.
func TestTemplateAtCreate(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:1", "template=1")
	c.want(500, "POST", vm9000+"/template")
	if conf := c.config("9000"); conf["scsi0"] != "data:9000/vm-9000-disk-0.raw,size=1G" || conf["template"] != 1.0 {
		t.Errorf("%v", conf)
	}
}

func TestResize(t *testing.T) {
	t.Parallel()
	c := imported(t, pvetest.Options{})
	c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0="+importX+",discard=on")
	c.ok("PUT", vm9000+"/resize", "disk=scsi0", "size=16M")
	c.ok("PUT", vm9000+"/resize", "disk=scsi0", "size=+1G")
	if got := c.config("9000")["scsi0"]; got != "data:9000/vm-9000-disk-0.qcow2,discard=on,size=1040M" {
		t.Error(got)
	}
	if info := qemuImg(t, "info", diskOf(t, c, 9000)); !strings.Contains(info, "(1090519040 bytes)") {
		t.Errorf("the disk is\n%s", info)
	}
	for disk, want := range map[string]string{"scsi0": "shrinking disks is not supported", "scsi1": "disk 'scsi1' does not exist"} {
		if exit := c.task("PUT", vm9000+"/resize", "disk="+disk, "size=8M"); exit != want {
			t.Errorf("%s: %s", disk, exit)
		}
	}
}

func diskOf(t *testing.T, c *client, id int) string {
	t.Helper()
	path, _ := c.s.DiskPath(t, id)
	return path
}

// TestConfig: how options read back.
func TestConfig(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, pvetest.Options{Version: version})
			c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "tags=b;A;b", "description=one\ntwo\n\n", "memory=2048", "cores=2",
				"sshkeys=ssh-ed25519%20AAAA%20me", "net0=virtio,bridge=vmbr0")
			conf := c.config("9000")
			want := map[string]any{
				"tags": "b;A;b", "description": "one\ntwo", "memory": "2048", "cores": 2.0, "sshkeys": "ssh-ed25519%20AAAA%20me",
			}
			if version == "9.2" {
				want["tags"] = "a;b"
			}
			for name, value := range want {
				if conf[name] != value {
					t.Errorf("%s is %q, want %q", name, conf[name], value)
				}
			}
			mac := conf["net0"]
			c.want(200, "PUT", vm9000+"/config", "tags=Z;y;Z", "digest="+conf["digest"].(string))
			r := c.want(500, "PUT", vm9000+"/config", "name=x", "digest="+conf["digest"].(string))
			if r.reason != "checksum mismatch (file change by other user?)" {
				t.Error(r.reason)
			}
			if conf = c.config("9000"); conf["tags"] != "y;z" || conf["net0"] != mac {
				t.Errorf("%v", conf)
			}
			c.want(200, "PUT", vm9000+"/config", "tags=", "description=", "net0=virtio,bridge=vmbr1")
			if conf = c.config("9000"); conf["tags"] != " " || conf["description"] != nil || conf["net0"] == mac {
				t.Errorf("%v", conf)
			}
			c.ok("POST", vm9000+"/config", "delete=tags,memory,sshkeys", "cores=1")
			if conf = c.config("9000"); conf["tags"] != nil || conf["memory"] != nil || conf["sshkeys"] != nil || conf["cores"] != 1.0 {
				t.Errorf("%v", conf)
			}
		})
	}
}

// TestDrives: a disk taken away stays as an unused one, a cloud-init drive goes.
func TestDrives(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:1", "ide2=data:cloudinit", "boot=order=scsi0;ide2")
	c.want(200, "PUT", vm9000+"/config", "delete=scsi0,ide2")
	conf := c.config("9000")
	if conf["unused0"] != "data:9000/vm-9000-disk-0.raw" || conf["scsi0"] != nil || conf["ide2"] != nil || conf["boot"] != "order=" {
		t.Errorf("%v", conf)
	}
	c.want(200, "PUT", vm9000+"/config", "ide2=local-lvm:cloudinit")
	c.want(200, "PUT", vm9000+"/config", "delete=unused0")
	want := []string{"vm pve1/9000 stopped", "volume pve1/9000 local-lvm:vm-9000-cloudinit"}
	if have := c.s.Inventory(); !slices.Equal(have, want) {
		t.Errorf("there is %q", have)
	}
	r := c.want(500, "PUT", vm9000+"/config", "boot=order=scsi7")
	if r.reason != "invalid bootorder: device 'scsi7' does not exist'" {
		t.Error(r.reason)
	}
}

// TestDelete: what keeps a VM from being deleted.
func TestDelete(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	c.s.AddVM("pve1", 9000, "VM", map[string]string{"protection": "1"})
	refused := func(want string, params ...string) {
		t.Helper()
		if r := c.want(500, "DELETE", vm9000, params...); r.reason != want {
			t.Error(r.reason)
		}
	}
	refused("can't remove VM 9000 - protection mode enabled", "purge=1")
	c.s.Protect(t, 9000, false)
	c.s.SetHA(t, 9000, true)
	refused("unable to remove VM 9000 - used in HA resources and purge parameter not set.")
	c.s.SetRunning(t, 9000, true)
	refused("VM 9000 is running - destroy failed", "purge=1")
	c.s.SetRunning(t, 9000, false)
	c.ok("DELETE", vm9000, "purge=1")
	refused("Configuration file 'nodes/pve1/qemu-server/9000.conf' does not exist")
}

// TestDeleteWithClones: linked clones keep a template's base images, where the storage knows of them.
func TestDeleteWithClones(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	c.template("data", image(t, "x"))
	c.s.AddClone(t, 9000, 123)
	before := c.s.Inventory()
	exit := c.task("DELETE", vm9000, "purge=1", "destroy-unreferenced-disks=1")
	if exit != "base volume 'data:9000/base-9000-disk-0.raw' is still in use by linked cloned" {
		t.Error(exit)
	}
	if have := c.s.Inventory(); !slices.Equal(have, before) {
		t.Errorf("something was touched: %q", have)
	}
	clone := c.config("123")["scsi0"]
	if clone != "data:9000/base-9000-disk-1.qcow2/123/vm-123-disk-1.qcow2,discard=on,iothread=1,size=8M" {
		t.Error(clone)
	}
	qemuImg(t, "compare", diskOf(t, c, 9000), diskOf(t, c, 123))
	exit = c.task("DELETE", "/nodes/pve1/storage/data/content/data:9000/base-9000-disk-1.qcow2")
	if exit != "base volume '9000/base-9000-disk-1.qcow2' is still in use by linked clones" {
		t.Error(exit)
	}
	c.ok("DELETE", "/nodes/pve1/qemu/123", "purge=1", "destroy-unreferenced-disks=1")
	// A volume in use by the template only is not spared.
	c.ok("DELETE", "/nodes/pve1/storage/data/content/data:9000%2Fbase-9000-disk-1.qcow2")
	c.ok("DELETE", vm9000, "purge=1", "destroy-unreferenced-disks=1")
	if have := c.s.InventoryOf("pve1", 9000); len(have) > 0 {
		t.Errorf("left are %q", have)
	}
}

// TestDeleteWithThinClones: those of thin volumes are not seen.
func TestDeleteWithThinClones(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Tokens: map[string]map[string][]string{
		pvetest.TokenID: {"/": append([]string{"VM.Clone"}, pvetest.Role...)},
	}})
	c.template("local-lvm", image(t, "x"))
	c.ok("POST", vm9000+"/clone", "newid=123", "name=clone")
	c.ok("DELETE", vm9000, "purge=1", "destroy-unreferenced-disks=1")
	if conf := c.config("123"); conf["name"] != "clone" || conf["template"] != nil {
		t.Errorf("%v", conf)
	}
}

// TestDeleteWarns: disks that cannot be removed are warnings, one as the VM's and one as unreferenced.
func TestDeleteWarns(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:1")
	c.s.Stick(func(volid string) bool { return strings.Contains(volid, "9000") })
	if exit := c.task("DELETE", vm9000, "purge=1", "destroy-unreferenced-disks=1"); exit != "WARNINGS: 2" {
		t.Error(exit)
	}
	if have := c.s.Inventory(); !slices.Equal(have, []string{"volume pve1/9000 data:9000/vm-9000-disk-0.raw"}) {
		t.Errorf("left are %q", have)
	}
}

// TestUnreferencedDisks go only when asked for, and then whatever has the VM's id does, on each storage that is enabled.
// What the configuration calls unused goes anyway.
func TestUnreferencedDisks(t *testing.T) {
	t.Parallel()
	storages := append(pvetest.DefaultStorages("9.2"),
		pvetest.Storage{ID: "off", Type: "dir", Path: "/mnt/off", Content: []string{"images"}, Disabled: true})
	off := "volume pve1/9000 off:9000/vm-9000-disk-0.raw"
	for params, left := range map[string][]string{
		"purge=1": {
			"volume pve1/9000 data:9000/vm-9000-disk-1.raw", "volume pve1/9000 local-lvm:vm-9000-disk-0", off,
		},
		"destroy-unreferenced-disks=1": {off},
	} {
		c := newClient(t, pvetest.Options{Storages: storages})
		c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:1", "scsi1=data:1", "scsi2=data:1")
		c.s.SetConfig(t, 9000, map[string]string{"scsi1": "", "scsi2": "", "unused0": "data:9000/vm-9000-disk-2.raw"})
		for _, volid := range []string{"local-lvm:vm-9000-disk-0", "off:9000/vm-9000-disk-0.raw"} {
			c.s.AddVolume(t, "pve1", volid)
		}
		c.ok("DELETE", vm9000, params)
		if have := c.s.Inventory(); !slices.Equal(have, left) {
			t.Errorf("%s leaves %q", params, have)
		}
	}
}

// TestTamper: what tests do behind a client's back shows in the API.
func TestTamper(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Nodes: []string{"pve1", "pve2"}, Storages: []pvetest.Storage{
		{ID: "nfs", Type: "dir", Path: "/mnt/nfs", Content: []string{"images"}, Shared: true},
	}})
	c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=nfs:1")
	c.s.MoveToNode(t, 9000, "pve2")
	c.want(500, "GET", vm9000+"/config")
	c.want(200, "GET", "/nodes/pve2/qemu/9000/config")
	vms := c.want(200, "GET", "/cluster/resources", "type=vm").Data.([]any)
	if vm := vms[0].(map[string]any); len(vms) != 1 || vm["node"] != "pve2" || vm["id"] != "qemu/9000" {
		t.Errorf("%v", vms)
	}
	want := []string{"vm pve2/9000 stopped", "volume pve2/9000 nfs:9000/vm-9000-disk-0.raw"}
	if have := c.s.Inventory(); fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("there is %q", have)
	}
	c.s.RemoveVM(t, 9000)
	if have := c.s.Inventory(); len(have) > 0 {
		t.Errorf("left are %q", have)
	}
}
