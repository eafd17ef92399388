//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// part is a piece of TestImage.
type part struct {
	name string
	run  func(*testing.T, *workspace)
}

// TestImage is the life of an image. The parts of one list build on each other, so the first that fails ends it. Once the
// image is there, its life here and that on remote machines go on side by side: an emulated guest keeps one CPU busy.
func TestImage(t *testing.T) {
	b := newBench(t)
	w := b.workspace(t)
	if !w.all(t, []part{
		{"InterruptedInstallation", interruptedInstallation},
		{"Build", buildImage},
		{"SecondApplyDoesNothing", secondApply},
		{"Clone", cloneOfImage},
	}) {
		return
	}
	b.installed = b.files(t, "layers")
	var lives sync.WaitGroup
	for _, life := range [][]part{{
		{"RemoteBuild", remoteBuild},
		{"RemoteInstallation", remoteInstallation},
		{"RemoteTroubles", remoteTroubles},
	}, {
		{"Deploy", deployImage},
		{"Autoinstall", autoinstall},
		{"Base", baseImage},
		{"EditedScript", editedScript},
		{"Destroy", destroyImage},
		{"InterruptedScript", interruptedScript},
		{"FailingScript", failingScript},
		{"HangingScript", hangingScript},
		{"InterruptedCompaction", interruptedCompaction},
		{"TwoAppliesBuildOnce", twoApplies},
	}} {
		lives.Go(func() { w.all(t, life) })
	}
	lives.Wait()
}

// all runs parts in order, until one fails.
func (w *workspace) all(t *testing.T, parts []part) bool {
	for _, p := range parts {
		begun := time.Now()
		if !t.Run(p.name, func(t *testing.T) { p.run(t, &workspace{w.bench, w.dir, nil}) }) {
			return false
		}
		t.Logf("%s took %s", p.name, time.Since(begun).Round(time.Second))
	}
	return true
}

// interruptedInstallation interrupts the very installation that Build then does, or one of another image where a
// layer of an earlier run makes that needless.
func interruptedInstallation(t *testing.T, w *workspace) {
	if len(w.files(t, "layers")) > 0 {
		w = w.with(`triggers={why="interrupted"}`)
	}
	w.interrupt(t, "install", "request")
	if left := w.files(t, "cache"); len(left) > 0 {
		t.Errorf("an interrupted installation left %v", left)
	}
}

func buildImage(t *testing.T, w *workspace) {
	w.apply(t)
	m := w.manifest(t)
	if m.Key != w.value(t, "id") || m.SHA256 == "" || m.VirtualSizeBytes == 0 || m.Verify == nil {
		t.Errorf("manifest: %+v", m)
	}
	for _, name := range []string{"cloud-init", "openssh-server", "linux-image-cloud-amd64"} {
		if !slices.ContainsFunc(m.Packages, func(p cache.Package) bool { return p.Name == name && p.Version != "" }) {
			t.Errorf("package %s is not in the manifest", name)
		}
	}
	for _, s := range m.Steps {
		t.Logf("%-16s %6.1f s", s.Name, s.Seconds)
	}
	w.nothingLeft(t)
}

func secondApply(t *testing.T, w *workspace) {
	w.do(t, 0, "plan", "-detailed-exitcode")
	if out := w.apply(t); !strings.Contains(out, "0 added, 0 changed, 0 destroyed") {
		t.Error("the second apply did something")
	}
}

