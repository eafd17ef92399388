package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

func TestWayInto(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]way{
		"8.0.3": byPath, "8.2.4": byPath, "8.3.3": appliance, "8.4.21": imported, "9.0.1": imported, "9.2.11": imported, "10.0": imported,
	} {
		if got, err := wayInto(version); err != nil || got != want {
			t.Errorf("%s: %+v, %v", version, got, err)
		}
	}
	for _, version := range []string{"7.4-3", "", "nine"} {
		if got, err := wayInto(version); err == nil {
			t.Errorf("%s: %+v", version, got)
		}
	}
}

func TestMarker(t *testing.T) {
	t.Parallel()
	m := marker{
		Name: "x --> y <b>", Key: strings.Repeat("0", 64), Profile: "developer", UUID: newUUID(), VMID: 9000,
		DeployedAt: time.Now().UTC().Truncate(time.Second), Unfinished: true,
	}
	config := object{"description": "written by hand\n" + m.notes(), "smbios1": "uuid=" + strings.ToUpper(m.UUID) + ",base64=1"}
	if got, ok := markerOf(9000, config); !ok || got != m {
		t.Errorf("read back %+v, %t", got, ok)
	}
	for name, other := range map[string]object{
		"a clone":  {"description": config["description"], "smbios1": "uuid=" + newUUID()},
		"no notes": {"smbios1": config["smbios1"]},
		"no uuid":  {"description": config["description"]},
		"damaged":  {"description": strings.Replace(config["description"], `{"name"`, `{name`, 1), "smbios1": config["smbios1"]},
	} {
		if _, ok := markerOf(9000, other); ok {
			t.Errorf("%s is taken for ours", name)
		}
	}
	if _, ok := markerOf(9001, config); ok {
		t.Error("a copy under another id is taken for ours")
	}
}

func TestVMName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"debian-dev": "debian-dev", "debian_dev": "debian-dev", "_a b_": "a-b", "a..b.": "a.b", "Köln": "K-ln", "__": "pim",
		strings.Repeat("x", 70): strings.Repeat("x", 63),
	} {
		if got := vmName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := retiredName(strings.Repeat("x", 41)+".y", "0123456789abcdef"); got != strings.Repeat("x", 41)+"-retired-0123456789ab" {
		t.Error(got)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	net := "virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0,firewall=1"
	if got := withProperty(net, "bridge", "vmbr1"); got != "virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr1,firewall=1" {
		t.Error(got)
	}
	if got := withProperty("virtio=AA", "bridge", "vmbr1"); got != "virtio=AA,bridge=vmbr1" {
		t.Error(got)
	}
	if got := fmt.Sprint(tagsOf(object{"tags": "b;A,pim; b"}), tagsOf(object{"tags": " "})); got != "[a b pim] []" {
		t.Error(got)
	}
	if got := fmt.Sprint(volumes(object{
		"scsi0": "lvm:base-9000-disk-0,size=2G", "scsihw": "virtio-scsi-single", "efidisk0": "data:9000/base-9000-disk-1.raw,size=4M",
		"ide2": "lvm:vm-9000-cloudinit,media=cdrom", "ide0": "none,media=cdrom", "net0": "virtio=AA:BB", "unused0": "lvm:vm-9000-disk-3",
	})); got != "[data:9000/base-9000-disk-1.raw lvm:base-9000-disk-0 lvm:vm-9000-disk-3]" {
		t.Error(got)
	}
}

func TestObject(t *testing.T) {
	t.Parallel()
	var o object
	err := o.UnmarshalJSON([]byte(`{"a":1,"b":"2","c":true,"d":false,"e":null,"f":{"x":1},"g":-1.5,"h":999999999}`))
	if got := fmt.Sprint(o); err != nil || got != "map[a:1 b:2 c:1 d:0 g:-1.5 h:999999999]" {
		t.Errorf("%s: %v", got, err)
	}
}

func TestTransient(t *testing.T) {
	t.Parallel()
	unreachable := func(err error) error { return fmt.Errorf("%w: %w", deploy.ErrUnreachable, err) }
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{&apiError{Status: 596, Message: "Connection timed out"}, true},
		{&apiError{Status: 503}, true},
		{&apiError{Status: 500, Message: "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout"}, true},
		{&apiError{Status: 500, Message: "cfs-lock 'file-user_cfg' error: got lock request timeout"}, true},
		{&apiError{Status: 500, Message: "unable to create VM 9000 - VM 9000 already exists on node 'pve1'"}, false},
		{&apiError{Status: 400, Message: "Parameter verification failed."}, false},
		{&apiError{Status: 403, Message: "Permission check failed"}, false},
		{unreachable(errIdle), true},
		{unreachable(&net.DNSError{IsNotFound: true}), false},
		{unreachable(&net.DNSError{IsTemporary: true}), true},
		{unreachable(errFingerprint), false},
		{context.Canceled, false},
		{errors.New("a bug"), false},
	} {
		if got := transient(tc.err); got != tc.want {
			t.Errorf("%v: %t", tc.err, got)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	err := &apiError{Request: "POST /nodes/pve1/qemu", Status: 400, Message: "Parameter verification failed.", Fields: map[string]string{
		"scsi0": "invalid format\n", "name": "not a DNS name",
	}}
	if got, want := err.Error(), "POST /nodes/pve1/qemu: 400 Parameter verification failed.; name: not a DNS name; scsi0: invalid format"; got != want {
		t.Error(got)
	}
	failed := &taskError{UPID: "UPID:pve1:00001000:00007000:6B056584:qmcreate:9000:root@pam:", Exit: "no space", Log: []string{"a", "b"}}
	if got, want := failed.Error(), "task qmcreate on node pve1 failed: no space\nits log ends with\n  a\n  b"; got != want {
		t.Error(got)
	}
}
