package pvetest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// template deploys an image as template 9000 on a storage.
func (c *client) template(storage, image string) {
	c.t.Helper()
	if exit := c.wait(c.upload("local", "import", "pim-1.qcow2", image)); exit != "OK" {
		c.t.Fatal(exit)
	}
	c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "name=debian", "memory=2048", "cores=2", "scsihw=virtio-scsi-single",
		"scsi0="+storage+":0,import-from=local:import/pim-1.qcow2,discard=on,iothread=1", "ide2="+storage+":cloudinit",
		"efidisk0="+storage+":1,efitype=4m,pre-enrolled-keys=0", "net0=virtio,bridge=vmbr0", "boot=order=scsi0",
		"serial0=socket", "agent=enabled=1", "tags=pim;Debian;a", "description=made by pim\n\n",
		"smbios1=uuid=11111111-2222-3333-4444-555555555555", "bios=ovmf", "ostype=l26")
	c.ok("POST", "/nodes/pve1/qemu/9000/template")
}

// TestFlow deploys an image as 8.4 and 9 want it, onto a directory and onto thin volumes, and removes it again.
func TestFlow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version, storage, disk, format, tags string
		left                                 []string
	}{
		{"8.4", "local-lvm", "local-lvm:base-9000-disk-1,discard=on,iothread=1,size=8M", "raw", "pim;Debian;a", []string{
			"file pve1 local:import/pim-1.qcow2", "vm pve1/9000 template",
			"volume pve1/9000 local-lvm:base-9000-disk-0", "volume pve1/9000 local-lvm:base-9000-disk-1",
			"volume pve1/9000 local-lvm:vm-9000-cloudinit",
		}},
		{"9.2", "data", "data:9000/base-9000-disk-1.qcow2,discard=on,iothread=1,size=8M", "qcow2", "a;debian;pim", []string{
			"file pve1 local:import/pim-1.qcow2", "vm pve1/9000 template",
			"volume pve1/9000 data:9000/base-9000-disk-0.raw", "volume pve1/9000 data:9000/base-9000-disk-1.qcow2",
			"volume pve1/9000 data:9000/vm-9000-cloudinit.qcow2",
		}},
	} {
		t.Run(tc.version, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, pvetest.Options{Version: tc.version})
			img := image(t, "content")
			c.template(tc.storage, img)
			conf := c.config("9000")
			for name, want := range map[string]any{
				"scsi0": tc.disk, "template": 1.0, "memory": "2048", "cores": 2.0, "description": "made by pim", "tags": tc.tags,
				"lock": nil, "boot": "order=scsi0",
			} {
				if conf[name] != want {
					t.Errorf("%s is %v, want %v", name, conf[name], want)
				}
			}
			if net, _ := conf["net0"].(string); !strings.HasPrefix(net, "virtio=BC:24:11:") || !strings.HasSuffix(net, ",bridge=vmbr0") {
				t.Errorf("net0 is %v", conf["net0"])
			}
			if have := c.s.Inventory(); !slices.Equal(have, tc.left) {
				t.Errorf("there is\n  %s", strings.Join(have, "\n  "))
			}
			disk, format := c.s.DiskPath(t, 9000)
			if format != tc.format {
				t.Errorf("the disk is %s", format)
			}
			source := filepath.Join(t.TempDir(), "source")
			must(t, os.WriteFile(source, []byte(img), 0o600))
			qemuImg(t, "compare", "-f", format, "-F", "qcow2", disk, source)
			c.ok("DELETE", "/nodes/pve1/storage/local/content/local:import/pim-1.qcow2")
			c.ok("DELETE", "/nodes/pve1/qemu/9000", "purge=1")
			if have := c.s.Inventory(); len(have) > 0 {
				t.Errorf("left are %q", have)
			}
		})
	}
}
