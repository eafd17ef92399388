package build

import (
	"context"
	"errors"
	"io/fs"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// installLayer leaves the installed disk in st.layer: the stored one of the same install inputs, or a new one.
// Images that differ only in their scripts share it, so it has a lock of its own.
func installLayer(ctx context.Context, st *state) error {
	key, err := st.layerKey()
	if err != nil {
		return err
	}
	return st.layered(ctx, "install", key, func() (*cache.Layer, error) { return st.install(ctx, key) })
}

// layered leaves the layer of a key in st.layer, and its identity: the stored one, or the one that create makes.
func (st *state) layered(ctx context.Context, step, key string, create func() (*cache.Layer, error)) error {
	unlock, err := st.Store.Lock(ctx, key, func() { st.note(ctx, step, "wait", "another build makes the same layer") })
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process in any case
	layer, err := st.Store.Layer(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, cache.ErrCorrupt) {
		layer, err = create()
	} else if err == nil {
		st.note(ctx, step, "reuse", "layer "+cache.Short(key))
		err = st.Store.UseLayer(layer)
	}
	if err != nil {
		return err
	}
	st.layer = layer
	return st.identity.UnmarshalText(layer.Identity)
}

// install runs the installer to its end and publishes the disk it leaves.
func (st *state) install(ctx context.Context, key string) (*cache.Layer, error) {
	id, err := provision.NewIdentity()
	if err != nil {
		return nil, err
	}
	disk := st.path("install.qcow2")
	if err := qemu.CreateDisk(ctx, st.Host, disk, st.DiskSize); err != nil {
		return nil, err
	}
	st.Defer("remove the installer's disk", func(context.Context) error { return st.Host.RemoveAll(disk) })
	st.installer = st.chooseInstaller()
	m, err := st.installerMachine(ctx, id, disk)
	if err != nil {
		return nil, err
	}
	if err := st.start(ctx, m); err != nil {
		return nil, err
	}
	if err := st.awaitInstaller(ctx); err != nil {
		return nil, err
	}
	st.stopServing(ctx)
	st.vm = nil
	inputs, err := st.installInputs()
	if err != nil {
		return nil, err
	}
	identity, err := id.MarshalText()
	if err != nil {
		return nil, err
	}
	return st.Store.PublishLayer(ctx, disk, key, cache.LayerMeta{Arch: st.Arch, Inputs: inputs.Map(), Identity: identity})
}
