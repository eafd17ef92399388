//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// event is a line of a build's events.jsonl.
type event struct{ Step, Event, Detail string }

// events are those of all builds whose logs are in the store.
func (b *bench) events(t *testing.T) []event {
	t.Helper()
	return b.eventsOf(t, "*")
}

// eventsOf are those of one build, named by the first 12 digits of its image's key.
func (b *bench) eventsOf(t *testing.T, build string) []event {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(b.data, "builds", build, "events.jsonl"))
	must(t, err)
	var all []event
	for _, log := range logs {
		data, err := os.ReadFile(log)
		must(t, err)
		for line := range bytes.Lines(data) {
			var e event
			if json.Unmarshal(line, &e) == nil { // the last line may be half-written
				all = append(all, e)
			}
		}
	}
	return all
}

// interrupt applies, sends the CLI one SIGINT as soon as the build logs an event, and requires that it ends with an
// error and that nothing of the build is left.
func (w *workspace) interrupt(t *testing.T, step, name string) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(w.data, "builds")))
	r := w.start(t, "apply", "-auto-approve")
	ended := make(chan int, 1)
	go func() { ended <- r.wait(t) }()
	w.await(t, ended, step, name)
	t.Logf("SIGINT at %s %s", step, name)
	must(t, r.cmd.Process.Signal(os.Interrupt))
	if status := <-ended; status == 0 {
		t.Fatal("an interrupted apply must not succeed")
	}
	w.nothingLeft(t)
}

// await waits until a build logs an event, before the CLI that builds has ended.
func (b *bench) await(t *testing.T, ended <-chan int, step, name string) {
	t.Helper()
	b.awaitMore(t, ended, 0, step, name)
}

// awaitMore is await for an event of which there were some before.
func (b *bench) awaitMore(t *testing.T, ended <-chan int, before int, step, name string) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for b.count(t, step, name) <= before {
		select {
		case status := <-ended:
			t.Fatalf("apply ended with status %d before %s %s", status, step, name)
		case <-tick.C:
		}
	}
}

func (b *bench) logged(t *testing.T, step, name string) bool {
	t.Helper()
	return b.count(t, step, name) > 0
}

// count is how often builds logged an event.
func (b *bench) count(t *testing.T, step, name string) (n int) {
	t.Helper()
	for _, e := range b.events(t) {
		if e.Step == step && e.Event == name {
			n++
		}
	}
	return n
}

// nothingLeft requires that no process works on the store and that there is no half-made file in it.
func (b *bench) nothingLeft(t *testing.T) {
	t.Helper()
	for _, p := range b.running(t) {
		t.Errorf("left running: %s", p)
	}
	for _, dir := range []string{"builds", "cache", "layers"} {
		for _, name := range b.files(t, dir) {
			if strings.HasSuffix(name, ".part") || dir == "builds" && strings.HasSuffix(name, ".qcow2") || name == "guest.json" {
				t.Errorf("left behind: %s in %s", name, dir)
			}
		}
	}
}

// running are the command lines of what works on the store.
func (b *bench) running(t *testing.T) (all []string) {
	t.Helper()
	if b.machine != nil {
		for _, p := range b.machine.Processes() {
			if strings.Contains(p, hosttest.WorkDir) {
				all = append(all, p)
			}
		}
		return all
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, p := range processes {
		line, err := os.ReadFile(p)
		if err == nil && bytes.Contains(line, []byte("qemu")) && bytes.Contains(line, []byte(b.data+"/")) { // no other program works on a store
			all = append(all, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return all
}
