package provider

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
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
	img, status, err := r.rt.find(ctx, &m)
	if err != nil {
		resp.Diagnostics.AddError("Cannot read the stored image", sentence(err.Error()))
		return
	}
	if status == statusOK {
		m.imageResult = resultOf(img, r.rt.logPath(img.Manifest.Key)) // its path may be another, or it was built anew elsewhere
	}
	m.Status = types.StringValue(status)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// find looks a state's image up and says how the stored file is. A file whose size and time are as they were is
// taken to be the same; any other is hashed.
func (r *runtime) find(ctx context.Context, m *imageModel) (*cache.Image, string, error) {
	img, err := r.store.Image(ctx, m.Name.ValueString(), host.Arch(m.Arch.ValueString()), m.ID.ValueString())
	if err == nil {
		err = r.store.Verify(ctx, img)
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
// copied everything else from the state.
func (r *imageResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan imageModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, plan.ID)...)
	if resp.Diagnostics.HasError() {
		return
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
