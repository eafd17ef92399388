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
	builder, err := r.rt.machines.get(ctx, m.Builder.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("Cannot reach the image's builder", sentence(err.Error())+"\n\n"+
			"The image is on "+m.Builder.ValueString()+" and can only be deleted there. If that machine is gone for good, remove the "+
			"resource from the state with `state rm`.")
		return
	}
	err = r.rt.release(ctx, builder, &m, referenceOf(&m))
	if err == nil && m.onRemote() && m.Fetch.ValueBool() {
		err = r.rt.release(ctx, r.rt.machines.local, &m, referenceOf(&m))
	}
	if err != nil {
		resp.Diagnostics.AddError("Cannot delete the stored image", sentence(err.Error()))
	}
}

func referenceOf(m *imageModel) string { return cmp.Or(m.Reference.ValueString(), noReference) }

// release drops a reference on a machine and deletes the file with the last one, all under the key's lock.
func (r *runtime) release(ctx context.Context, at *machine, m *imageModel, reference string) (err error) {
	name, arch, key := m.Name.ValueString(), host.Arch(m.Arch.ValueString()), m.ID.ValueString()
	unlock, err := at.lock(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	last, err := at.store.DropRef(ctx, cache.ImageID(name, arch, key), reference)
	if err != nil || !last || m.KeepOnDestroy.ValueBool() {
		return err
	}
	return at.store.DeleteImage(ctx, name, arch, key)
}
