//go:build e2e

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// unplugged is how long a cable is unplugged that is plugged in again.
const unplugged = 5 * time.Second

// on is the bench of a laptop whose images a machine builds, with settings of that remote. Packages come to its guests
// by a proxy of its own.
func (b *bench) on(t *testing.T, m *hosttest.Machine, settings ...string) *bench {
	t.Helper()
	r := &bench{cli: b.cli, kit: b.kit, machine: m, config: filepath.Join(t.TempDir(), "pim"), data: m.Here(hosttest.WorkDir)}
	must(t, os.CopyFS(r.config, os.DirFS(b.config)))
	r.buildOn(t, m.Login, hosttest.WorkDir, settings...)
	ln, err := m.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	proxy := b.kit.ServeOn(t.Context(), ln)
	r.env = slices.Concat(b.env, []string{"PIM_HTTP_PROXY=" + proxy.GuestURL})
	return r.laptop(t)
}

// laptop is the same bench from another laptop: with a home, a configuration and a store of its own.
func (b *bench) laptop(t *testing.T) *bench {
	t.Helper()
	home := t.TempDir()
	other := *b
	other.config = filepath.Join(home, "pim")
	must(t, os.CopyFS(other.config, os.DirFS(b.config)))
	other.own = filepath.Join(home, "data")
	other.env = slices.Concat(b.env, []string{
		"HOME=" + home, "PIM_CONFIG_DIR=" + other.config, "PIM_DATA_DIR=" + other.own, "PIM_CACHE_DIR=" + filepath.Join(home, "cache"),
	})
	return &other
}

// applying is an apply that goes on.
type applying struct {
	*run
	ended chan int
}

func (w *workspace) applying(t *testing.T) *applying {
	t.Helper()
	a := &applying{w.start(t, "apply", "-auto-approve"), make(chan int, 1)}
	go func() { a.ended <- a.wait(t) }()
	return a
}

// toScript writes the one script, applies, and waits until it runs.
func (w *workspace) toScript(t *testing.T, body string) *applying {
	t.Helper()
	w.script(t, "small", body)
	before := w.count(t, "script small", "begin")
	a := w.applying(t)
	w.awaitMore(t, a.ended, before, "script small", "begin")
	return a
}

// cut unplugs the machine's cable for a while, during which the apply must not end.
func (a *applying) cut(t *testing.T, m *hosttest.Machine, when string) {
	t.Helper()
	t.Logf("%s: the cable is unplugged", when)
	m.LinkDown()
	select {
	case status := <-a.ended:
		t.Fatalf("apply ended with status %d without a link", status)
	case <-time.After(unplugged):
	}
	m.LinkUp()
}

// remoteInstallation has a machine run the real installer. Its cable is unplugged for a moment, after which the build
// still sees what the installer does. Then it is interrupted.
func remoteInstallation(t *testing.T, w *workspace) {
	m := hosttest.StartMachine(t, hosttest.MachineOptions{})
	r := w.on(t, m).workspace(t).with(`triggers={why="unplugged"}`)
	a := r.applying(t)
	r.await(t, a.ended, "install", "request")
	r.awaitMore(t, a.ended, r.count(t, "install", "console"), "install", "console")

	a.cut(t, m, "the installer has its answers")
	r.awaitMore(t, a.ended, r.count(t, "install", "console"), "install", "console")
	if !strings.Contains(strings.Join(r.running(t), "\n"), "qemu") {
		t.Error("no installer runs on the machine: this tests nothing")
	}
	must(t, a.cmd.Process.Signal(os.Interrupt))
	if status := <-a.ended; status == 0 {
		t.Fatal("an interrupted apply must not succeed")
	}
	r.nothingLeft(t)
	if left := append(r.files(t, "cache/images"), r.files(t, "layers")...); len(left) > 0 {
		t.Errorf("an interrupted installation left %v", left)
	}
}

// remoteTroubles has on one machine, from the install layer on: a link that is lost during a script and stays away for
// too long, a disk that runs full, and two laptops that want the same image, whose link goes away for a moment.
func remoteTroubles(t *testing.T, w *workspace) {
	const room = 6 << 30 // of memory, if it were all written to
	m := hosttest.StartMachine(t, hosttest.MachineOptions{Size: room})
	layers := m.Here(hosttest.WorkDir + "/layers")
	must(t, os.MkdirAll(layers, 0o700))
	for _, name := range w.installed {
		copied := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(w.data, "layers", name), layers) // -a: a layer of another time is none
		if out, err := copied.CombinedOutput(); err != nil {
			t.Fatalf("cannot copy the install layer: %v: %s", err, out)
		}
	}
	m.Leave(room)
	laptop := w.on(t, m, "reconnect_timeout: 10s")
	r := laptop.workspace(t).with(append(small, "fetch=true")...)
	r.linkStaysAway(t)
	r.diskRunsFull(t)
	m.Leave(room)
	r.twoLaptops(t)
}

