package provider

import (
	"context"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// ImportState takes a stored image into state from its manifest. It is named by its key, in full or by the twelve
// digits its file's name shows. The image is not hashed here: Read follows at once.
func (r *imageResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	id := req.ID
	if id == "" && req.Identity != nil {
		var key types.String
		resp.Diagnostics.Append(req.Identity.GetAttribute(ctx, path.Root("id"), &key)...)
		id = key.ValueString()
	}
	if resp.Diagnostics.HasError() {
		return
	}
	img, m, err := r.rt.search(ctx, r.rt.machines.names(), func(s *cache.Store) (*cache.Image, error) { return s.FindImage(ctx, id) })
	if err != nil {
		resp.Diagnostics.AddError("Cannot import image "+strconv.Quote(id), sentence(err.Error()))
		return
	}
	// No reference is made: an import is also done by plans that are never applied, and each would leave one behind
	// that keeps the file for good. Delete finds out whether others refer to the file.
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, types.StringValue(img.Manifest.Key))...)
	result := resultOf(img, m.name, m.logPath(img.Manifest.Key))
	for name, v := range map[string]any{
		"id": result.ID, "name": result.Name, "inputs": result.Inputs, "path": result.Path, "sha256": result.SHA256,
		"size_bytes": result.SizeBytes, "virtual_size_bytes": result.VirtualBytes, "format": result.Format,
		"built_at": result.BuiltAt, "builder": result.Builder, "accelerator": result.Accelerator, "status": result.Status,
		"log_path": result.LogPath, "manifest_path": result.ManifestPath,
		"arch": string(img.Manifest.Arch), "profile": profileOf(img),
	} {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(name), v)...)
	}
}

func profileOf(img *cache.Image) types.String {
	if img.Manifest.Profile == "" {
		return types.StringNull()
	}
	return types.StringValue(img.Manifest.Profile)
}
