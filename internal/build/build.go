// Package build is the pipeline that turns a Spec into a stored image. Builder.Build reads like its table of
// contents; every step is a file of its own.
package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// Builder builds images on one host into one store.
type Builder struct {
	Host    host.Host
	Store   *cache.Store
	Version string // the provider's, for the manifest
	// MaxParallel is how many builds may run at a time into Store, whoever starts them; 0 for any number.
	MaxParallel int
	// Accelerator proves what can run a guest of an architecture on the host.
	Accelerator func(ctx context.Context, guest host.Arch) (qemu.Accelerator, error)
	// Progress is told each step as it begins, and what it is waiting for; nil for none.
	Progress func(ctx context.Context, message string)
}

// Steps turn a spec into a stored image, in this order: those of an installer, or baseSteps, and then the rest. Each
// leaves its results in the state.
var (
	accelerate   = step{"accelerator", repeatable(chooseAccelerator)}
	installSteps = []step{
		{"iso", repeatable(ensureISO)},
		accelerate,
		{"install", repeatable(installLayer)},
	}
	imageSteps = []step{
		{"boot", repeatable(bootGuest)},
		{"scripts", runScripts},
		{"finalize", finalize},
		{"compact", repeatable(compact)},
		{"verify", repeatable(verify)},
		{"publish", repeatable(publish)},
	}
)

func (s Spec) steps() []step {
	if s.FromBase() {
		return slices.Concat(baseSteps, imageSteps)
	}
	return slices.Concat(installSteps, imageSteps)
}

// Build returns the stored image of a spec, building it when there is none. Any number of calls for one spec, in
// any number of processes, build once. A failure is an *Error; nothing of a failed build stays but its logs.
func (b *Builder) Build(ctx context.Context, s Spec) (*cache.Image, error) {
	inputs, err := s.Inputs()
	if err != nil {
		return nil, &Error{Step: "inputs", Err: err}
	}
	st, img, err := b.begin(ctx, s, inputs)
	for host.BackAfter(ctx, b.Host, err, func(lost string) { b.progress(ctx, lost) }) {
		st, img, err = b.begin(ctx, s, inputs)
	}
	if img != nil || err != nil {
		return img, err
	}
	defer st.release()
	if limit := s.Timeouts.Build; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("the build did not end within %s", limit))
		defer cancel()
	}
	return st.run(ctx, s.steps())
}

// begin waits until a build may begin: until no other makes the same image, and a slot is free. When the image is there,
// it returns that instead.
func (b *Builder) begin(ctx context.Context, s Spec, inputs cache.Inputs) (st *state, img *cache.Image, err error) {
	key := inputs.Key()
	if img, err := b.stored(ctx, s, key); img != nil || err != nil {
		return nil, img, err
	}
	unlock, err := b.Store.Lock(ctx, key, func() { b.progress(ctx, "another run builds this image: waiting for it") })
	if err != nil {
		return nil, nil, &Error{Step: "lock", Err: err}
	}
	release := func() { _ = unlock() } // locks end with the process in any case
	defer func() {
		if st == nil {
			release()
		}
	}()
	if img, err := b.stored(ctx, s, key); img != nil || err != nil {
		return nil, img, err
	}
	if err := b.reap(ctx, key); err != nil {
		return nil, nil, &Error{Step: "start", Err: err}
	}
	leave, err := b.slot(ctx)
	if err != nil {
		return nil, nil, &Error{Step: "slot", Err: err}
	}
	release = func() { _, _ = leave(), unlock() }
	if err := b.stillOurs(ctx, key); err != nil { // the wait for a slot may have been long
		return nil, nil, &Error{Step: "slot", Err: err}
	}
	if st, err = newState(b, s, inputs); err != nil {
		return nil, nil, &Error{Step: "start", Err: err}
	}
	st.release = release
	return st, nil, nil
}

// stored is the valid stored image of a key, or nil when there is none or it is damaged and must be built anew.
func (b *Builder) stored(ctx context.Context, s Spec, key string) (*cache.Image, error) {
	img, err := b.Store.Image(ctx, s.Name, s.Arch, key)
	if err == nil {
		err = b.Store.Verify(ctx, img)
	}
	switch {
	case err == nil:
		return img, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, cache.ErrCorrupt):
		return nil, nil
	default:
		return nil, &Error{Step: "store", Err: err}
	}
}

func (b *Builder) progress(ctx context.Context, message string) {
	if b.Progress != nil {
		b.Progress(ctx, message)
	}
}
