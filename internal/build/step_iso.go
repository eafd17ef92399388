package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// spaceNeeded is what a build wants free in the store before it starts, in bytes: a small system installed, its
// overlay and the compacted image. A larger one meets the disk's end while it runs, which is reported as such.
const spaceNeeded = 4 << 30

// ensureISO has the installer's ISO on the host, with its digest verified.
func ensureISO(ctx context.Context, st *state) error { return st.ensure(ctx, "iso", st.ISO) }

// ensure leaves the path on the host of an ISO, or a base image, in st.iso.
func (st *state) ensure(ctx context.Context, step string, source cache.ISO) error {
	free, err := st.Host.Free(st.dir)
	if err != nil {
		return fmt.Errorf("cannot tell the free space of the store: %w", err)
	}
	if free < spaceNeeded {
		return &hintError{
			fmt.Errorf("disk full on %s: %d MiB are free below %s, a build wants %d MiB", st.where(), free>>20, st.dir, uint64(spaceNeeded)>>20),
			st.roomHint(),
		}
	}
	var told time.Time
	st.iso, err = st.Store.EnsureISO(ctx, source, func(done, total int64) {
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			st.note(ctx, step, "download", fmt.Sprintf("%d of %d MiB", done>>20, total>>20))
		}
	})
	return err
}

// ErrNotAccelerated is wrapped when a build would need emulation and its Spec does not allow it.
var ErrNotAccelerated = errors.New("cannot accelerate")

// chooseAccelerator settles what runs the guest. Emulation is many times slower, so the user must have allowed it.
func chooseAccelerator(ctx context.Context, st *state) error {
	accel, err := st.Accelerator(ctx, st.Arch)
	if err != nil {
		return err
	}
	if accel.Name == qemu.TCG && !st.Emulation {
		return &hintError{
			fmt.Errorf("%s %w %s guests: %s", cmp.Or(st.remote(), "this host"), ErrNotAccelerated, st.Arch, accel.Reason),
			"Set emulation = true to build by emulation (ten times slower or more), or build on a host with acceleration.",
		}
	}
	st.accel = accel
	st.manifest.Accelerator, st.manifest.AcceleratorReason = accel.Name, accel.Reason
	st.note(ctx, "accelerator", accel.Name, accel.Reason)
	return nil
}
