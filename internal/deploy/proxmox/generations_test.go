package proxmox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// TestFixedID gives the new generation the old one's id.
func TestFixedID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, map[string]any{"template_id": 7000, "storage": "data"})
	target := w.Target(t, nil)
	apply := func(s deploy.State, content string) (deploy.State, error) {
		s, warnings, err := deploy.Apply(t.Context(), target, s, request(t, "dev", content), deploy.Options{})
		if len(warnings) > 0 {
			t.Errorf("warned %q", warnings)
		}
		return s, err
	}
	s, err := apply(deploy.State{}, "first")
	if err != nil {
		t.Fatal(err)
	}
	first := *s.Current
	s, err = apply(s, "second")
	if err != nil || s.Current.ID != first.ID || s.Current.UUID == first.UUID || len(s.Previous) > 0 {
		t.Fatalf("replaced by %+v, %+v: %v", s.Current, s.Previous, err)
	}
	if problems, err := target.Check(t.Context(), deploy.Request{
		Name: "dev", Current: s.Current, Image: request(t, "dev", "third").Image,
	}); err != nil || len(problems) > 0 {
		t.Errorf("the check found %v: %v", problems, err)
	}
	if len(w.Server.Inventory()) != len(w.Of(t, *s.Current)) {
		t.Errorf("left: %q", w.Server.Inventory())
	}

	// Linked clones keep it where it is, and nothing else has changed.
	w.AddClone(t, 7000, 7001)
	before := strings.Join(w.Server.Inventory(), "\n")
	s, err = apply(s, "third")
	if !errors.Is(err, deploy.ErrInUse) || !strings.Contains(err.Error(), "7001") {
		t.Errorf("replaced what has clones: %v", err)
	}
	if after := strings.Join(w.Server.Inventory(), "\n"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if _, status, drift, err := deploy.Refresh(t.Context(), target, s); err != nil || status != deploy.StatusOK {
		t.Errorf("reads as %s, %q: %v", status, drift, err)
	}
}

// TestForeignVolume has volumes with the template's id that no VM has: what somebody else left, or another host's on the
// same storage.
func TestForeignVolume(t *testing.T) {
	t.Parallel()
	foreign := []string{"data:9000/vm-9000-disk-0.qcow2", "local-lvm:vm-9000-disk-0"}
	open := func(t *testing.T, settings map[string]any) (*world, deploy.Target, deploy.Request) {
		t.Helper()
		w := newWorld(t, pvetest.Options{LeakEFIDisk: true}, settings)
		for _, volid := range foreign {
			w.AddVolume(t, "pve1", volid)
		}
		r := request(t, "dev", "foreign")
		r.Image.Firmware, r.Image.TPM = qemu.UEFI, true
		return w, w.Target(t, nil), r
	}
	alone := func(t *testing.T, w *world) {
		t.Helper()
		want := []string{"volume pve1/9000 " + foreign[0], "volume pve1/9000 " + foreign[1]}
		if have := w.Server.Inventory(); !slices.Equal(have, want) {
			t.Errorf("left are %q, want %q", have, want)
		}
	}
	t.Run("destroyed", func(t *testing.T) {
		t.Parallel()
		w, target, r := open(t, nil)
		if err := target.Delete(t.Context(), *mustDeploy(t, w, target, r)); err != nil {
			t.Error(err)
		}
		alone(t, w)
	})
	for _, kind := range []string{"qmcreate", "qmtemplate"} {
		t.Run("failed "+kind, func(t *testing.T) {
			t.Parallel()
			w, target, r := open(t, nil)
			w.FailTask(func(typ, _ string) string { return map[string]string{kind: "no luck today"}[typ] })
			if left, err := target.Deploy(t.Context(), r); err == nil || left != nil {
				t.Errorf("left %+v: %v", left, err)
			}
			alone(t, w)
		})
	}
	t.Run("replaced", func(t *testing.T) {
		t.Parallel()
		w, target, r := open(t, map[string]any{"template_id": 9000})
		r.Current = mustDeploy(t, w, target, r)
		if err := target.Delete(t.Context(), *mustDeploy(t, w, target, r)); err != nil {
			t.Error(err)
		}
		alone(t, w)
	})
}

