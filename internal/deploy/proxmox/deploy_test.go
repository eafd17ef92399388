package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// TestTemplate looks at a template as the server has it.
func TestTemplate(t *testing.T) {
	t.Parallel()
	for _, version := range allVersions {
		for _, storage := range []string{"local-lvm", "data"} {
			t.Run(version+" "+storage, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, pvetest.Options{Version: version, Pools: []string{"golden"}, LateTasks: 2}, map[string]any{"storage": storage})
				r := request(t, "debian_dev", "template")
				r.Image.Firmware = qemu.UEFI
				made := mustDeploy(t, w, w.Target(t, map[string]any{"pool": "golden", "cores": 3}), r)
				config := w.Config(t, int(made.VMID))
				for option, want := range map[string]string{
					"name": "debian-dev", "ostype": "l26", "cores": "3", "memory": "2048", "cpu": "x86-64-v2-AES", "bios": "ovmf", "machine": "q35",
					"scsihw": "virtio-scsi-single", "boot": "order=scsi0", "serial0": "socket", "template": "1", "agent": "enabled=1",
					"smbios1": "uuid=" + made.UUID, "vga": "",
				} {
					if config[option] != want {
						t.Errorf("%s is %q, not %q", option, config[option], want)
					}
				}
				for option, want := range map[string]string{
					"scsi0": "base-9000-disk-", "efidisk0": "pre-enrolled-keys=0", "ide2": storage + ":", "net0": "bridge=vmbr0",
					"description": "- profile: developer\n- image key: `" + r.Image.Key + "`",
				} {
					if !strings.Contains(config[option], want) {
						t.Errorf("%s is %q, without %q", option, config[option], want)
					}
				}
				if _, format := w.DiskPath(t, int(made.VMID)); (format == "qcow2") != (storage == "data") {
					t.Errorf("the disk on %s is %s", storage, format)
				}
				if made.ID != "pve1/9000" || made.Name != r.Name || made.ImageKey != r.Image.Key {
					t.Errorf("made %+v", made)
				}
				if got := len(w.Server.Inventory()); got != len(w.Of(t, *made)) {
					t.Errorf("left beside the template: %q", w.Server.Inventory())
				}
			})
		}
	}
}

// TestTokenBefore83 is refused with the reason, root's own too, before anything is sent.
func TestTokenBefore83(t *testing.T) {
	t.Parallel()
	for _, id := range []string{pvetest.TokenID, "root@pam!automation"} {
		o := pvetest.Options{Version: "8.2", Tokens: map[string]map[string][]string{id: {"/": pvetest.Role}}}
		w := newWorld(t, o, nil)
		delete(w.settings, "username")
		delete(w.settings, "password")
		target := w.Target(t, map[string]any{"api_token": w.Token(id)})
		r := request(t, "dev", "old")
		problems, err := target.Check(t.Context(), r)
		if err != nil || len(problems) != 1 || problems[0].Field != "username" || !strings.Contains(problems[0].Detail, "root@pam") {
			t.Errorf("%s: the check found %v: %v", id, problems, err)
		}
		if _, err := target.Deploy(t.Context(), r); err == nil || !strings.Contains(err.Error(), "Only root can import") {
			t.Errorf("%s: deploying: %v", id, err)
		}
		empty(t, w)
		for _, r := range w.Requests() {
			if r.Method != http.MethodGet {
				t.Errorf("made the request %s", r)
			}
		}
	}
}

// TestParallel has deployments race for ids.
func TestParallel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{TaskDelay: 20 * time.Millisecond}, nil)
	w.AddVM("pve1", 9001, "CT", nil)
	var wait sync.WaitGroup
	var mu sync.Mutex
	ids := map[int64]bool{}
	for i := range 5 {
		r := request(t, fmt.Sprintf("dev%d", i), "parallel")
		target := w.Target(t, nil)
		wait.Go(func() {
			made, err := target.Deploy(t.Context(), r)
			if err != nil {
				t.Errorf("deployment %d: %v", i, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[made.VMID] = true
		})
	}
	wait.Wait()
	if len(ids) != 5 || ids[9001] {
		t.Errorf("the ids are %v", ids)
	}
	files := map[string]bool{}
	for _, r := range w.Requests() {
		files[r.Params["filename"]] = true
	}
	if len(files) != 5+1 { // and "", of the other requests
		t.Errorf("uploaded to %v", files)
	}
}

// TestFailedTask removes what it made, and shows why.
func TestFailedTask(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"8.3", "8.4", "9.2"} {
		for _, kind := range []string{"imgcopy", "qmcreate", "qmtemplate"} {
			t.Run(version+" "+kind, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, pvetest.Options{Version: version, LeakEFIDisk: true}, nil)
				w.FailTask(func(typ, _ string) string {
					if typ == kind {
						return "no luck today"
					}
					return ""
				})
				r := request(t, "dev", "failed")
				r.Image.Firmware, r.Image.TPM = qemu.UEFI, true
				left, err := w.Target(t, nil).Deploy(t.Context(), r)
				if left != nil || err == nil || !strings.Contains(err.Error(), "no luck today") || !strings.Contains(err.Error(), kind) {
					t.Errorf("left %+v: %v", left, err)
				}
				empty(t, w)
			})
		}
	}
}