// linkStaysAway loses the link during a script. The guest is left running; the next build ends it.
func (w *workspace) linkStaysAway(t *testing.T) {
	a := w.toScript(t, "sleep 600")
	t.Log("the cable is unplugged")
	w.machine.LinkDown()
	status := <-a.ended
	w.machine.LinkUp()
	if status != 1 {
		t.Fatalf("exit status %d without a link", status)
	}
	if said := unwrap(a.out.String()); !strings.Contains(said, "connection to lab was lost") || !strings.Contains(said, "apply again") {
		t.Error("the diagnostic does not say what happened, and what to do")
	}
	if !strings.Contains(strings.Join(w.running(t), "\n"), "qemu") {
		t.Error("the guest does not go on")
	}
	// Before its locks have run out, nobody may take the build for lost.
	w.machine.Do("(for lock in " + hosttest.WorkDir + "/locks/*; do flock -w 180 $lock true || exit; done)")
}

// diskRunsFull gives a script more to write than there is room for.
func (w *workspace) diskRunsFull(t *testing.T) {
	a := w.toScript(t, "head -c 1500M /dev/urandom >/large; sync")
	w.machine.Leave(64 << 20)
	if status := <-a.ended; status != 1 {
		t.Fatalf("exit status %d with a full disk", status)
	}
	said := unwrap(a.out.String())
	for _, want := range []string{"Disk full on lab", "Free some space below " + hosttest.WorkDir, "work_dir"} {
		if !strings.Contains(said, want) {
			t.Errorf("the diagnostic does not say %q", want)
		}
	}
	w.nothingLeft(t)
}

// twoLaptops has one laptop build and fetch an image, and another one wait for it and take it.
func (w *workspace) twoLaptops(t *testing.T) {
	m := w.machine
	builds := w.toScript(t, "sleep 30")
	other := w.laptop(t).workspace(t).with(small...)
	waits := other.applying(t)
	w.awaitLocks(t, builds.ended, 2)
	builds.cut(t, m, "a script runs")
	w.awaitPart(t, builds.ended)
	builds.cut(t, m, "the image is on its way")
	for _, a := range []*applying{builds, waits} {
		if status := <-a.ended; status != 0 {
			t.Fatalf("apply ended with status %d", status)
		}
	}
	w.nothingLeft(t)
	if a, b := w.value(t, "built_at"), other.value(t, "built_at"); a != b {
		t.Errorf("built twice: %s and %s", a, b)
	}
	w.do(t, 0, "plan", "-detailed-exitcode")
	other.do(t, 0, "plan", "-detailed-exitcode")

	fetched, there := w.value(t, "path"), m.Here(other.value(t, "path"))
	w.do(t, 0, "destroy", "-auto-approve")
	if _, err := os.Stat(there); err != nil {
		t.Errorf("the first destroy took the other's image: %v", err)
	}
	if _, err := os.Stat(fetched); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first destroy left the copy: %v", err)
	}
	key := m.ChangeHostKey()
	if said := unwrap(other.do(t, 1, "destroy", "-auto-approve")); !strings.Contains(said, "THE SSH HOST KEY HAS CHANGED") {
		t.Error("the diagnostic does not say that the machine may be another")
	}
	if _, err := os.Stat(there); err != nil {
		t.Errorf("a destroy that was refused took the image: %v", err)
	}
	m.Trust(key)
	other.do(t, 0, "destroy", "-auto-approve")
	// The reference of the build whose link stayed away is still there: it could not be taken back.
	refs := filepath.Join("refs", strings.TrimSuffix(filepath.Base(there), ".qcow2"))
	if left := append(w.files(t, "cache/images"), w.files(t, refs)...); len(left) > 0 {
		t.Errorf("destroy left %v", left)
	}
}

// awaitLocks waits until so many processes of the machine hold locks of the store, or wait for one.
func (b *bench) awaitLocks(t *testing.T, ended <-chan int, want int) {
	t.Helper()
	b.poll(t, ended, func() bool {
		return strings.Count(strings.Join(b.running(t), "\n"), hosttest.WorkDir+"/locks/") >= want
	})
}

// awaitPart waits until some of an image has arrived on the laptop.
func (b *bench) awaitPart(t *testing.T, ended <-chan int) {
	t.Helper()
	b.poll(t, ended, func() bool {
		parts, err := filepath.Glob(filepath.Join(b.own, "fetches", "*", "*.part"))
		must(t, err)
		return slices.ContainsFunc(parts, func(p string) bool {
			info, err := os.Stat(p)
			return err == nil && info.Size() > 0
		})
	})
}

// poll waits until ok, before an apply has ended.
func (b *bench) poll(t *testing.T, ended <-chan int, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case status := <-ended:
			t.Fatalf("apply ended with status %d before that", status)
		case <-tick.C:
		}
	}
}