// TestTakenID never touches what is somebody else's.
func TestTakenID(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"VM", "CT"} {
		w := newWorld(t, pvetest.Options{}, map[string]any{"template_id": 7000})
		w.AddVM("pve1", 7000, kind, map[string]string{"name": "database"})
		target := w.Target(t, nil)
		r := request(t, "dev", "taken")
		problems, err := target.Check(t.Context(), r)
		if err != nil || len(problems) != 1 || problems[0].Field != "template_id" {
			t.Errorf("the check found %v: %v", problems, err)
		}
		_, err = target.Deploy(t.Context(), r)
		if !errors.Is(err, deploy.ErrExists) {
			t.Errorf("deployed: %v", err)
		}
		if have := w.Server.Inventory(); len(have) != 1 {
			t.Errorf("there is %q", have)
		}
	}
}

// TestRetired keeps a template with linked clones, and collects it once they are gone.
func TestRetired(t *testing.T) {
	t.Parallel()
	for _, version := range allVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, pvetest.Options{Version: version}, map[string]any{"storage": "data"})
			target := w.Target(t, nil)
			r := request(t, "dev", "first")
			old := mustDeploy(t, w, target, r)
			w.AddClone(t, int(old.VMID), 9500)
			for range 2 { // again: it is as it is
				if err := target.Delete(t.Context(), *old); !errors.Is(err, deploy.ErrInUse) || !strings.Contains(err.Error(), "9500") {
					t.Fatalf("deleted: %v", err)
				}
			}
			config := w.Config(t, int(old.VMID))
			if config["name"] != "dev-retired-"+r.Image.Key[:12] || !strings.Contains(config["tags"], tagRetired) {
				t.Errorf("retired as %q with tags %q", config["name"], config["tags"])
			}
			if _, err := target.Find(t.Context(), r); !errors.Is(err, deploy.ErrNotFound) {
				t.Errorf("found the retired one: %v", err)
			}
			second := mustDeploy(t, w, target, request(t, "dev", "second"))
			if len(w.Of(t, *old)) == 0 || len(w.InventoryOf("pve1", 9500)) == 0 {
				t.Error("the retired template or its clone is gone")
			}
			w.RemoveVM(t, 9500)
			third := mustDeploy(t, w, target, request(t, "dev", "third"))
			if len(w.Of(t, *old)) > 0 {
				t.Error("the retired template was not collected")
			}
			for _, r := range []deploy.Result{*second, *third} {
				if err := target.Delete(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
			empty(t, w)
		})
	}
}

// TestHiddenClone is one that the login may not see: the server refuses in the task.
func TestHiddenClone(t *testing.T) {
	t.Parallel()
	tokens := map[string]map[string][]string{pvetest.TokenID: {"/": pvetest.MinimalRole(), "/vms/9500": nil}}
	w := newWorld(t, pvetest.Options{Tokens: tokens}, map[string]any{"storage": "data"})
	target := w.Target(t, nil)
	made := mustDeploy(t, w, target, request(t, "dev", "hidden"))
	w.AddClone(t, int(made.VMID), 9500)
	if err := target.Delete(t.Context(), *made); !errors.Is(err, deploy.ErrInUse) {
		t.Errorf("deleted: %v", err)
	}
	if !strings.Contains(w.Config(t, int(made.VMID))["tags"], tagRetired) {
		t.Error("it is not marked as retired")
	}
}

// TestFullClone has a clone that inherited the notes and tags, and became a template of somebody's own.
func TestFullClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	target := w.Target(t, nil)
	r := request(t, "dev", "clone")
	made := mustDeploy(t, w, target, r)
	config := w.Config(t, int(made.VMID))
	config["smbios1"], config["tags"] = "uuid="+newUUID(), "pim;pim-retired"
	w.AddVM("pve1", 9500, "VM", config)
	if err := target.Delete(t.Context(), *made); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Find(t.Context(), r); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("found the clone: %v", err)
	}
	if _, _, err := target.Read(t.Context(), deploy.Result{VMID: 9500}); err == nil || !strings.Contains(err.Error(), "it is a clone") {
		t.Errorf("imported the clone: %v", err)
	}
	if len(w.InventoryOf("pve1", 9500)) == 0 {
		t.Error("the clone is gone")
	}
}

