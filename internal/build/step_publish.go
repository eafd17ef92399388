package build

import (
	"context"
	"fmt"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
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
	return qemu.Check(ctx, st.Host, st.image)
}

// verify boots the image once on a throw-away overlay, as its users will: with a NoCloud seed.
func verify(ctx context.Context, st *state) error {
	if !st.Verify {
		st.note(ctx, "verify", "skip", "verify = false")
		return nil
	}
	overlay := st.path("verify.qcow2")
	if err := qemu.CreateOverlay(ctx, st.Host, overlay, st.image); err != nil {
		return err
	}
	st.Defer("remove the verification's disk", func(context.Context) error { return st.Host.RemoveAll(overlay) })
	v, err := provision.NewVerification()
	if err != nil {
		return err
	}
	m, err := st.machine(ctx, "verify", overlay)
	if err != nil {
		return err
	}
	_ = m
	_ = v
	return fmt.Errorf("unfinished")
}

// publish makes the image visible under its key, and records it in the registry.
func publish(ctx context.Context, st *state) error {
	st.manifest.BuiltAt = time.Now().UTC()
	img, err := st.Store.PublishImage(ctx, st.image, st.manifest)
	if err != nil {
		return err
	}
	st.result = img
	return st.Store.RegisterImage(ctx, img)
}

var _ cache.Image
