package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// compact writes layer and overlay into one standalone, compressed qcow2 and checks it.
func compact(ctx context.Context, st *state) error {
	st.image = st.Store.TempPath(st.key, "image.qcow2")
	image := st.image
	st.Defer("remove the unpublished image", func(context.Context) error { return st.Host.RemoveAll(image) })
	if err := qemu.Compact(ctx, st.Host, st.disk, st.image, nil); err != nil {
		return err
	}
	info, err := qemu.ReadInfo(ctx, st.Host, st.image)
	if err != nil {
		return err
	}
	st.manifest.VirtualSizeBytes = info.VirtualSize
	return qemu.Check(ctx, st.Host, st.image)
}

// verify boots the image once on a throw-away overlay, as its users will: with a NoCloud seed.
func verify(ctx context.Context, st *state) error {
	if !st.Verify {
		st.note(ctx, "verify", "skip", "verify = false")
		return nil
	}
	v, err := provision.NewVerification(provision.Platform{Firmware: st.Firmware, TPM: st.TPM})
	if err != nil {
		return err
	}
	m, err := st.verifyMachine(ctx, v)
	if err != nil {
		return err
	}
	if err := st.start(ctx, m); err != nil {
		return err
	}
	limit, cancel := context.WithTimeoutCause(ctx, st.Timeouts.SSH,
		fmt.Errorf("cloud-init did not finish within %s", st.Timeouts.SSH))
	defer cancel()
	err = st.whileBoots(limit, func(ctx context.Context) error {
		facts, err := v.Check(ctx, st.Host.Dial, st.vm.SSHAddr(), st.console, sshEvery, func(err error) {
			st.note(ctx, "verify", "wait", err.Error())
		})
		st.manifest.Verify = &cache.Verification{
			MachineID: facts.MachineID, HostKeys: facts.HostKeys, CloudInit: facts.CloudInit,
			Firmware: facts.Platform.Firmware, TPM: facts.Platform.TPM,
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("the image does not start as its users would start it: %w", err)
	}
	return st.end(ctx)
}

// verifyMachine boots a throw-away overlay of the image, with a NoCloud seed and a console of its own.
func (st *state) verifyMachine(ctx context.Context, v *provision.Verification) (qemu.Machine, error) {
	overlay, seed := st.path("verify.qcow2"), st.path("seed.iso")
	st.Defer("remove the verification's disks", func(context.Context) error {
		return errors.Join(st.Host.RemoveAll(overlay), st.Host.RemoveAll(seed))
	})
	if err := qemu.CreateOverlay(ctx, st.Host, overlay, st.image); err != nil {
		return qemu.Machine{}, err
	}
	iso, err := media.Seed(v.Seed())
	if err != nil {
		return qemu.Machine{}, err
	}
	if err := host.WriteFile(st.Host, seed, iso, 0o600); err != nil {
		return qemu.Machine{}, err
	}
	m, err := st.machine(ctx, "verify", overlay)
	m.Seed = seed
	return m, err
}

// layerAge is how long a layer is kept after its last use.
const layerAge = 30 * 24 * time.Hour

// publish makes the image visible under its key, and records it in the registry; layers
// that are no longer used go.
func publish(ctx context.Context, st *state) error {
	if err := st.stillOurs(ctx, st.locks...); err != nil {
		return err
	}
	if st.manifest.BuiltAt.IsZero() {
		st.manifest.BuiltAt = time.Now().UTC()
	}
	img, err := st.Store.Image(ctx, st.Name, st.Arch, st.key)
	if err != nil || !img.Manifest.BuiltAt.Equal(st.manifest.BuiltAt) { // else it was lost that ours was published
		img, err = st.Store.PublishImage(ctx, st.image, st.manifest)
	}
	if err != nil {
		return err
	}
	st.result = img
	return errors.Join(st.Store.RegisterImage(ctx, img), st.Store.PruneLayers(ctx, layerAge))
}
