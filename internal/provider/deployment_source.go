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
	case m.ImageID.IsUnknown() || m.ImagePath.IsUnknown() || m.Arch.IsUnknown() || m.Firmware.IsUnknown():
		return source{}, nil
	case !m.ImagePath.IsNull():
		s, err := r.foreignImage(ctx, m)
		if err != nil {
			diags.AddAttributeError(path.Root("image_path"), "Cannot use the image", sentence(err.Error()))
		}
		return s, diags
	}
	key := m.ImageID.ValueString()
	img, err := r.store.FindContent(ctx, key)
	switch {
	case err == nil:
		return source{image: r.imageOf(img)}, nil
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, cache.ErrCorrupt):
		diags.AddAttributeError(path.Root("image_id"), "Cannot look up the image", sentence(err.Error()))
		return source{}, diags
	case strings.HasPrefix(deployed, key):
		key = deployed
	}
	if img, ok := r.announced.Load(key); ok {
		return source{image: img.(deploy.Image)}, nil
	}
	if len(key) < fullKey {
		key = ""
	}
	return source{image: deploy.Image{Host: r.host, Key: key}}, nil
}

// announce tells deployments about an image that is planned, so that they can be checked before it is built.
func (r *runtime) announce(key string, s build.Spec) {
	if key != "" {
		r.announced.Store(key, deploy.Image{
			Host: r.host, Name: s.Name, Profile: s.Profile, Key: key, Arch: s.Arch, Firmware: s.Firmware, VirtualBytes: s.DiskSize,
		})
	}
}

// storedSource is source at an apply: the image must be there, and whole.
func (r *runtime) storedSource(ctx context.Context, m *deploymentModel) (source, diag.Diagnostics) {
	if !m.ImagePath.IsNull() {
		return r.source(ctx, m, "")
	}
	var diags diag.Diagnostics
	img, err := r.store.FindContent(ctx, m.ImageID.ValueString())
	if err == nil {
		err = r.store.Verify(ctx, img)
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
	return source{image: r.imageOf(img)}, nil
}

// imageOf is a stored image as targets see it.
func (r *runtime) imageOf(img *cache.Image) deploy.Image {
	m := img.Manifest
	return deploy.Image{
		Host: r.host, Path: img.Path, Name: m.Name, Profile: m.Profile, Key: m.Key, Arch: m.Arch, Firmware: m.Firmware,
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
		Host: r.host, Path: file, Name: strings.TrimSuffix(name, filepath.Ext(name)), Key: sum, Arch: arch, Firmware: m.Firmware.ValueString(),
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
	return cmp.Or(m.Arch.ValueString(), "default") + "/" + cmp.Or(m.Firmware.ValueString(), "default")
}