// cloneOfImage proves inside a booted clone that the scripts ran, that nothing of the build is left, and that the
// clone has an identity other than the one of the build's own verification boot.
func cloneOfImage(t *testing.T, w *workspace) {
	said := clone{w.value(t, "path"), "qcow2", []string{"-device", "virtio-blk-pci,drive=disk"}}.boot(t)
	for name, want := range map[string]string{
		"hostname": "clone-1", "motd": "Made with pim from the profile demo for x86_64.", "apt": "", "authorized": "0",
	} {
		if got := strings.Join(said[name], " "); strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	verified := w.manifest(t).Verify
	if id := strings.Join(said["machine-id"], ""); len(id) != 32 || id == verified.MachineID {
		t.Errorf("machine-id %q, in the other boot %q", id, verified.MachineID)
	}
	if len(said["hostkey"]) == 0 {
		t.Error("the clone has no SSH host keys")
	}
	for _, key := range said["hostkey"] {
		if slices.Contains(verified.HostKeys, key) {
			t.Errorf("two boots have the host key %s", key)
		}
	}
}

// editedScript wants the plan to name the script, and only it, and the rebuild to start from the installed layer.
func editedScript(t *testing.T, w *workspace) {
	before := w.value(t, "id")
	w.script(t, "motd", `echo "Edited: $PIM_PROFILE" >/etc/motd`)
	w = w.with("verify=false") // the first build was verified
	out := w.do(t, 2, "plan", "-detailed-exitcode", "-out=edited.plan")
	if !strings.Contains(out, "script:motd changed") {
		t.Error("the plan's warning does not name the script")
	}
	var plan struct {
		Changes []struct {
			Change struct {
				Replace [][]string `json:"replace_paths"`
			}
		} `json:"resource_changes"`
	}
	must(t, json.Unmarshal([]byte(w.do(t, 0, "show", "-json", "edited.plan")), &plan))
	if len(plan.Changes) != 1 || !reflect.DeepEqual(plan.Changes[0].Change.Replace, [][]string{{"inputs", "script:motd"}}) {
		t.Errorf("replace paths: %+v", plan.Changes)
	}
	must(t, os.RemoveAll(filepath.Join(w.data, "builds")))
	w = w.with() // a saved plan has its variables in it
	w.do(t, 0, "apply", "edited.plan")
	if w.value(t, "id") == before {
		t.Error("the image has the old id")
	}
	if !w.logged(t, "install", "reuse") {
		t.Error("the rebuild did not start from the installed layer")
	}
}

func destroyImage(t *testing.T, w *workspace) {
	w.do(t, 0, "destroy", "-auto-approve")
	if left := append(w.files(t, "cache"), w.files(t, "refs")...); len(left) > 0 {
		t.Errorf("destroy left %v", left)
	}
}

// small are the variables of an image that takes a minute: one script, no verification.
var small = []string{`scripts=["small"]`, "verify=false"}

func interruptedScript(t *testing.T, w *workspace) {
	w.script(t, "small", "sleep 600")
	w.with(small...).interrupt(t, "script small", "begin")
}

func failingScript(t *testing.T, w *workspace) {
	w.script(t, "small", "echo the last words\nexit 3")
	out := unwrap(w.with(small...).do(t, 1, "apply", "-auto-approve"))
	for _, want := range []string{`"small" ended with exit status 3`, "the last words", "build.log"} {
		if !strings.Contains(out, want) {
			t.Errorf("the diagnostic does not say %q", want)
		}
	}
	w.nothingLeft(t)
}

func hangingScript(t *testing.T, w *workspace) {
	w.script(t, "small", "echo about to hang\nsleep 600")
	out := unwrap(w.with(append(small, "script_timeout=10s")...).do(t, 1, "apply", "-auto-approve"))
	for _, want := range []string{`"small" did not end within 10s`, "about to hang"} {
		if !strings.Contains(out, want) {
			t.Errorf("the diagnostic does not say %q", want)
		}
	}
	w.nothingLeft(t)
}

func interruptedCompaction(t *testing.T, w *workspace) {
	w.script(t, "small", "true")
	w.with(small...).interrupt(t, "compact", "begin")
	if left := w.files(t, "cache"); len(left) > 0 {
		t.Errorf("an interrupted compaction left %v", left)
	}
}

// twoApplies has two people apply the same image at once: one builds, the other waits and takes it. The file goes
// with the last of them.
func twoApplies(t *testing.T, w *workspace) {
	w.script(t, "small", "true")
	people := []*workspace{w.with(small...), w.workspace(t).with(small...)}
	var wg sync.WaitGroup
	for _, p := range people {
		wg.Go(func() {
			if status := p.start(t, "apply", "-auto-approve").wait(t); status != 0 {
				t.Errorf("apply ended with status %d", status)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if a, b := people[0].value(t, "built_at"), people[1].value(t, "built_at"); a != b {
		t.Errorf("built twice: %s and %s", a, b)
	}
	people[0].do(t, 0, "destroy", "-auto-approve")
	if _, err := os.Stat(people[1].value(t, "path")); err != nil {
		t.Errorf("the first destroy took the other's image: %v", err)
	}
	people[1].do(t, 0, "destroy", "-auto-approve")
	if left := append(w.files(t, "cache"), w.files(t, "refs")...); len(left) > 0 {
		t.Errorf("destroy left %v", left)
	}
}

func (w *workspace) manifest(t *testing.T) cache.Manifest {
	t.Helper()
	data, err := os.ReadFile(w.value(t, "manifest"))
	must(t, err)
	var m cache.Manifest
	must(t, json.Unmarshal(data, &m))
	return m
}

// unwrap undoes the CLI's frame and line breaks around a diagnostic.
func unwrap(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "│", "")), " ")
}
