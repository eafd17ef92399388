package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

var imageKey = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

const fullKey = 64 // hexadecimal digits

// source is the image to deploy, as far as it is known.
type source struct {
	image deploy.Image // Key "" while unknown; Path "" while the image is not stored, and all but Key while it is not planned either
	form  string       // of an image from elsewhere: the architecture and firmware given with it
}

// source looks up the image of a configuration. One that is not stored may be yet to be built. deployed is the key of the
// image that is deployed, "" for none.
func (r *runtime) source(ctx context.Context, m *deploymentModel, deployed string) (source, diag.Diagnostics) {
	var diags diag.Diagnostics
	switch {
	case m.ImageID.IsUnknown() || m.ImagePath.IsUnknown() || m.Arch.IsUnknown() || m.Firmware.IsUnknown() || m.TPM.IsUnknown():
		return source{}, nil
	case !m.ImagePath.IsNull():
		s, err := r.foreignImage(ctx, m)
		if err != nil {
			diags.AddAttributeError(path.Root("image_path"), "Cannot use the image", sentence(err.Error()))
		}
		return s, diags
	}
	key := m.ImageID.ValueString()
	remotes := r.machines.names()
	planned, known := r.announced.Load(key)
	if known && planned.(announcement).build {
		remotes = nil // none need be asked
	}
	img, at, err := r.findContent(ctx, key, remotes)
	switch {
	case err == nil:
		return source{image: imageOf(at, img)}, nil
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, cache.ErrCorrupt):
		diags.AddAttributeError(path.Root("image_id"), "Cannot look up the image", sentence(err.Error()))
		return source{}, diags
	case strings.HasPrefix(deployed, key):
		key = deployed
	}
	if a, ok := r.announced.Load(key); ok {
		return source{image: a.(announcement).image}, nil
	}
	if len(key) < fullKey {
		key = ""
	}
	return source{image: deploy.Image{Host: r.host, Key: key}}, nil
}

// announcement is an image that a plan in this process has.
type announcement struct {
	image deploy.Image
	build bool // it is to be built
}

// announce tells deployments about an image that is planned, so that they can be checked before it is built.
func (r *runtime) announce(d decision, s build.Spec) {
	if d.key != "" {
		r.announced.Store(d.key, announcement{deploy.Image{
			Host: r.host, Name: s.Name, Profile: s.Profile, Key: d.key, Arch: s.Arch, Firmware: s.Firmware, TPM: s.TPM, VirtualBytes: s.DiskSize,
		}, d.build})
	}
}

// findContent looks for an image of a key, under whatever name.
func (r *runtime) findContent(ctx context.Context, key string, remotes []string) (*cache.Image, *machine, error) {
	return r.search(ctx, remotes, func(s *cache.Store) (*cache.Image, error) { return s.FindContent(ctx, key) })
}

// storedSource is source at an apply: the image must be there, and whole.
func (r *runtime) storedSource(ctx context.Context, m *deploymentModel) (source, diag.Diagnostics) {
	if !m.ImagePath.IsNull() {
		return r.source(ctx, m, "")
	}
	var diags diag.Diagnostics
	img, at, err := r.findContent(ctx, m.ImageID.ValueString(), r.machines.names())
	if err == nil {
		err = at.store.Verify(ctx, img)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		diags.AddAttributeError(path.Root("image_id"), "The image is not stored",
			sentence(err.Error())+"\n\nWrite image_id = pim_image.NAME.id, so that the image is built before it is deployed, or see "+
				"data.pim_images for those that there are.")
	case err != nil:
		diags.AddAttributeError(path.Root("image_id"), "Cannot use the image", sentence(err.Error()))
	}
	if diags.HasError() {
		return source{}, diags
	}
	return source{image: imageOf(at, img)}, nil
}

// imageOf is an image stored on a machine as targets see it.
func imageOf(at *machine, img *cache.Image) deploy.Image {
	m := img.Manifest
	return deploy.Image{
		Host: at.host, Path: img.Path, Name: m.Name, Profile: m.Profile, Key: m.Key, Arch: m.Arch, Firmware: m.Firmware, TPM: m.TPM,
		SHA256: m.SHA256, SizeBytes: m.SizeBytes, VirtualBytes: m.VirtualSizeBytes, BuiltAt: m.BuiltAt,
	}
}

// foreignImage is the image at image_path.
func (r *runtime) foreignImage(ctx context.Context, m *deploymentModel) (s source, err error) {
	file, err := absolute(m.ImagePath.ValueString(), r.env.home)
	if err != nil {
		return s, err
	}
	sum, err := r.store.FileDigest(ctx, file)
	if err != nil {
		return s, err
	}
	if err := isQcow2(r.host, file); err != nil {
		return s, err
	}
	d, err := disk.Open(r.host, file)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	info, err := r.host.Stat(file)
	if err != nil {
		return s, err
	}
	arch := host.Arch(m.Arch.ValueString())
	if arch == "" {
		arch = r.host.Arch()
	}
	name := filepath.Base(file)
	s.image = deploy.Image{
		Host: r.host, Path: file, Name: strings.TrimSuffix(name, filepath.Ext(name)), Key: sum, Arch: arch, Firmware: m.Firmware.ValueString(), TPM: m.TPM.ValueBool(),
		SHA256: sum, SizeBytes: info.Size(), VirtualBytes: d.Size(), BuiltAt: info.ModTime().UTC(),
	}
	s.form = m.form()
	if m.Name.IsNull() {
		if err := cache.CheckName(s.image.Name); err != nil {
			return s, fmt.Errorf("the deployment would have the file's name, but %w; give it another with name", err)
		}
	}
	return s, nil
}

// isQcow2 looks at what a qcow2 begins with (QEMU's docs/interop/qcow2.txt). Anything else would be taken for a raw disk.
func isQcow2(h host.Files, file string) (err error) {
	f, err := h.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil || string(magic[:]) != "QFI\xfb" {
		return fmt.Errorf("%s is not a qcow2; qemu-img convert -O qcow2 makes one", file)
	}
	return nil
}

// form is how an image from elsewhere is to be taken, as far as the configuration says.
func (m *deploymentModel) form() string {
	form := cmp.Or(m.Arch.ValueString(), "default") + "/" + cmp.Or(m.Firmware.ValueString(), "default")
	if m.TPM.ValueBool() {
		form += "/tpm"
	}
	return form
}
