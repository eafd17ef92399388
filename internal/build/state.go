package build

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// cleanupTime bounds everything that is undone after a build, also after a cancelled one.
const cleanupTime = 90 * time.Second

// A step is one line of the table of contents.
type step struct {
	name string
	run  func(ctx context.Context, st *state) error
}

// state is what the steps of one build hand to each other.
type state struct {
	*Builder
	Spec
	key     string
	dir     string // build directory on the host: logs, seeds, overlays
	log     *journal
	started time.Time

	iso       string // path of the verified installer ISO, or base image
	accel     qemu.Accelerator
	layer     *cache.Layer       // the installed disk
	identity  provision.Identity // what the guest knows us by, and we it
	disk      string             // overlay the scripts write to
	vm        *qemu.VM           // the guest that runs now, nil for none
	serving   <-chan struct{}    // the link that server listens through
	server    *preseed.Server    // serves the installer, nil when no installer runs
	installer distroInstaller    // the one that runs, or ran last
	guest     *provision.Guest   // SSH connection into the guest, nil for none

	consoleLog string // of the last guest that ran
	image      string // the compacted image, before it is published
	manifest   cache.Manifest
	result     *cache.Image

	cleanups  []cleanup
	locks     []string // keys of the locks that are held
	release   func()   // gives back the build's lock and slot
	regaining regaining
}

type cleanup struct {
	what string
	run  func(context.Context) error
}

func newState(b *Builder, s Spec, inputs cache.Inputs) (*state, error) {
	key := inputs.Key()
	dir := b.Store.BuildDir(key)
	if err := b.Host.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("cannot clear the last build's logs: %w", err)
	}
	if err := b.Host.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the build directory: %w", err)
	}
	log, err := openJournal(b.Host, dir)
	if err != nil {
		return nil, err
	}
	st := &state{Builder: b, Spec: s, key: key, dir: dir, log: log, started: time.Now(), locks: []string{key}}
	st.manifest = cache.Manifest{
		Key: key, Name: s.Name, Profile: s.Profile, Arch: s.Arch, Format: Format, Firmware: s.Firmware, TPM: s.TPM,
		ISO: s.ISO.Name, Base: s.Base.Name, Inputs: inputs.Map(), Builder: b.Host.Name(), Recipe: Recipe, StartedAt: st.started.UTC(), ProviderVersion: b.Version,
	}
	return st, nil
}

// Defer stacks a clean-up; they run last in, first out, when the build ends in whatever way.
func (st *state) Defer(what string, run func(context.Context) error) {
	st.cleanups = append(st.cleanups, cleanup{what, run})
}

// run runs the steps, then the clean-ups, and joins their errors.
func (st *state) run(ctx context.Context, steps []step) (*cache.Image, error) {
	var failed *Error
	for _, s := range steps {
		begun := time.Now()
		st.note(ctx, s.name, "begin", "")
		if err := s.run(ctx, st); err != nil {
			failed = st.fail(ctx, s.name, err)
			break
		}
		st.note(ctx, s.name, "end", st.took(s.name, begun).String())
	}
	err := errors.Join(st.cleanUp(ctx, failed), st.log.Close())
	switch {
	case failed == nil && err == nil:
		return st.result, nil
	case failed == nil:
		failed = &Error{Step: "clean-up", Err: err, Machine: st.remote(), LogPath: st.log.path}
	case errors.Is(failed.Err, host.ErrDisconnected): // the rest comes of it
	default:
		failed.Err = errors.Join(failed.Err, err)
	}
	if errors.Is(failed.Err, host.ErrDisconnected) {
		failed.Hint = st.disconnectedHint()
	}
	return st.result, failed
}

// cleanUp undoes what the build holds. It outlives cancellation, within cleanupTime. A guest that the user
// wants to look at (on_error = "keep") stays, and so does all that was made before it. Once the machine is out of reach,
// or its locks are, the rest is left as it is, with the guest's record: the next build there goes by that.
func (st *state) cleanUp(ctx context.Context, failed *Error) error {
	if failed != nil && errors.As(failed.Err, new(*notBackError)) {
		return nil
	}
	cancelled := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := st.stillOurs(ctx, st.locks...); errors.Is(err, errLockLost) {
		return err
	}
	if failed != nil && st.KeepGuest && st.running() && !cancelled {
		hint, err := st.keepGuest()
		failed.Hint = hint
		return err
	}
	var errs []error
	for _, c := range slices.Backward(st.cleanups) {
		since := st.link()
		err := c.run(ctx)
		if errors.Is(err, host.ErrDisconnected) && failed == nil && st.regain(ctx, since) == nil {
			err = c.run(ctx)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot %s: %w", c.what, err))
		}
		if errors.Is(err, host.ErrDisconnected) {
			break
		}
	}
	return errors.Join(errs...)
}

// took records a step's duration in the manifest.
func (st *state) took(name string, begun time.Time) time.Duration {
	d := time.Since(begun).Round(100 * time.Millisecond)
	st.manifest.Steps = append(st.manifest.Steps, cache.Step{Name: name, Seconds: d.Seconds()})
	return d
}

// path is a file of this build on the host.
func (st *state) path(name string) string { return path.Join(st.dir, name) }

// note writes an event to the build's log and tells the user's one.
func (st *state) note(ctx context.Context, step, event, detail string) {
	st.log.Event(step, event, detail)
	st.progress(ctx, strings.TrimSpace(fmt.Sprintf("%s %s: %s %s", st.Name, step, event, detail)))
}
