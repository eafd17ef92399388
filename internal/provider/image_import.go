package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	tfpath "github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// ImportState takes a stored image into state from its manifest. It is named by its key, in full or by the twelve
// digits its file's name shows. The image is not hashed here: Read follows at once.
func (r *imageResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	id := req.ID
	if id == "" && req.Identity != nil {
		var key types.String
		resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, tfpath.Root("id"), &key)...)
		id = key.ValueString()
	}
	if resp.Diagnostics.HasError() {
		return
	}
	img, err := r.rt.byKey(ctx, id)
	if err != nil {
		resp.Diagnostics.AddError("Cannot import image "+strconv.Quote(id), sentence(err.Error()))
		return
	}
	// No reference is made: an import is also done by plans that are never applied, and each would leave one behind
	// that keeps the file for good. Delete finds out whether others refer to the file.
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, types.StringValue(img.Manifest.Key))...)
	result := resultOf(img, r.rt.logPath(img.Manifest.Key))
	for name, v := range map[string]any{
		"id": result.ID, "name": result.Name, "inputs": result.Inputs, "path": result.Path, "sha256": result.SHA256,
		"size_bytes": result.SizeBytes, "virtual_size_bytes": result.VirtualBytes, "format": result.Format,
		"built_at": result.BuiltAt, "builder": result.Builder, "accelerator": result.Accelerator, "status": result.Status,
		"log_path": result.LogPath, "manifest_path": result.ManifestPath,
		"arch": string(img.Manifest.Arch), "profile": profileOf(img),
	} {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, tfpath.Root(name), v)...)
	}
}

func profileOf(img *cache.Image) types.String {
	if img.Manifest.Profile == "" {
		return types.StringNull()
	}
	return types.StringValue(img.Manifest.Profile)
}

// importID is a key: all of it, or at least the digits that a file's name shows.
var importID = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// byKey finds a stored image by its key.
func (r *runtime) byKey(ctx context.Context, id string) (*cache.Image, error) {
	if !importID.MatchString(id) {
		return nil, errors.New("an image is imported by its key: 64 hexadecimal digits, or the 12 at the end of its file's name")
	}
	found, err := r.manifests(func(m cache.Manifest) bool { return strings.HasPrefix(m.Key, id) })
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no image with this key is stored in %s", r.imagesDir())
	case 1:
		return r.store.Image(ctx, found[0].Name, found[0].Arch, found[0].Key)
	}
	names := make([]string, len(found))
	for i, m := range found {
		names[i] = cache.ImageID(m.Name, m.Arch, m.Key)
	}
	return nil, fmt.Errorf("several images have this key: %s", strings.Join(names, ", "))
}

// manifests reads the manifests in the store that want accepts. What is no manifest is passed over.
func (r *runtime) manifests(want func(cache.Manifest) bool) ([]cache.Manifest, error) {
	dir := r.imagesDir()
	infos, err := r.host.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the stored images: %w", err)
	}
	var out []cache.Manifest
	for _, info := range infos {
		if !strings.HasSuffix(info.Name(), ".json") {
			continue
		}
		data, err := host.ReadFile(r.host, path.Join(dir, info.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot list the stored images: %w", err)
		}
		var m cache.Manifest
		if json.Unmarshal(data, &m) == nil && want(m) {
			out = append(out, m)
		}
	}
	return out, nil
}