// A template gives its machines what the image was built for.
func TestPlatform(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		firmware string
		tpm      bool
		want     map[string]string // what the option holds; "" for none
	}{
		"bios":         {qemu.BIOS, false, map[string]string{"bios": "", "efidisk0": "", "tpmstate0": ""}},
		"bios and TPM": {qemu.BIOS, true, map[string]string{"bios": "", "efidisk0": "", "tpmstate0": "version=v2.0"}},
		"uefi":         {qemu.UEFI, false, map[string]string{"bios": "ovmf", "efidisk0": "pre-enrolled-keys=0", "tpmstate0": ""}},
		"uefi-secure":  {qemu.UEFISecure, true, map[string]string{"bios": "ovmf", "efidisk0": "pre-enrolled-keys=1", "tpmstate0": "version=v2.0"}},
	} {
		for _, version := range allVersions {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, pvetest.Options{Version: version}, nil)
				r := request(t, "dev", "platform")
				r.Image.Firmware, r.Image.TPM = c.firmware, c.tpm
				made := mustDeploy(t, w, w.Target(t, nil), r)
				config := w.Config(t, int(made.VMID))
				for option, want := range c.want {
					if got := config[option]; (got == "") != (want == "") || !strings.Contains(got, want) {
						t.Errorf("%s is %q, want %q", option, got, want)
					}
				}
				if err := w.Target(t, nil).Delete(t.Context(), *made); err != nil {
					t.Error(err)
				}
				empty(t, w)
			})
		}
	}
}

// TestKilledWorker leaves a lock that only root can break: it stays in the state until somebody did.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	w.FailTask(func(typ, _ string) string {
		if typ == "qmcreate" {
			return pvetest.Crashed
		}
		return ""
	})
	target := w.Target(t, nil)
	left, err := target.Deploy(t.Context(), request(t, "dev", "killed"))
	if left == nil || !left.Broken || err == nil || !strings.Contains(err.Error(), "qm destroy 9000 --skiplock") {
		t.Fatalf("left %+v: %v", left, err)
	}
	if now, _, err := target.Read(t.Context(), *left); err != nil || !now.Broken {
		t.Errorf("reads as %+v: %v", now, err)
	}
	if err := target.Delete(t.Context(), *left); err == nil || !strings.Contains(err.Error(), "--skiplock") {
		t.Errorf("deleted: %v", err)
	}
	w.RemoveVM(t, 9000)
	if err := target.Delete(t.Context(), *left); err != nil {
		t.Errorf("cannot delete what is gone: %v", err)
	}
}

// TestChecksum has the server notice that the image is not the one it was.
func TestChecksum(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	r := request(t, "dev", "checksum")
	r.Image.SHA256 = strings.Repeat("0", 64)
	if _, err := w.Target(t, nil).Deploy(t.Context(), r); err == nil || !strings.Contains(err.Error(), "checksum mismatch") {
		t.Errorf("deployed: %v", err)
	}
	empty(t, w)
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	r := request(t, "dev", "arm")
	r.Image.Arch = host.ARM64
	if _, err := w.Target(t, nil).Deploy(t.Context(), r); err == nil || !strings.Contains(err.Error(), "arm64") {
		t.Errorf("deployed: %v", err)
	}
	if len(w.Requests()) > 0 {
		t.Errorf("made requests: %v", w.Requests())
	}
}

// TestMinimalRole deploys with no more than what is needed. The upload stays, and that is said.
func TestMinimalRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{Tokens: map[string]map[string][]string{pvetest.TokenID: {"/": pvetest.MinimalRole()}}}, nil)
	target := w.Target(t, nil)
	r := request(t, "dev", "minimal")
	problems, err := target.Check(t.Context(), r)
	if err != nil || len(problems) != 1 || !problems[0].Warning || !strings.Contains(problems[0].Detail, "Datastore.Allocate ") {
		t.Errorf("the check found %v: %v", problems, err)
	}
	var n notes
	r.Progress = n.report
	made := mustDeploy(t, w, target, r)
	if !n.has("stays on node pve1") {
		t.Errorf("said %q", n.lines)
	}
	// The next deployment of the image finds the file there.
	mustDeploy(t, w, target, r)
	uploads := 0
	for _, req := range w.Requests() {
		if strings.HasSuffix(req.Path, "/upload") {
			uploads++
		}
	}
	if uploads != 1 {
		t.Errorf("uploaded %d times", uploads)
	}
	if err := target.Delete(t.Context(), *made); err != nil {
		t.Error(err)
	}
}