// TestRead finds a template that was migrated, one by its id only, and none that is another by now.
func TestRead(t *testing.T) {
	t.Parallel()
	shared := pvetest.Storage{ID: "nfs", Type: "dir", Path: "/mnt/pve/nfs", Content: []string{"images"}, Shared: true}
	w := newWorld(t, pvetest.Options{
		Nodes: []string{"pve1", "pve2"}, Storages: append(pvetest.DefaultStorages("9.2"), shared),
	}, map[string]any{"node": "pve1", "storage": "nfs"})
	target := w.Target(t, nil)
	made := mustDeploy(t, w, target, request(t, "dev", "read"))
	imported, drift, err := target.Read(t.Context(), deploy.Result{VMID: made.VMID})
	if err != nil || len(drift) > 0 || fmt.Sprintf("%+v", imported) != fmt.Sprintf("%+v", made) {
		t.Errorf("imported %+v with drift %q, made %+v: %v", imported, drift, made, err)
	}
	w.MoveToNode(t, int(made.VMID), "pve2")
	moved, drift, err := target.Read(t.Context(), *made)
	if err != nil || len(drift) > 0 || moved.Node != "pve2" || moved.ID != "pve2/9000" {
		t.Errorf("migrated to %+v, drift %q: %v", moved, drift, err)
	}
	other := *made
	other.UUID = newUUID()
	if _, _, err := target.Read(t.Context(), other); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("another VM with the id was read: %v", err)
	}
	if err := target.Delete(t.Context(), other); err != nil || len(w.Of(t, *moved)) == 0 {
		t.Errorf("another VM with the id was deleted: %v", err)
	}
	if err := target.Delete(t.Context(), *made); err != nil {
		t.Error(err)
	}
	empty(t, w)
}

// TestHiddenVM tells a VM that is gone from one that the login may not see: both are 403 to one with few privileges.
func TestHiddenVM(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{Tokens: grants("/vms/9100")}, nil)
	target := w.Target(t, nil)
	have := deploy.Result{Node: "pve1", VMID: 9100, UUID: newUUID()}
	if _, _, err := target.Read(t.Context(), have); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("gone reads as %v", err)
	}
	w.AddVM("pve1", 9100, "VM", map[string]string{"name": "hidden"})
	if _, _, err := target.Read(t.Context(), have); err == nil || errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("hidden reads as %v", err)
	}
}

// TestUndeletable says what is in the way.
func TestUndeletable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	target := w.Target(t, nil)
	made := mustDeploy(t, w, target, request(t, "dev", "undeletable"))
	for _, tc := range []struct {
		name, says string
		set, lift  map[string]string
	}{
		{"protected", "switch its protection off", map[string]string{"protection": "1"}, map[string]string{"protection": ""}},
		{"locked", "qm unlock 9000", map[string]string{"lock": "backup"}, map[string]string{"lock": ""}},
	} {
		w.SetConfig(t, 9000, tc.set)
		if err := target.Delete(t.Context(), *made); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.name, err)
		}
		w.SetConfig(t, 9000, tc.lift)
	}
	w.Stick(func(volid string) bool { return strings.Contains(volid, "base-9000-disk") })
	if err := target.Delete(t.Context(), *made); err == nil || !strings.Contains(err.Error(), "local-lvm:base-9000-disk-0 stay") {
		t.Errorf("with a stuck disk: %v", err)
	}
}

// TestUpdate changes only what differs.
func TestUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	target := w.Target(t, nil)
	r := request(t, "dev", "update")
	made := mustDeploy(t, w, target, r)
	before := w.Config(t, 9000)
	changed := w.Target(t, map[string]any{"cores": 8, "memory": 1024, "bridge": "vmbr7", "cpu_type": "host", "tags": []string{"new"}})
	_, drift, err := changed.Read(t.Context(), *made)
	if want := `cores is 2, not 8|memory is 2048, not 1024|cpu is "x86-64-v2-AES", not "host"|tags is "debian;golden;pim", not "new;pim"|` +
		`bridge is "vmbr0", not "vmbr7"`; err != nil || strings.Join(drift, "|") != want {
		t.Errorf("drift %q: %v", drift, err)
	}
	r.Name = "renamed"
	now, err := changed.Update(t.Context(), r, *made)
	if err != nil || now.Name != "renamed" {
		t.Fatalf("updated to %+v: %v", now, err)
	}
	if _, drift, err := changed.Read(t.Context(), *now); err != nil || len(drift) > 0 {
		t.Errorf("drift after the update %q: %v", drift, err)
	}
	if found, err := changed.Find(t.Context(), r); err != nil || fmt.Sprintf("%+v", found) != fmt.Sprintf("%+v", now) {
		t.Errorf("found %+v: %v", found, err)
	}
	after := w.Config(t, 9000)
	if property(after["net0"], "virtio") != property(before["net0"], "virtio") || after["scsi0"] != before["scsi0"] {
		t.Errorf("before %v\nafter %v", before, after)
	}
	w.SetConfig(t, 9000, map[string]string{"lock": "backup"})
	if _, err := target.Update(t.Context(), r, *now); err == nil || !strings.Contains(err.Error(), "qm unlock 9000") {
		t.Errorf("updated what is locked: %v", err)
	}
}
