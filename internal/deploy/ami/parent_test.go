package ami_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
)

// notes collects the steps that are reported.
func notes(r *deploy.Request) func() string {
	var mu sync.Mutex
	var all []string
	r.Progress = func(step string, _, _ int64) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, step)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, "\n")
	}
}

// Only what changed is sent: another block, a new one, zeros where there was data.
func TestDelta(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]awstest.Options{
		"":         {},
		"pages":    {Page: 3},
		"throttle": {Inject: awstest.Every("GetSnapshotBlock", 2, awstest.Throttled)},
		"dropped":  {Inject: awstest.Every("GetSnapshotBlock", 3, awstest.Drop)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, o)
			target := open(t, settings(t, server, map[string]any{"parent_snapshot": "previous"}), ami.Options{})
			first := mustDeploy(t, target, some().request(t, "web"))
			before := server.Stats("PutSnapshotBlock").Requests
			changed := some()
			changed.data[2], changed.data[30] = noise(200), noise(201)
			delete(changed.data, 22)
			r := changed.request(t, "web")
			r.Current = &first
			second := mustDeploy(t, target, r)
			serves(t, server, second.Snapshots[home], r)
			s := server.Snapshot(second.Snapshots[home])
			if sent := server.Stats("PutSnapshotBlock").Requests - before; sent < 3 || s.Written != 3 || s.Parent != first.Snapshots[home] {
				t.Errorf("sent %d blocks; %+v", sent, s)
			}
			if err := target.Delete(t.Context(), first); err != nil {
				t.Errorf("the parent cannot be deleted: %v", err)
			}
			serves(t, server, second.Snapshots[home], r)
		})
	}
}

// The same image again is a snapshot without any block of its own.
func TestDeltaOfNothing(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	target := open(t, settings(t, server, map[string]any{"parent_snapshot": "previous"}), ami.Options{})
	r := some().request(t, "web")
	first := mustDeploy(t, target, r)
	r.Current = &first
	second := mustDeploy(t, target, r)
	if s := server.Snapshot(second.Snapshots[home]); s.Written != 0 {
		t.Errorf("%d blocks were sent", s.Written)
	}
	serves(t, server, second.Snapshots[home], r)
}

// A parent that cannot be one costs a full upload and a note, no more.
func TestUnusableParent(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deny string
		size int64 // of the parent
	}{
		"gone":              {},
		"no permission":     {deny: "ListSnapshotBlocks", size: block},
		"larger":            {size: 3 << 30},
		"gone by the start": {size: block},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, awstest.Options{})
			parent := "snap-0123456789abcdef0"
			if test.size > 0 {
				old := mustDeploy(t, open(t, settings(t, server, nil), ami.Options{}),
					sketch{size: test.size, data: map[int64][]byte{0: noise(1)}}.request(t, "old"))
				parent = old.Snapshots[home]
			}
			server.Deny(test.deny)
			if name == "gone by the start" {
				const start = 4 // after the sweep's two listings and that of the parent's blocks
				server.Faults().Call(start, func() { server.Remove(parent) })
			}
			target := open(t, settings(t, server, map[string]any{"parent_snapshot": parent}), ami.Options{Settle: 50 * time.Millisecond})
			r := some().request(t, "web")
			said := notes(&r)
			made := mustDeploy(t, target, r)
			serves(t, server, made.Snapshots[home], r)
			if s := server.Snapshot(made.Snapshots[home]); s.Parent != "" || s.Written != someBlocks {
				t.Errorf("made %+v", s)
			}
			if want := "sending the whole image: " + parent; !strings.Contains(said(), want) {
				t.Errorf("it did not say %q:\n%s", want, said())
			}
		})
	}
}

// Blocks of the parent that cannot be read are sent, whatever they are.
func TestUnreadableParentBlocks(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	target := open(t, settings(t, server, map[string]any{"parent_snapshot": "previous"}), ami.Options{})
	r := some().request(t, "web")
	first := mustDeploy(t, target, r)
	server.Deny("GetSnapshotBlock")
	r.Current = &first
	second := mustDeploy(t, target, r)
	serves(t, server, second.Snapshots[home], r)
	if s := server.Snapshot(second.Snapshots[home]); s.Written != someBlocks {
		t.Errorf("%d blocks were sent", s.Written)
	}
}
