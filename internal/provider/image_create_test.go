package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// planned is the model of an image of the profile "dev", as a plan leaves it.
func plannedImage(t *testing.T, rt *runtime) (config, plan *imageModel) {
	t.Helper()
	config = &imageModel{Profile: types.StringValue("dev")}
	got, diags := rt.planned(t.Context(), config, false)
	if diags.HasError() {
		t.Fatal(diags)
	}
	p := *config
	p.apply(decide(nil, got.digests), config, nil, got)
	return config, &p
}

// toBuild is what an apply of a plan has built.
func toBuild(t *testing.T, rt *runtime, config, plan *imageModel, timeout time.Duration) (build.Spec, *resolution) {
	t.Helper()
	spec, got, diags := rt.toBuild(t.Context(), config, plan, timeout)
	if diags.HasError() {
		t.Fatal(diags)
	}
	return spec, got
}

func TestCreateBuildsWhatWasPlanned(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	spec, got := toBuild(t, rt, config, plan, 90*time.Minute)
	if got.digests.key() != plan.ID.ValueString() || spec.Timeouts.Build != 90*time.Minute {
		t.Errorf("key %s, planned %s; time-out %s", got.digests.key(), plan.ID.ValueString(), spec.Timeouts.Build)
	}
	if hash := spec.Preseed.Values.PasswordHash; !strings.HasPrefix(hash, "$6$") {
		t.Errorf("the password's hash is %q", hash)
	}
}

func TestCreateRefusesOtherInputsThanPlanned(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	w.write("scripts.d/developer.sh", "#!/bin/sh\necho changed\n")
	_, _, diags := rt.toBuild(t.Context(), config, plan, time.Minute)
	if len(diags) != 1 || diags[0].Summary() != changedSummary || !strings.Contains(diags[0].Detail(), "~ script:developer changed (") {
		t.Errorf("%v", diags)
	}
}

func TestCreateRefusesOtherBuildersThanPlanned(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	plan.LogPath = types.StringValue(rt.machines.local.logPath(plan.ID.ValueString()))
	if _, _, diags := rt.toBuild(t.Context(), config, plan, 0); diags.HasError() {
		t.Fatal(diags)
	}
	w.builtBy("pve")
	if _, _, diags := w.runtime().toBuild(t.Context(), config, plan, 0); len(diags) != 1 || diags[0].Summary() != "The builders changed after the plan" {
		t.Errorf("%v", diags)
	}
}

// A build that fails, or is cut off, leaves no reference: nobody would ever drop it.
func TestLostBuildLeavesNoReference(t *testing.T) {
	w := newWorld(t)
	pve := w.builtBy("pve")[0]
	rt := w.runtime()
	w.builds.fail = host.ErrDisconnected
	w.builds.hook = func() { pve.away.Store(true) }
	config, plan := plannedImage(t, rt)
	spec, got := toBuild(t, rt, config, plan, 0)
	at, done, diags := rt.placed(t.Context(), spec, got.digests.key())
	if diags.HasError() || at.name != "pve" {
		t.Fatal(at, diags)
	}
	done()
	if _, _, err := rt.build(t.Context(), at, spec, got.digests.key()); !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("%v", err)
	}
	if refs := pve.files("refs/*/*"); len(refs) > 0 {
		t.Errorf("left behind: %v", refs)
	}
}

// losing is a builder whose first image is deleted as soon as it is built, by a destroy that waited for the lock.
type losing struct {
	imageBuilder
	store  *cache.Store
	builds int
}

func (l *losing) Build(ctx context.Context, s build.Spec) (*cache.Image, error) {
	img, err := l.imageBuilder.Build(ctx, s)
	if l.builds++; err == nil && l.builds == 1 {
		err = l.store.DeleteImage(ctx, img.Manifest.Name, img.Manifest.Arch, img.Manifest.Key)
	}
	return img, err
}

func TestImageThatIsDeletedBeforeItIsReferredTo(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	spec, got := toBuild(t, rt, config, plan, 0)
	at := rt.machines.local
	l := &losing{imageBuilder: at.builder, store: at.store}
	at.builder = l
	img, _, err := rt.build(t.Context(), at, spec, got.digests.key())
	if err != nil || l.builds != 2 || len(w.references()) != 1 {
		t.Fatalf("%v after %d builds, references %v", err, l.builds, w.references())
	}
	if err := at.store.Verify(t.Context(), img); err != nil {
		t.Error(err)
	}
}

func TestCancelledBuildLeavesNoReference(t *testing.T) {
	w := newWorld(t)
	w.builds.begun = make(chan struct{})
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	spec, got := toBuild(t, rt, config, plan, time.Minute)
	ctx, end := rt.work.begin(t.Context())
	done := make(chan error)
	go func() {
		defer end()
		_, _, err := rt.build(ctx, rt.machines.local, spec, got.digests.key())
		done <- err
	}()
	<-w.builds.begun
	if got := w.references(); len(got) != 0 {
		t.Errorf("a build that is killed now leaves %v", got)
	}
	rt.work.Cancel()
	if err := <-done; !errors.Is(err, errStopped) {
		t.Errorf("the build ended with %v", err)
	}
	rt.work.Wait()
	if left := append(w.stored(), w.references()...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A replacement that creates first has two objects for one file; so have two resources with equal inputs.
func TestFileGoesWithItsLastReference(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	spec, got := toBuild(t, rt, config, plan, time.Minute)
	var references []string
	for range 2 {
		img, reference, err := rt.build(t.Context(), rt.machines.local, spec, got.digests.key())
		if err != nil {
			t.Fatal(err)
		}
		plan.imageResult = resultOf(img, "local", "")
		references = append(references, reference)
	}
	plan.Arch = types.StringValue("x86_64")
	for i, reference := range append([]string{noReference}, references...) { // an imported object goes first
		if got := len(w.images()); got != 1 {
			t.Fatalf("before release %d there are %d images", i, got)
		}
		if err := rt.release(t.Context(), rt.machines.local, plan, reference); err != nil {
			t.Fatal(err)
		}
	}
	if left := append(w.stored(), w.references()...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFindTellsTheStateOfAFile(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	plan.Name, plan.Arch = types.StringValue("dev"), types.StringValue("x86_64")
	if _, status, _, err := rt.find(t.Context(), plan); err != nil || status != statusMissing {
		t.Errorf("before the build: %s, %v", status, err)
	}
	spec, got := toBuild(t, rt, config, plan, time.Minute)
	if _, _, err := rt.build(t.Context(), rt.machines.local, spec, got.digests.key()); err != nil {
		t.Fatal(err)
	}
	if img, status, _, err := rt.find(t.Context(), plan); err != nil || status != statusOK || img.Manifest.Key != plan.ID.ValueString() {
		t.Errorf("after the build: %s, %v", status, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, status, _, err := rt.find(ctx, plan); err == nil {
		t.Errorf("an error that says nothing about the file makes it %q", status)
	}
}
