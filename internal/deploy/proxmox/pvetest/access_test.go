package pvetest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// failure is a request and how it fails.
type failure struct {
	name           string
	method, path   string
	params         []string
	status         int
	reason         string            // of the status line
	errors         map[string]string // in the body
	versions       []string          // nil for all
	client         func(c *client) *client
	contentType    string
	body           string
	withoutMessage bool // the body has no text on any version
}

var versions = []string{"8.2", "8.3", "8.4", "9.2"}

func (f failure) check(t *testing.T, c *client, version string) {
	t.Helper()
	if f.client != nil {
		c = f.client(c)
	}
	var r reply
	if f.body != "" {
		r = c.send(f.method, f.path, f.contentType, strings.NewReader(f.body))
	} else {
		r = c.do(f.method, f.path, f.params...)
	}
	if r.status != f.status || r.reason != f.reason {
		t.Errorf("%d %s\n%s\nwant %d %s", r.status, r.reason, r.body, f.status, f.reason)
	}
	got, want := r.Errors, f.errors
	for name, text := range want {
		if got[name] != text {
			t.Errorf("error of %s: %q, want %q", name, got[name], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("errors %q, want %q", got, want)
	}
	inBody := strings.Contains(r.body, f.reason)
	if since84 := version == "8.4" || version == "9.2"; !f.withoutMessage && inBody != since84 {
		t.Errorf("text in the body: %v\n%s", inBody, r.body)
	}
}

func (f failure) concerns(version string) bool {
	return f.versions == nil || strings.Contains(strings.Join(f.versions, " "), version)
}

// runFailures checks a table of failures on all versions.
func runFailures(t *testing.T, o pvetest.Options, prepare func(c *client), table []failure) {
	t.Helper()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			o := o
			o.Version = version
			c := newClient(t, o)
			prepare(c)
			for _, f := range table {
				if f.concerns(version) {
					t.Run(f.name, func(t *testing.T) {
						here := *c
						here.t = t
						f.check(t, &here, version)
					})
				}
			}
		})
	}
}

