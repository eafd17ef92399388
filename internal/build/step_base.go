package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// baseSteps take the place of the installer's where an image begins with another one.
var baseSteps = []step{
	{"base", repeatable(ensureBase)},
	accelerate,
	{"layer", repeatable(baseLayer)},
}

// FromBase tells whether the image begins with another one instead of an installation.
func (s Spec) FromBase() bool { return s.Base != (cache.ISO{}) }

// baseInputs are the parts of the key of an image with a base, but for its scripts. The seed is digested as it is
// without the build's access and secrets.
func (s Spec) baseInputs() (cache.Inputs, error) {
	name, seed, err := s.Answers()
	if err != nil {
		return nil, err
	}
	return append(s.baseLayerInputs(), append(s.ownersInputs(), cache.Part{Name: name, Value: cache.Digest(seed)})...), nil
}

// baseLayerInputs are the parts that decide what is on the layer's disk, before anything was booted from it.
func (s Spec) baseLayerInputs() cache.Inputs {
	return cache.Inputs{
		{Name: "recipe", Value: Recipe},
		{Name: "arch", Value: string(s.Arch)},
		{Name: partFirmware, Value: InstallFirmware(s.Firmware)},
		{Name: "base", Value: "sha256:" + s.Base.SHA256},
		{Name: "disk_size", Value: strconv.FormatInt(s.DiskSize, 10)},
	}
}

// ensureBase has the base image on the host, with its digest verified.
func ensureBase(ctx context.Context, st *state) error {
	err := st.ensure(ctx, "base", st.Base)
	if errors.Is(err, fs.ErrNotExist) {
		return &hintError{err, "If another machine built this image and keeps it, set fetch = true on the pim_image that makes it."}
	}
	return err
}

// baseLayer leaves the base image, with its disk grown to the image's size, in st.layer: the stored one, or a new one.
// Its partitions grow when it is booted, by cloud-init.
func baseLayer(ctx context.Context, st *state) error {
	inputs := st.baseLayerInputs()
	key := append(inputs, cache.Part{Name: "layer", Value: "base"}).Key()
	return st.layered(ctx, "layer", key, func() (*cache.Layer, error) { return st.importBase(ctx, key, inputs) })
}

// importBase copies the base image into a layer of its own, so that nothing depends on where it came from.
func (st *state) importBase(ctx context.Context, key string, inputs cache.Inputs) (*cache.Layer, error) {
	format, size, err := disk.Inspect(st.Host, st.iso)
	if errors.Is(err, disk.ErrUnsupported) {
		return nil, &hintError{err, "A base is a standalone qcow2, or a raw disk. QEMU would read the files that other ones refer to."}
	}
	if err != nil {
		return nil, err
	}
	if size > st.DiskSize {
		return nil, &hintError{
			fmt.Errorf("the disk of the base image has %d bytes, more than the %d of disk_size", size, st.DiskSize),
			"Set disk_size to as much, or more.",
		}
	}
	file := st.path("layer.qcow2")
	st.Defer("remove the copy of the base image", func(context.Context) error { return st.Host.RemoveAll(file) })
	if err := qemu.Import(ctx, st.Host, st.iso, format, file, st.DiskSize); err != nil {
		return nil, err
	}
	if err := st.checkBoots(file); err != nil {
		return nil, err
	}
	id, err := provision.NewIdentity()
	if err != nil {
		return nil, err
	}
	identity, err := id.MarshalText()
	if err != nil {
		return nil, err
	}
	return st.Store.PublishLayer(ctx, file, key, cache.LayerMeta{Arch: st.Arch, Inputs: inputs.Map(), Identity: identity})
}

// checkBoots refuses a disk that the firmware has nothing to start from, which would be seen only by waiting for SSH.
func (st *state) checkBoots(file string) error {
	d, err := disk.Open(st.Host, file)
	if err != nil {
		return err
	}
	defer d.Close()
	uefi, err := d.HasESP()
	if err != nil {
		return err
	}
	bios, err := d.HasBootCode()
	if err != nil {
		return err
	}
	bios = bios && st.Arch == host.X86_64
	switch {
	case !uefi && !bios:
		return &hintError{
			errors.New("nothing boots from the base image: it has neither a boot loader for a BIOS nor an EFI system partition"),
			"A base is a whole, unpacked disk image, such as a distribution's cloud image; an installer's ISO belongs in iso.",
		}
	case st.Firmware == "bios" && !bios:
		return &hintError{errors.New("a BIOS finds no boot loader on the base image, which has an EFI system partition"), `Set firmware = "uefi".`}
	case st.Firmware != "bios" && !uefi:
		return &hintError{fmt.Errorf("the base image has no EFI system partition, which firmware %q boots from", st.Firmware), `Set firmware = "bios".`}
	}
	return nil
}

// seedBase gives a base image's first boot its seed: the settings that cloud-init knows, and the build's access. It is
// removed with the build.
func (st *state) seedBase(m qemu.Machine) (qemu.Machine, error) {
	v := st.Preseed.Values
	user, err := preseed.CloudConfig(v, st.identity.SeedScript(v.HTTPProxy))
	if err != nil {
		return m, err
	}
	iso, err := media.Seed(map[string][]byte{
		"user-data": user,
		"meta-data": []byte("instance-id: pim-" + st.key[:12] + "\nlocal-hostname: " + v.Hostname + "\n"),
	})
	if err != nil {
		return m, err
	}
	m.Seed = st.path("base-seed.iso")
	st.Defer("remove the seed", func(context.Context) error { return st.Host.RemoveAll(m.Seed) })
	return m, host.WriteFile(st.Host, m.Seed, iso, 0o600)
}

// settleBase waits for the end of cloud-init, whose packages and accounts the scripts build on.
func (st *state) settleBase(ctx context.Context) error {
	st.note(ctx, "boot", "wait", "cloud-init is at work")
	limit, cancel := context.WithTimeoutCause(ctx, st.Timeouts.Script,
		fmt.Errorf("cloud-init did not finish within %s", st.Timeouts.Script))
	defer cancel()
	return st.whileUp(limit, st.guest.AwaitCloudInit)
}

// unreachable adds to a base image's silence what may be the cause.
func (st *state) unreachable(err error) error {
	if err == nil || !st.FromBase() {
		return err
	}
	return &hintError{err, "A base image needs cloud-init, with the NoCloud data source, and openssh-server: the build gets in by them."}
}
