package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var (
	_ resource.ResourceWithConfigure      = (*deploymentResource)(nil)
	_ resource.ResourceWithImportState    = (*deploymentResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*deploymentResource)(nil)
	_ resource.ResourceWithValidateConfig = (*deploymentResource)(nil)
)

// deploymentResource is pim_deployment. Its methods are in the files deployment_*.go. It has no identity: its id changes
// with each new image, while the resource stays.
type deploymentResource struct{ rt *runtime }

func newDeploymentResource() resource.Resource { return &deploymentResource{} }

func (r *deploymentResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_deployment"
}

func (r *deploymentResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.rt = fromProvider(req.ProviderData, &resp.Diagnostics)
}

// ValidateConfig wants exactly one target, and checks a block as far as that takes no provider block.
func (r *deploymentResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var m deploymentModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var given []string
	if !m.Target.IsNull() {
		given = append(given, "target")
	}
	for _, name := range slices.Sorted(maps.Keys(m.blocks())) {
		if !m.blocks()[name].IsNull() {
			given = append(given, name)
		}
	}
	switch {
	case len(given) == 0:
		resp.Diagnostics.AddAttributeError(path.Root("target"), "No target",
			"Say where the image goes: set target to a name in targets.d, or give one of the blocks aws, file, proxmox and utm.")
	case len(given) > 1:
		resp.Diagnostics.AddAttributeError(path.Root(given[1]), "More than one target",
			fmt.Sprintf("A deployment has one target, and this has %s and %s. Write a resource for each.", given[0], given[1]))
	case m.Target.IsNull():
		unconfigured := &runtime{env: systemEnvironment(), kinds: targetKinds(deploy.Pace{})}
		_, diags := unconfigured.place(&m)
		resp.Diagnostics.Append(diags...)
	}
}

// Read looks what there is at the target. What is gone stays in the state, with a status that says so: taken out of it,
// the plan could not say why it deploys anew.
func (r *deploymentResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m deploymentModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	timeout, diags := m.Timeouts.Read(ctx, defaultReadTimeout)
	resp.Diagnostics.Append(diags...)
	have, diags := m.generations(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now, status, drift, err := r.rt.refresh(ctx, &m, have)
	imported := m.ImageKey.IsNull() && m.Status.ValueString() != statusBroken
	switch {
	case imported && (err == nil && status == deploy.StatusMissing || errors.Is(err, deploy.ErrNotFound)):
		resp.State.RemoveResource(ctx) // which makes the CLI say that there is nothing to import
		return
	case !imported && (errors.Is(err, deploy.ErrUnreachable) || errors.Is(err, profile.ErrNoTarget) || errors.Is(err, errSealed)):
		resp.Diagnostics.AddWarning(fmt.Sprintf("Deployment %q was not looked at", m.Name.ValueString()),
			sentence(err.Error())+"\n\nWhat the state says is kept. It may be out of date.")
		return
	case err != nil:
		resp.Diagnostics.AddError(fmt.Sprintf("Cannot read deployment %q", m.Name.ValueString()),
			sentence(err.Error())+"\n\nTo go on without looking, add -refresh=false.")
		return
	}
	if imported {
		if resp.Diagnostics.Append(m.adopt(now.Current)...); resp.Diagnostics.HasError() {
			return
		}
	}
	m.observe(status, drift)
	resp.Diagnostics.Append(m.record(ctx, now)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// refresh asks the target of a state.
func (r *runtime) refresh(ctx context.Context, m *deploymentModel, have deploy.State) (deploy.State, string, []string, error) {
	t, err := r.reopen(ctx, m, have)
	if err != nil {
		return have, "", nil, err
	}
	return deploy.Refresh(ctx, t, have)
}

// observe notes the status. Some hold until the next apply, whatever a look says.
func (m *deploymentModel) observe(status string, drift []string) {
	lasting := m.Status.ValueString() == statusBroken || m.Status.ValueString() == statusImported
	if !lasting || status == deploy.StatusMissing {
		m.Status = types.StringValue(status)
	}
	m.Drift = lines(drift)
}

// adopt takes over what an import found.
func (m *deploymentModel) adopt(found *deploy.Result) (diags diag.Diagnostics) {
	if found.ImageKey == "" {
		diags.AddError("Cannot import "+m.ID.ValueString(), "It exists, but nothing on it says which image it was made from: it was not made by pim.")
		return diags
	}
	name := found.Name
	if i := strings.LastIndex(name, "-"+cache.Short(found.ImageKey)); i > 0 { // as an AMI's
		name = name[:i]
	}
	m.Name, m.ImageID = types.StringValue(name), types.StringValue(found.ImageKey)
	return nil
}
