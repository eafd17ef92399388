package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var (
	_ resource.ResourceWithConfigure   = (*imageResource)(nil)
	_ resource.ResourceWithIdentity    = (*imageResource)(nil)
	_ resource.ResourceWithImportState = (*imageResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*imageResource)(nil)
)

// imageResource is pim_image. Its methods are in image_modify.go, image_create.go, image_delete.go,
// image_import.go and here.
type imageResource struct{ rt *runtime }

func newImageResource() resource.Resource { return &imageResource{} }

func (r *imageResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_image"
}

func (r *imageResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.rt = fromProvider(req.ProviderData, &resp.Diagnostics)
}

// Read looks whether the stored file is still what was built. A file that is gone or damaged stays in state, with
// a status that says so: taken out of state, the plan could not say why it makes the image anew.
func (r *imageResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m imageModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, m.ID)...)
	if resp.Diagnostics.HasError() {
		return
	}
	img, status, logPath, err := r.rt.find(ctx, &m)
	var away *awayError
	if errors.As(err, &away) {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Cannot look at image %q on %s", m.Name.ValueString(), m.Builder.ValueString()),
			sentence(err.Error())+"\n\nThe image is taken to be as it was. An apply that needs it, or a destroy, will fail until the machine answers.")
		resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
		return
	}
	if err != nil {
		resp.Diagnostics.AddError("Cannot read the stored image", sentence(err.Error()))
		return
	}
	if status == statusOK {
		m.imageResult = resultOf(img, cmp.Or(m.Builder.ValueString(), profile.Local), logPath) // its path may be another, or it was built anew elsewhere
	}
	m.Status = types.StringValue(status)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// awayError is a builder that does not answer.
type awayError struct{ err error }

func (e *awayError) Error() string { return e.err.Error() }
func (e *awayError) Unwrap() error { return e.err }

// find looks a state's image up, its status, and the path of its build's log. While a fetched image is whole its builder
// is not asked. Errors: *awayError.
func (r *runtime) find(ctx context.Context, m *imageModel) (_ *cache.Image, status, logPath string, err error) {
	if m.onRemote() && m.Fetch.ValueBool() {
		img, status, err := r.machines.local.find(ctx, m)
		if err != nil || status == statusOK {
			return img, status, m.LogPath.ValueString(), err
		}
	}
	builder, err := r.machines.get(ctx, m.Builder.ValueString())
	if err != nil {
		return nil, "", "", &awayError{err}
	}
	img, status, err := builder.find(ctx, m)
	if errors.Is(err, host.ErrDisconnected) {
		err = &awayError{err}
	}
	return img, status, builder.logPath(m.ID.ValueString()), err
}

// find looks a state's image up on the machine and says how the stored file is. A file whose size and time are as they
// were is taken to be the same; any other is hashed.
func (m *machine) find(ctx context.Context, state *imageModel) (*cache.Image, string, error) {
	img, err := m.store.Image(ctx, state.Name.ValueString(), host.Arch(state.Arch.ValueString()), state.ID.ValueString())
	if err == nil {
		err = m.store.Verify(ctx, img)
	}
	switch {
	case err == nil:
		return img, statusOK, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, statusMissing, nil
	case errors.Is(err, cache.ErrCorrupt):
		return nil, statusCorrupt, nil
	}
	return nil, "", err
}

// Update takes over settings that do not change the image; they count from the next build on. ModifyPlan has
// copied everything else from the state, but where the image is when it is to be fetched.
func (r *imageResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state imageModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, plan.ID)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if plan.Path.IsUnknown() {
		ctx, end := r.rt.work.begin(ctx)
		defer end()
		if err := r.rt.relocate(ctx, &plan, &state); err != nil {
			resp.Diagnostics.AddError(fmt.Sprintf("Cannot fetch image %q, or give its copy up", state.Name.ValueString()), sentence(err.Error())+
				"\n\nApply again: what has arrived is kept.")
			return
		}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// setIdentity gives the resource its identity, also where an older CLI left none in the state.
func setIdentity(ctx context.Context, identity *tfsdk.ResourceIdentity, id types.String) diag.Diagnostics {
	if identity == nil || id.IsNull() || id.IsUnknown() {
		return nil
	}
	return identity.SetAttribute(ctx, path.Root("id"), id)
}
