package proxmox

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	gib := int64(1 << 30)
	small := func(id string, avail int64, content ...string) pvetest.Storage {
		return pvetest.Storage{ID: id, Type: "dir", Path: "/mnt/" + id, Content: content, Total: 100 * gib, Avail: avail}
	}
	storages := append(pvetest.DefaultStorages("9.2"),
		small("full", gib, "images", "import"), small("tight", 5*gib, "images"),
		pvetest.Storage{ID: "off", Type: "dir", Content: []string{"images"}, Disabled: true},
		pvetest.Storage{ID: "away", Type: "dir", Content: []string{"images"}, Nodes: []string{"pve2"}})
	for name, tc := range map[string]struct {
		o        pvetest.Options
		settings map[string]any
		image    deploy.Image
		want     []string // field: text of the detail; "?" before a warning
	}{
		"fine":             {},
		"no storage":       {settings: map[string]any{"storage": "nowhere"}, want: []string{"storage: It has data"}},
		"another node's":   {settings: map[string]any{"cloud_init_storage": "away"}, want: []string{"cloud_init_storage: has no storage away"}},
		"disabled":         {settings: map[string]any{"cloud_init_storage": "off"}, want: []string{"cloud_init_storage: is disabled"}},
		"not for images":   {settings: map[string]any{"cloud_init_storage": "local"}, want: []string{"cloud_init_storage: pvesm set local --content backup,iso,vztmpl,import,images"}},
		"not for import":   {settings: map[string]any{"import_storage": "data"}, want: []string{`import_storage: "import"`}},
		"no room to send":  {settings: map[string]any{"import_storage": "full"}, want: []string{"import_storage: has 1.0 GiB free, and the image takes 2.0 GiB"}},
		"no room":          {settings: map[string]any{"storage": "full"}, want: []string{"storage: has 1.0 GiB free"}},
		"hardly room":      {settings: map[string]any{"storage": "tight"}, want: []string{"?storage: the disk is of 20.0 GiB"}},
		"no node":          {settings: map[string]any{"node": "pve9"}, want: []string{"node: there is no node pve9, only pve1"}},
		"which node":       {o: pvetest.Options{Nodes: []string{"pve1", "pve2"}}, want: []string{"node: pve1, pve2"}},
		"no pool":          {settings: map[string]any{"pool": "golden"}, want: []string{"pool: There is no pool golden"}},
		"arm64":            {image: deploy.Image{Arch: host.ARM64}, want: []string{": runs on x86_64"}},
		"wrong token":      {settings: map[string]any{"api_token": pvetest.TokenID + "=" + newUUID()}, want: []string{"api_token: rejects the token " + pvetest.TokenID}},
		"8.3 without room": {o: pvetest.Options{Version: "8.3", Storages: pvetest.DefaultStorages("8.3")[:2]}, want: []string{"import_storage: has none"}},
		"privileges": {
			o:    pvetest.Options{Tokens: grants("/storage/local-lvm", "Datastore.Audit")},
			want: []string{"storage: lacks Datastore.AllocateSpace on /storage/local-lvm"},
		},
		"privileges on VMs": {
			o:    pvetest.Options{Tokens: grants("/vms", "VM.Audit", "VM.Config.CPU")},
			want: []string{"api_token: lacks VM.Allocate, VM.Config.Cloudinit, VM.Config.Disk, "},
		},
		"privileges on a pool": {
			o: pvetest.Options{Pools: []string{"golden"}, Tokens: map[string]map[string][]string{
				pvetest.TokenID: {"/storage": pvetest.Role, "/pool/golden": append(pvetest.MinimalRole(), "Pool.Audit"), "/sdn": {"SDN.Use"}},
			}},
			settings: map[string]any{"pool": "golden"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.o.Storages == nil {
				tc.o.Storages = storages
			}
			image := deploy.Image{Arch: host.X86_64, SizeBytes: 2 * gib, VirtualBytes: 20 * gib}
			if tc.image.Arch != "" {
				image = tc.image
			}
			problems, err := newWorld(t, tc.o, nil).Target(t, tc.settings).Check(t.Context(), deploy.Request{Name: "dev", Image: image})
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]string{}
			for _, p := range problems {
				field := p.Field
				if p.Warning {
					field = "?" + field
				}
				found[field] += p.Detail
			}
			for _, w := range tc.want {
				field, text, _ := strings.Cut(w, ": ")
				if !strings.Contains(found[field], text) {
					t.Errorf("%q says %q, without %q", field, found[field], text)
				}
				delete(found, field)
			}
			if len(found) > 0 {
				t.Errorf("found also %q", found)
			}
		})
	}
}

// TestBridge looks among the bridges that the login may use; pvetest does not list any.
func TestBridge(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api2/json/nodes/pve1/network" || r.URL.Query().Get("type") != "any_bridge" {
			t.Errorf("got %s", r.URL)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": []map[string]any{{"iface": "vmbr0", "active": 1}, {"iface": "vnet1"}}})
	}))
	defer s.Close()
	c, err := newClient(credentials{Endpoint: s.URL, APIToken: "u@pve!t=x", Insecure: true}, deploytest.Pace())
	if err != nil {
		t.Fatal(err)
	}
	for bridge, problems := range map[string]int{"vmbr0": 0, "vnet1": 0, "vmbr1": 1} {
		target := &target{client: c, s: Settings{Bridge: bridge}}
		got, err := target.checkBridge(t.Context(), &site{node: "pve1"}, deploy.Request{})
		if err != nil || len(got) != problems {
			t.Errorf("%s: %v, %v", bridge, got, err)
		}
	}
}

// TestUnreachable is an error of its own kind, and says how the server's certificate can be trusted.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	closed := httptest.NewTLSServer(nil)
	closed.Close()
	for name, tc := range map[string]struct {
		change map[string]any
		says   string
	}{
		"nobody listens": {map[string]any{"endpoint": closed.URL}, "refused"},
		"unknown CA":     {map[string]any{"ca_file": ""}, "Give ca_file"},
		"other certificate": {
			map[string]any{"ca_file": "", "fingerprint": strings.Repeat("ab", 32)},
			strings.ToLower(strings.ReplaceAll(w.Fingerprint, ":", "")),
		},
	} {
		_, err := w.Target(t, tc.change).Check(t.Context(), deploy.Request{Name: "dev", Image: deploy.Image{Arch: host.X86_64}})
		if !errors.Is(err, deploy.ErrUnreachable) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]map[string]any{
		"fingerprint": {"ca_file": "", "fingerprint": w.Fingerprint},
		"insecure":    {"ca_file": "", "insecure": true},
	} {
		problems, err := w.Target(t, change).Check(t.Context(), deploy.Request{Name: "dev", Image: deploy.Image{Arch: host.X86_64}})
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", name, problems, err)
		}
	}
}