// TestForbiddenUpload explains what the server's closed connection does not.
func TestForbiddenUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{Tokens: grants("/storage/local", "Datastore.Audit")}, nil)
	_, err := w.Target(t, nil).Deploy(t.Context(), request(t, "dev", "forbidden"))
	var field *deploy.FieldError
	if !errors.As(err, &field) || field.Field != "import_storage" || !strings.Contains(err.Error(), privUpload) {
		t.Errorf("deployed: %v", err)
	}
}

// TestUnfinished removes what killed providers left of the same deployment, once it is old enough, and nothing else.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, nil)
	target := w.Target(t, nil)
	r := request(t, "dev", "unfinished")
	add := func(id int, m marker, uuid string) {
		m.VMID, m.Key, m.UUID = int64(id), r.Image.Key, fmt.Sprintf("00000000-0000-4000-8000-%012d", id)
		if uuid == "" {
			uuid = m.UUID
		}
		w.AddVM("pve1", id, "VM", map[string]string{"name": "x", "tags": "pim", "smbios1": "uuid=" + uuid, "description": m.notes()})
	}
	old := time.Now().UTC().Add(-2 * time.Hour)
	add(9100, marker{Name: "dev", DeployedAt: old, Unfinished: true}, "")                                     // goes
	add(9101, marker{Name: "dev", DeployedAt: time.Now().UTC(), Unfinished: true}, "")                        // may be at work
	add(9102, marker{Name: "other", DeployedAt: old, Unfinished: true}, "")                                   // another's
	add(9103, marker{Name: "dev", DeployedAt: old}, "")                                                       // finished
	add(9104, marker{Name: "dev", DeployedAt: old, Unfinished: true}, "00000000-0000-4000-8000-cccccccccccc") // a clone
	w.SetConfig(t, 9100, map[string]string{"tags": "pim"})
	made := mustDeploy(t, w, target, r)
	have := strings.Join(w.Server.Inventory(), "\n")
	for id, stays := range map[int]bool{9100: false, 9101: true, 9102: true, 9103: true, 9104: true, int(made.VMID): true} {
		if strings.Contains(have, fmt.Sprintf("/%d ", id)) != stays {
			t.Errorf("that %d stays should be %t", id, stays)
		}
	}
}

// TestUnfinishedTemplate is of a provider that was killed before it could say that the template is finished.
func TestUnfinishedTemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{}, map[string]any{"storage": "data"})
	target := w.Target(t, nil)
	r := request(t, "dev", "unfinished")
	var left []*deploy.Result
	for range 3 {
		left = append(left, mustDeploy(t, w, target, r))
	}
	for i, age := range []time.Duration{2 * time.Hour, 2 * time.Hour, 0} {
		id := int(left[i].VMID)
		m, _ := markerOf(left[i].VMID, w.Config(t, id))
		m.Unfinished, m.DeployedAt = true, m.DeployedAt.Add(-age)
		w.SetConfig(t, id, map[string]string{"description": m.notes()})
	}
	w.AddClone(t, int(left[1].VMID), 9500)
	mustDeploy(t, w, target, r)
	if have := w.Of(t, *left[0]); len(have) > 0 {
		t.Errorf("it was left: %q", have)
	}
	if !strings.Contains(w.Config(t, int(left[1].VMID))["tags"], tagRetired) {
		t.Error("the one with a linked clone is not marked as retired")
	}
	if len(w.Of(t, *left[2])) == 0 {
		t.Error("the one that may be at work is gone")
	}
}

// TestLostUpload is one whose answer is lost, and whose task runs on another node than the storage's: it is waited for, not
// sent again.
func TestLostUpload(t *testing.T) {
	t.Parallel()
	r := request(t, "dev", "lost upload")
	open := func() *world {
		return newWorld(t, pvetest.Options{Nodes: []string{"pve1", "pve2"}, TaskDelay: 200 * time.Millisecond}, map[string]any{"node": "pve2"})
	}
	const upload = "/nodes/pve2/storage/local/upload"
	w := open()
	w.Faults().Arm(0, "")
	mustDeploy(t, w, w.Target(t, nil), r)
	at := slices.IndexFunc(w.Faults().Requests(), func(r string) bool { return strings.HasSuffix(r, upload) })
	w = open()
	w.Faults().Arm(at+1, deploytest.Lose)
	mustDeploy(t, w, w.Target(t, nil), r)
	uploads := 0
	for _, r := range w.Requests() {
		if r.Path == upload {
			uploads++
		}
	}
	if uploads != 1 {
		t.Errorf("uploaded %d times", uploads)
	}
}

// TestCancelledImport stops the import, which would go on without us.
func TestCancelledImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pvetest.Options{TaskDelay: time.Second}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	created := func(r pvetest.Request) bool { return r.String() == "POST /nodes/pve1/qemu" }
	go func() {
		for !slices.ContainsFunc(w.Requests(), created) {
			select {
			case <-t.Context().Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
		cancel()
	}()
	left, err := w.Target(t, nil).Deploy(ctx, request(t, "dev", "cancelled"))
	if !errors.Is(err, context.Canceled) || left != nil {
		t.Errorf("left %+v: %v", left, err)
	}
	empty(t, w)
}
