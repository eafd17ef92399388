package pvetest_test

import (
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// TestParameters: what the schema forbids is a 400 with a map of errors.
func TestParameters(t *testing.T) {
	t.Parallel()
	const unknown = "property is not defined in schema and the schema does not allow additional properties"
	create := func(name string, errs map[string]string, params ...string) failure {
		return failure{
			name: name, method: "POST", path: "/nodes/pve1/qemu", params: append([]string{"vmid=100"}, params...), status: 400,
			reason: "Parameter verification failed.", errors: errs,
		}
	}
	asRoot := func(f failure) failure { f.client = (*client).root; return f }
	on := func(f failure, versions ...string) failure { f.versions = versions; return f }
	runFailures(t, pvetest.Options{}, func(*client) {}, []failure{
		{
			name: "missing", method: "POST", path: "/nodes/pve1/qemu", status: 400, reason: "Parameter verification failed.",
			errors: map[string]string{"vmid": "property is missing and it is not optional"},
		},
		{
			name: "conflict with the path", method: "PUT", path: "/nodes/pve1/qemu/100/config", params: []string{"vmid=101"},
			status: 400, reason: "Parameter verification failed.",
			errors: map[string]string{"vmid": "duplicate parameter (already defined in URI) with conflicting values!"},
		},
		create("unknown", map[string]string{"nonsense": unknown}, "nonsense=1"),
		create("index too high", map[string]string{"net32": unknown}, "net32=virtio"),
		create("several", map[string]string{
			"nonsense": unknown, "cores": "type check ('integer') failed - got 'two'",
		}, "nonsense=1", "cores=two"),
		create("too small", map[string]string{"cores": "value must have a minimum value of 1"}, "cores=0"),
		create("no boolean", map[string]string{"onboot": "type check ('boolean') failed - got 'true'"}, "onboot=true"),
		create("no DNS name", map[string]string{
			"name": "invalid format - value does not look like a valid DNS name\n",
		}, "name=debian_dev"),
		create("no tag", map[string]string{"tags": "invalid format - invalid characters in tag\n"}, "tags=a b,c!"),
		create("enumeration", map[string]string{
			"bios": "value 'efi' does not have a value in the enumeration 'seabios, ovmf'",
		}, "bios=efi"),
		create("unknown key of a drive", map[string]string{
			"scsi0": "invalid format - invalid key in comma-separated list property: nonsense\n",
		}, "scsi0=data:1,nonsense=1"),
		create("wrong value in a drive", map[string]string{
			"scsi0": "invalid format - format error\nscsi0.discard: value '1' does not have a value in the enumeration 'ignore, on'\n",
		}, "scsi0=data:1,discard=1"),
		create("no volume", map[string]string{
			"scsi0": "invalid format - format error\nscsi0.file: invalid format - unable to parse volume ID 'data'\n\n",
		}, "scsi0=data"),
		create("no uuid", map[string]string{
			"smbios1": "invalid format - format error\nsmbios1.uuid: value does not match the regex pattern\n",
		}, "smbios1=uuid=1"),
		create("no boot device", map[string]string{
			"boot": "invalid format - format error\nboot.order: invalid format - invalid boot device 'disk0'\n\n",
		}, "boot=order=disk0"),
		create("both twice", map[string]string{"name": "type check ('string') failed - got ARRAY"}, "name=a", "name=b"),
		create("keys only encoded", map[string]string{
			"sshkeys": "invalid format - invalid urlencoded string: ssh-ed25519 AAAA\n",
		}, "sshkeys=ssh-ed25519 AAAA"),
		on(create("later parameter", map[string]string{"import-working-storage": unknown}, "import-working-storage=data"), "8.2"),
		on(create("later parameter", map[string]string{"ha-managed": unknown}, "ha-managed=1"), "8.2", "8.3", "8.4"),
		asRoot(create("import needs its syntax", map[string]string{
			"scsi0": "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>",
		}, "scsi0=data:8,import-from=data:100/vm-100-disk-0.qcow2")),
		create("target without images", map[string]string{"storage": "storage 'local' does not support vm images"}, "scsi0=local:8"),
		create("an ISO's content is not imported", map[string]string{
			"scsi0": "local:iso/x.img has wrong type 'iso' - needs to be 'images' or 'import'",
		}, "scsi0=data:0,import-from=local:iso/x.img"),
		{
			name: "JSON boolean for a string", method: "POST", path: "/nodes/pve1/qemu", contentType: "application/json",
			body: `{"vmid":100,"agent":true}`, status: 400, reason: "Parameter verification failed.",
			errors: map[string]string{"agent": "type check ('string') failed - got JSON::PP::Boolean"},
		},
		{
			name: "unknown option to delete", method: "PUT", path: "/nodes/pve1/qemu/100/config", params: []string{"delete=nonsense"},
			status: 400, reason: "Parameter verification failed.", errors: map[string]string{"delete": "unknown option 'nonsense'"},
		},
		{
			name: "neither 0 nor 1", method: "GET", path: "/nodes/pve1/qemu", params: []string{"full=2"}, status: 400,
			reason: "Parameter verification failed.",
			errors: map[string]string{"full": "type check ('boolean') failed - got '2'"},
		},
	})
}

// TestJSON: a JSON body is as good as a form, numbers and all.
func TestJSON(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	r := c.send("POST", "/nodes/pve1/qemu", "application/json", reader(`{"vmid":100,"cores":2,"memory":"1024","onboot":true}`))
	if exit := c.wait(r); exit != "OK" {
		t.Fatal(exit)
	}
	if conf := c.config("100"); conf["cores"] != 2.0 || conf["memory"] != "1024" || conf["onboot"] != 1.0 {
		t.Errorf("%v", conf)
	}
}
