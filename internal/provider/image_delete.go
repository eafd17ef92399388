package provider

import (
	"cmp"
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// noReference stands for the reference of an imported image, which has none.
const noReference = "none"

// Delete drops this resource's hold on the file. The file goes with the last one, unless it is to be kept.
func (r *imageResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m imageModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() || m.ID.IsNull() {
		return
	}
	ctx, end := r.rt.work.begin(ctx)
	defer end()
	if err := r.rt.release(ctx, &m, cmp.Or(m.Reference.ValueString(), noReference)); err != nil {
		resp.Diagnostics.AddError("Cannot delete the stored image", sentence(err.Error()))
	}
}

// release drops a reference and deletes the file with the last one, all under the key's lock.
func (r *runtime) release(ctx context.Context, m *imageModel, reference string) (err error) {
	name, arch, key := m.Name.ValueString(), host.Arch(m.Arch.ValueString()), m.ID.ValueString()
	unlock, err := r.lock(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	last, err := r.store.DropRef(ctx, cache.ImageID(name, arch, key), reference)
	if err != nil || !last || m.KeepOnDestroy.ValueBool() {
		return err
	}
	return r.store.DeleteImage(ctx, name, arch, key)
}
