package build

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// installLayer leaves the installed disk in st.layer: the stored one of the same install inputs, or a new one.
// Images that differ only in their scripts share it, so it has a lock of its own.
func installLayer(ctx context.Context, st *state) error {
	inputs, err := st.layerInputs()
	if err != nil {
		return err
	}
	key := inputs.Key()
	err = st.layered(ctx, "install", key, func() (*cache.Layer, error) { return st.install(ctx, key) })
	if !errors.Is(err, errOtherPassword) {
		return err
	}
	// The password is no part of the key, and the stored disk may be the one that another build works on.
	st.note(ctx, "install", "password", "the stored layer "+cache.Short(key)+" has another password: this image gets a layer of its own")
	own := append(inputs, cache.Part{Name: "password", Value: rand.Text()}).Key()
	st.Defer("remove the image's own layer", func(ctx context.Context) error { return st.Store.DeleteLayer(ctx, own) })
	return st.layered(ctx, "install", own, func() (*cache.Layer, error) { return st.install(ctx, own) })
}

// errOtherPassword is a stored layer whose account has another password than the image is to have, or one where the other
// has none.
var errOtherPassword = errors.New("the layer has another password")

// layerSecret is what is kept of a layer under lock: the identity that opens its guest, and before it the hash of the
// account's password, which is empty without one.
func layerSecret(hash string, id provision.Identity) ([]byte, error) {
	text, err := id.MarshalText()
	return append([]byte(passwordLine+hash+"\n"), text...), err
}

const passwordLine = "password "

// fits tells whether a stored layer has the password that the image is to have.
func (s Spec) fits(layer *cache.Layer) bool {
	if s.FromBase() { // its password comes with the seed
		return true
	}
	hash := ""
	if line, _, _ := strings.Cut(string(layer.Identity), "\n"); strings.HasPrefix(line, passwordLine) {
		hash = line[len(passwordLine):]
	}
	ours := s.Preseed.Values.PasswordHash
	return hash == ours || hash != "" && ours != "" && s.SamePassword != nil && s.SamePassword(hash)
}

// layered leaves the layer of a key in st.layer, and its identity: the stored one, or the one that create makes.
func (st *state) layered(ctx context.Context, step, key string, create func() (*cache.Layer, error)) error {
	unlock, err := st.Store.Lock(ctx, key, func() { st.note(ctx, step, "wait", "another build makes the same layer") })
	if err != nil {
		return err
	}
	st.locks = append(st.locks, key)
	defer func() {
		st.locks = st.locks[:len(st.locks)-1]
		_ = unlock() // the lock ends with the process in any case
	}()
	layer, err := st.Store.Layer(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, cache.ErrCorrupt):
		layer, err = create()
	case err == nil && !st.fits(layer):
		err = errOtherPassword
	case err == nil:
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
	secret, err := layerSecret(st.Preseed.Values.PasswordHash, id)
	if err != nil {
		return nil, err
	}
	var layer *cache.Layer
	err = repeatable(func(ctx context.Context, st *state) error {
		var err error
		if layer, err = st.Store.Layer(ctx, key); err == nil {
			return nil // it was lost that it was published
		}
		layer, err = st.Store.PublishLayer(ctx, disk, key, cache.LayerMeta{Arch: st.Arch, Inputs: inputs.Map(), Identity: secret})
		return err
	})(ctx, st)
	return layer, err
}
