//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// deployImage deploys the image that was built to all targets in one apply, compares what is there with the image byte
// for byte, and boots what an instance and a clone would boot, on the disk controller they would have.
func deployImage(t *testing.T, w *workspace) {
	id, image := w.value(t, "id"), w.value(t, "path")
	cloud, cluster := awstest.New(t, awstest.Options{}), pvetest.New(t, pvetest.Options{})
	b := *w.bench
	b.env = append(b.env,
		"AWS_ACCESS_KEY_ID="+awstest.AccessKey, "AWS_SECRET_ACCESS_KEY="+awstest.SecretKey,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"PROXMOX_VE_ENDPOINT="+cluster.URL, "PROXMOX_VE_API_TOKEN="+cluster.Token(pvetest.TokenID))
	d := b.workspaceOf(t, "testdata/deploy/main.tf").with(
		"image_id="+id, "aws_endpoint="+cloud.URL, "proxmox_ca_file="+cluster.CAFile)
	d.apply(t)
	d.do(t, 0, "plan", "-detailed-exitcode") // nothing is left to do
	state, err := os.ReadFile(filepath.Join(d.dir, "terraform.tfstate"))
	must(t, err)
	for _, secret := range []string{awstest.SecretKey, cluster.Token(pvetest.TokenID)} {
		if strings.Contains(string(state), secret) {
			t.Error("the state has a secret in it")
		}
	}
	raw := filepath.Join(t.TempDir(), "snapshot.raw")
	f, err := os.Create(raw)
	must(t, err)
	must(t, cloud.Snapshot(d.value(t, "snapshot")).WriteRaw(f))
	must(t, f.Close())
	vmid, err := strconv.Atoi(d.value(t, "template"))
	must(t, err)
	template, format := cluster.DiskPath(t, vmid)
	bundle, err := filepath.Glob(filepath.Join(d.value(t, "bundle"), "Data", "*.qcow2"))
	if err != nil || len(bundle) != 1 {
		t.Fatalf("the bundle's disks are %v, %v", bundle, err)
	}
	for _, disk := range []struct{ path, format string }{
		{raw, "raw"}, {template, format}, {bundle[0], "qcow2"}, {d.value(t, "file"), "vmdk"},
	} {
		compare := exec.CommandContext(t.Context(), "qemu-img", "compare", "-f", disk.format, "-F", "qcow2", disk.path, image)
		if out, err := compare.CombinedOutput(); err != nil {
			t.Errorf("%s is not the image: %v\n%s", disk.path, err, out)
		}
	}
	boots := []struct {
		name string
		clone
	}{
		{"AMI", clone{raw, "raw", []string{"-device", "nvme,serial=vol0,drive=disk,bootindex=0"}}},
		{"template", clone{template, format, []string{"-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk,bootindex=0"}}},
	}
	for _, c := range boots {
		said := c.boot(t)
		if got := strings.Join(said["hostname"], " "); got != "clone-1" {
			t.Errorf("a machine made from the %s is called %q", c.name, got)
		}
	}
	d.do(t, 0, "destroy", "-auto-approve")
	if left := append(cloud.Inventory(), cluster.Inventory()...); len(left) > 0 {
		t.Errorf("destroy left %v", left)
	}
	if left, err := filepath.Glob(filepath.Join(d.dir, "*", "*.utm")); err != nil || len(left) > 0 {
		t.Errorf("destroy left %v, %v", left, err)
	}
}
