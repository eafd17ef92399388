//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// row is a kind of machine that images are for.
type row struct {
	name     string
	arch     host.Arch
	firmware string
}

// matrix has uefi-secure after uefi, whose installed system it takes.
var matrix = []row{
	{"bios", host.X86_64, qemu.BIOS},
	{"uefi", host.X86_64, qemu.UEFI},
	{"uefi-secure", host.X86_64, qemu.UEFISecure},
	{"arm64", host.ARM64, qemu.UEFI},
}

// TestMatrix installs, builds, verifies and boots an image of the demo's profile for each kind of machine, makes another
// image with it as the base, and writes down in TESTED.md how it went. A row that passed is known by the key of its image and not run again, unless FORCE is
// set; one that was interrupted goes on from the system it had installed. ROWS names the rows to run, all by default.
// `make e2e-matrix` runs it; `make e2e` does not, because it takes hours.
func TestMatrix(t *testing.T) {
	wanted := strings.Fields(os.Getenv("ROWS"))
	for _, name := range wanted {
		if !slices.ContainsFunc(matrix, func(r row) bool { return r.name == name }) {
			t.Fatalf("ROWS: there is no row %q", name)
		}
	}
	for _, r := range matrix {
		if len(wanted) == 0 || slices.Contains(wanted, r.name) {
			t.Run(r.name, r.test)
		}
	}
}

func (r row) test(t *testing.T) {
	b := benchFor(t, r.arch)
	w := b.workspaceOf(t, "testdata/matrix/main.tf").with("arch="+string(r.arch), "firmware="+r.firmware)
	record := filepath.Join(filepath.Dir(b.data), "matrix", r.name+".json")
	key := w.plannedID(t)
	if done, ok := readResult(t, record); ok && done.Key == key && os.Getenv("FORCE") == "" {
		t.Logf("passed on %s, in %s: not run again without FORCE=1", done.Date, record)
		writeTested(t, r, done)
		return
	}
	w.apply(t)
	m := w.manifest(t)
	if m.Key != key || m.Verify == nil || m.Verify.Firmware != r.firmware || m.Arch != r.arch || m.Firmware != r.firmware {
		t.Errorf("manifest: %+v", m)
	}
	begun := time.Now()
	disk := clone{w.value(t, "path"), "qcow2", []string{"-device", "virtio-blk-pci,drive=disk"}}
	said := disk.bootOn(t, r.machine(t))
	booted := time.Since(begun)
	for name, value := range map[string]string{
		"hostname": "clone-1", "motd": "Made with pim from the profile demo for " + string(r.arch) + ".",
		"apt": "", "authorized": "0", "firmware": r.firmware,
	} {
		if got := strings.TrimSpace(strings.Join(said[name], " ")); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if len(said["hostkey"]) == 0 || slices.Contains(said["machine-id"], m.Verify.MachineID) {
		t.Errorf("the clone's identity: %v", said)
	}
	based := r.based(t, w)
	w.nothingLeft(t)
	installed := !slices.ContainsFunc(b.eventsOf(t, m.Key[:12]), func(e event) bool { return e.Step == "install" && e.Event == "reuse" })
	w.do(t, 0, "destroy", "-auto-approve")
	if t.Failed() {
		return
	}
	done := r.result(t, b, m, installed, booted, based)
	must(t, os.MkdirAll(filepath.Dir(record), 0o755))
	data, err := json.MarshalIndent(done, "", "  ")
	must(t, err)
	must(t, os.WriteFile(record, data, 0o644))
	writeTested(t, r, done)
}

// based makes another image with the row's as its base, and returns how long that took.
func (r row) based(t *testing.T, w *workspace) time.Duration {
	t.Helper()
	begun := time.Now()
	d := w.baseOf(t, "arch="+string(r.arch), "firmware="+r.firmware)
	d.apply(t)
	if m := d.manifest(t); m.Verify == nil || m.Verify.Firmware != r.firmware || m.Arch != r.arch {
		t.Errorf("manifest of the image with a base: %+v", m)
	}
	d.do(t, 0, "destroy", "-auto-approve")
	return time.Since(begun)
}

// machine is QEMU and its arguments for a machine of this row, whose firmware has never seen the image before.
func (r row) machine(t *testing.T) []string {
	t.Helper()
	fw, err := qemu.FindFirmware(t.Context(), host.NewLocal(), r.arch, r.firmware)
	must(t, err)
	argv := pc
	switch {
	case r.arch == host.ARM64:
		argv = []string{"qemu-system-aarch64", "-machine", "virt", "-cpu", "max,pauth-impdef=on"}
	case r.firmware == qemu.UEFISecure:
		argv = slices.Concat(pc, []string{"-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"})
	}
	if fw.Code == "" {
		return argv
	}
	return slices.Concat(argv, []string{
		"-drive", "if=pflash,unit=0,readonly=on,format=" + fw.Format + ",file=" + fw.Code,
		"-drive", "if=pflash,unit=1,snapshot=on,format=" + fw.Format + ",file=" + fw.Vars,
	})
}

// plannedID is the key of the image that an apply would make.
func (w *workspace) plannedID(t *testing.T) string {
	t.Helper()
	w.do(t, 0, "plan", "-out=matrix.plan")
	var plan struct {
		Values struct {
			Outputs map[string]struct{ Value any }
		} `json:"planned_values"`
	}
	must(t, json.Unmarshal([]byte(w.do(t, 0, "show", "-json", "matrix.plan")), &plan))
	id, _ := plan.Values.Outputs["id"].Value.(string)
	if id == "" {
		t.Fatal("the plan does not know the image's key")
	}
	return id
}

// seconds is how long a step of a build took, to the second; 0 when it has none of that name.
func seconds(steps []cache.Step, name string) (d time.Duration) {
	for _, s := range steps {
		if s.Name == name {
			d += time.Duration(s.Seconds * float64(time.Second))
		}
	}
	return d.Round(time.Second)
}
