package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// fetchTries is how often a fetch goes on after a lost connection. Another apply goes on, too.
const fetchTries = 3

// onRemote reports whether the state's image is kept by another machine.
func (m *imageModel) onRemote() bool {
	builder := m.Builder.ValueString()
	return builder != "" && builder != profile.Local
}

// misplaced tells that an image on a remote is not where the configuration wants it: it is to be fetched, or its copy to be
// given up. Neither needs a build.
func (r *runtime) misplaced(ctx context.Context, config, state *imageModel) bool {
	if !state.onRemote() {
		return false
	}
	if config.Fetch.IsUnknown() || config.Fetch.ValueBool() != state.Fetch.ValueBool() {
		return true
	}
	return state.Fetch.ValueBool() && !r.machines.local.holds(ctx, state)
}

// holds reports whether the machine has the whole file under the state's key.
func (m *machine) holds(ctx context.Context, state *imageModel) bool {
	img, err := m.store.Image(ctx, state.Name.ValueString(), host.Arch(state.Arch.ValueString()), state.ID.ValueString())
	return err == nil && img.Path == state.Path.ValueString() && m.store.Verify(ctx, img) == nil
}

// move makes unknown what is another's when another copy of the image is the one to use.
func (m *imageResult) move() {
	m.Path, m.ManifestPath = types.StringUnknown(), types.StringUnknown()
	m.SHA256, m.SizeBytes, m.VirtualBytes = types.StringUnknown(), types.Int64Unknown(), types.Int64Unknown()
	m.BuiltAt, m.Accelerator = types.StringUnknown(), types.StringUnknown()
}

// fetch copies an image of a remote into the store here, referred to by the same name there and here.
func (r *runtime) fetch(ctx context.Context, m *machine, img *cache.Image, reference string) (*cache.Image, error) {
	local, id := r.machines.local, cache.ImageID(img.Manifest.Name, img.Manifest.Arch, img.Manifest.Key)
	if err := local.refer(ctx, img.Manifest.Key, id, reference); err != nil {
		return nil, err
	}
	var told time.Time
	progress := func(done, total int64) {
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			tflog.Info(ctx, "fetching image", map[string]any{"builder": m.name, "mib": done >> 20, "of": total >> 20})
		}
	}
	var got *cache.Image
	var err error
	for range fetchTries {
		got, err = local.store.Fetch(ctx, m.store, img, progress)
		if !errors.Is(err, host.ErrDisconnected) {
			break
		}
		if _, lost := r.machines.get(ctx, m.name); lost != nil {
			err = errors.Join(err, lost)
			break
		}
	}
	if err == nil {
		err = local.store.RegisterImage(ctx, got)
	}
	if err != nil {
		return nil, errors.Join(err, r.dropRef(ctx, local, id, reference))
	}
	return got, nil
}

// relocate brings an image where the configuration wants it, and describes it as it is then.
func (r *runtime) relocate(ctx context.Context, plan, state *imageModel) error {
	m, err := r.machines.get(ctx, state.Builder.ValueString())
	if err != nil {
		return fmt.Errorf("cannot reach the image's builder: %w", err)
	}
	img, err := m.store.Image(ctx, state.Name.ValueString(), host.Arch(state.Arch.ValueString()), state.ID.ValueString())
	if err != nil {
		return err
	}
	reference := referenceOf(state)
	switch {
	case plan.Fetch.ValueBool():
		img, err = r.fetch(ctx, m, img, reference)
	case state.Fetch.ValueBool():
		err = r.release(ctx, r.machines.local, state, reference)
	}
	if err != nil {
		return err
	}
	plan.imageResult = resultOf(img, m.name, m.logPath(img.Manifest.Key))
	return nil
}
