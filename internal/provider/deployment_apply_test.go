package provider

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// desiredOn is a deployment to the fake cluster.
func desiredOn(t *testing.T, rt *runtime) *wanted {
	t.Helper()
	p := &place{kind: rt.kinds[kindProxmox], name: "pve"}
	if diags := rt.complete(p, map[string]any{"host": "pve.example.test", "node": "pve1", "storage": "lvm", "api_token": secretToken}); diags.HasError() {
		t.Fatal(diags)
	}
	return &wanted{place: p, name: "dev", source: source{image: deploy.Image{Key: oldKey}}}
}

// A signal to the provider ends a deployment and waits for its clean-up.
func TestStoppedDeployment(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	want := desiredOn(t, rt)
	w.cluster.hang, w.cluster.begun = true, make(chan struct{})
	ctx, end := rt.work.begin(t.Context())
	done := make(chan string)
	go func() {
		defer end()
		_, diags := rt.deploy(ctx, want, deploy.State{}, time.Hour, deploy.Options{})
		done <- diags[0].Summary()
	}()
	<-w.cluster.begun
	rt.work.Cancel()
	if got := <-done; got != `The deployment of "dev" was cancelled` {
		t.Errorf("it ended with %q", got)
	}
	rt.work.Wait()
}

func TestDeploymentThatIsThereAlready(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	w.cluster.fail = deploy.ErrExists
	_, diags := rt.deploy(t.Context(), desiredOn(t, rt), deploy.State{}, time.Hour, deploy.Options{})
	if !diags.HasError() || !strings.Contains(diags[0].Detail(), "adopt = true") {
		t.Errorf("%v", diags)
	}
}

func TestCheckSaysWhatItCouldNot(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	want := desiredOn(t, rt)
	w.cluster.unreachable = true
	if diags := rt.check(t.Context(), want, nil); len(diags) > 0 {
		t.Errorf("asked about an image that nobody knows: %v", diags)
	}
	want.source.image.Arch = "x86_64"
	diags := rt.check(t.Context(), want, nil)
	if len(diags) != 1 || diags.HasError() || diags[0].Summary() != "Target cannot be reached" {
		t.Errorf("%v", diags)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.cluster.unreachable = false
	if diags := rt.check(ctx, want, nil); diags.HasError() {
		t.Errorf("%v", diags)
	}
}

func TestProgress(t *testing.T) {
	var log bytes.Buffer
	report := progress(tflogtest.RootLogger(t.Context(), &log), "dev")
	for done := range int64(101) {
		report("upload", done, 100)
	}
	report("wait", 0, 0)
	report("wait", 0, 0)
	entries, err := tflogtest.MultilineJSONDecode(&log)
	if err != nil || len(entries) != 12 { // from 0 to 10 tenths, and a step without an end
		t.Errorf("%v, %v", entries, err)
	}
}