func withHeader(name, value string) func(*client) *client {
	return func(c *client) *client {
		other := *c
		other.header = http.Header{}
		if name != "" {
			other.header.Set(name, value)
		}
		return &other
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	o := pvetest.Options{Tokens: map[string]map[string][]string{
		pvetest.TokenID: {"/": pvetest.Role}, "audit@pve!x": {"/": {"Datastore.Audit"}}, "root@pam!x": {},
	}}
	prepare := func(c *client) {
		c.s.AddVM("pve1", 9000, "VM", map[string]string{"name": "taken"})
		c.s.AddVM("pve1", 9001, "CT", nil)
	}
	runFailures(t, o, prepare, []failure{
		{
			name: "no ticket", client: withHeader("", ""), method: "GET", path: "/version", status: 401, reason: "No ticket",
			withoutMessage: true,
		},
		{
			name: "wrong secret", client: withHeader("Authorization", "PVEAPIToken="+pvetest.TokenID+"=nonsense"), method: "GET",
			path: "/version", status: 401, reason: "invalid token value!", versions: []string{"8.2", "8.3"}, withoutMessage: true,
		},
		{
			name: "no such token", client: withHeader("Authorization", "PVEAPIToken=a@pve!b=c"), method: "GET", path: "/version",
			status: 401, reason: "no such token 'b' for user 'a@pve'", versions: []string{"8.2", "8.3"}, withoutMessage: true,
		},
		{
			name: "wrong secret", client: withHeader("Authorization", "PVEAPIToken="+pvetest.TokenID+"=nonsense"), method: "GET",
			path: "/version", status: 401, reason: "Authentication failed!", versions: []string{"8.4", "9.2"}, withoutMessage: true,
		},
		{
			name: "wrong password", client: withHeader("", ""), method: "POST", path: "/access/ticket",
			params: []string{"username=root@pam", "password=x"}, status: 401, reason: "authentication failure",
		},
		{
			name: "ticket without CSRF token", method: "POST", path: "/nodes/pve1/qemu/9000/template",
			client: func(c *client) *client { c = c.root(); c.header.Del("CSRFPreventionToken"); return c },
			status: 401, reason: "Permission denied - invalid csrf token", withoutMessage: true,
		},
		{
			name: "stale ticket", client: withHeader("Cookie", "PVEAuthCookie=PVE:root@pam:0::x"), method: "GET", path: "/version",
			status: 401, reason: "permission denied - invalid PVE ticket", versions: []string{"8.2", "8.3"}, withoutMessage: true,
		},
		{
			name: "stale ticket", client: withHeader("Cookie", "PVEAuthCookie=PVE:root@pam:0::x"), method: "GET", path: "/version",
			status: 401, reason: "Authentication failed!", versions: []string{"8.4", "9.2"}, withoutMessage: true,
		},
		{
			name: "missing VM", method: "GET", path: "/nodes/pve1/qemu/9999/config", status: 500,
			reason: "Configuration file 'nodes/pve1/qemu-server/9999.conf' does not exist",
		},
		{
			name: "unknown node", method: "GET", path: "/nodes/x/qemu/9000/config", status: 500,
			reason: "hostname lookup 'x' failed - failed to get address info for: x: Name or service not known",
		},
		{name: "unknown path", method: "GET", path: "/nonsense", status: 501, reason: "Method 'GET /nonsense' not implemented"},
		{
			name: "DELETE with a body", method: "DELETE", path: "/nodes/pve1/qemu/9000", body: "purge=1",
			contentType: "application/x-www-form-urlencoded", status: 501, reason: "Unexpected content for method 'DELETE'",
		},
		{
			name: "taken id", method: "GET", path: "/cluster/nextid", params: []string{"vmid=9000"}, status: 400,
			reason: "Parameter verification failed.", errors: map[string]string{"vmid": "VM 9000 already exists"},
		},
		{
			name: "taken by a container", method: "GET", path: "/cluster/nextid", params: []string{"vmid=9001"}, status: 400,
			reason: "Parameter verification failed.", errors: map[string]string{"vmid": "VM 9001 already exists"},
		},
		{
			name: "id below the range", method: "GET", path: "/cluster/nextid", params: []string{"vmid=99"}, status: 400,
			reason: "Parameter verification failed.",
			errors: map[string]string{"vmid": "invalid format - value does not look like a valid VM ID\n"},
		},
		{
			name: "id above the range", method: "GET", path: "/cluster/nextid", params: []string{"vmid=1000000000"}, status: 400,
			reason: "Parameter verification failed.",
			errors: map[string]string{"vmid": "invalid format - value does not look like a valid VM ID\n"},
		},
		{
			name: "create with a taken id", method: "POST", path: "/nodes/pve1/qemu", params: []string{"vmid=9000"}, status: 500,
			reason: "unable to create VM 9000 - VM 9000 already exists on node 'pve1'",
		},
		{
			name: "create with a container's id", method: "POST", path: "/nodes/pve1/qemu", params: []string{"vmid=9001"}, status: 500,
			reason: "unable to create VM 9001 - CT 9001 already exists on node 'pve1'",
		},
		{
			name: "no privilege", client: func(c *client) *client { return c.as("audit@pve!x") }, method: "GET",
			path: "/nodes/pve1/qemu/9000/config", status: 403, reason: "Permission check failed (/vms/9000, VM.Audit)",
		},
		{
			name: "any of several privileges", client: func(c *client) *client { return c.as("audit@pve!x") }, method: "PUT",
			path: "/nodes/pve1/qemu/9000/config", params: []string{"name=x"}, status: 403,
			reason: "Permission check failed (/vms/9000, VM.Config.Disk|VM.Config.CDROM|VM.Config.CPU|VM.Config.Memory|" +
				"VM.Config.Network|VM.Config.HWType|VM.Config.Options|VM.Config.Cloudinit)",
		},
		{
			name: "root's token is not root: absolute path", client: func(c *client) *client { return c.as("root@pam!x") },
			method: "POST", path: "/nodes/pve1/qemu", params: []string{"vmid=100", "scsi0=data:0,import-from=/var/lib/vz/x"},
			status: 500, reason: "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 560.",
		},
		{
			name: "root's token is not root: skiplock", client: func(c *client) *client { return c.as("root@pam!x") },
			method: "DELETE", path: "/nodes/pve1/qemu/9000", params: []string{"skiplock=1"}, status: 400,
			reason: "Parameter verification failed.", errors: map[string]string{"skiplock": "Only root may use this option."},
		},
		{
			name: "root's token is not root: delete=lock", client: func(c *client) *client { return c.as("root@pam!x") },
			method: "PUT", path: "/nodes/pve1/qemu/9000/config", params: []string{"delete=lock"}, status: 500,
			reason: "only root can set 'lock' config",
		},
		{
			name: "unknown task", method: "GET", status: 400, reason: "Parameter verification failed.",
			path:   "/nodes/pve1/tasks/UPID:pve1:00001001:00007007:65000000:qmcreate:100:a@pve:/status",
			errors: map[string]string{"upid": "no such task"},
		},
		{
			name: "no UPID", method: "GET", path: "/nodes/pve1/tasks/nonsense/status", status: 400,
			reason: "Parameter verification failed.", errors: map[string]string{"upid": "unable to parse worker upid"},
		},
	})
}

// TestChunked: the server wants a length.
func TestChunked(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	body := struct{ io.Reader }{strings.NewReader("name=x")} // of a length that net/http cannot know
	r := c.send("PUT", "/nodes/pve1/qemu/9000/config", "application/x-www-form-urlencoded", body)
	if r.status != 501 || r.reason != "chunked transfer encoding not supported" {
		t.Errorf("%d %s", r.status, r.reason)
	}
}

func TestTicketExpires(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{TicketLife: time.Nanosecond}).root()
	if r := c.do("GET", "/version"); r.status != 401 {
		t.Errorf("%d %s", r.status, r.reason)
	}
}

// TestVersionAndPermissions reads what a client asks before anything else.
func TestVersionAndPermissions(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Version: "8.4", Tokens: map[string]map[string][]string{
		pvetest.TokenID: {"/": pvetest.MinimalRole(), "/storage/data": {"Datastore.Audit"}},
	}})
	if v := c.want(200, "GET", "/version").Data.(map[string]any); v["version"] != "8.4.21" || v["release"] != "8.4" {
		t.Errorf("version %v", v)
	}
	r := c.want(200, "GET", "/access/permissions", "path=/storage/data").Data
	if got, _ := json.Marshal(r); string(got) != `{"/storage/data":{"Datastore.Audit":1}}` {
		t.Errorf("the longest path with grants does not count alone: %s", got)
	}
	r = c.want(200, "GET", "/access/permissions", "path=/vms/9000").Data
	if got, _ := json.Marshal(r); !strings.Contains(string(got), `"VM.Allocate":1`) || strings.Contains(string(got), "CDROM") {
		t.Errorf("permissions %s", got)
	}
	if id := c.want(200, "GET", "/cluster/nextid", "vmid=9000").Data; id != "9000" {
		t.Errorf("nextid is %v, not a string", id)
	}
}
