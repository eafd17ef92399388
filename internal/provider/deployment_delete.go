package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// Delete removes all generations, with the settings that they were made with and the credentials of today.
func (r *deploymentResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m deploymentModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	timeout, diags := m.Timeouts.Delete(ctx, defaultDestroyTimeout)
	resp.Diagnostics.Append(diags...)
	have, diags := m.generations(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.rt.work.begin(ctx)
	defer end()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &timeoutError{timeout})
	defer cancel()

	summary := fmt.Sprintf("Cannot destroy deployment %q", m.Name.ValueString())
	t, err := r.rt.reopen(ctx, &m, have)
	if errors.Is(err, profile.ErrNoTarget) {
		resp.Diagnostics.AddAttributeError(path.Root("target"), summary, sentence(err.Error())+"\n\nIts entry in targets.d says how to reach "+
			"the target. Put it back until the destroy is done, or remove the deployment by hand and then from the state (state rm).")
		return
	}
	if err != nil {
		resp.Diagnostics.AddError(summary, sentence(err.Error()))
		return
	}
	left, warnings, err := deploy.Destroy(ctx, t, have)
	for _, text := range warnings {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Deployment %q is not all gone", m.Name.ValueString()), sentence(text))
	}
	if err == nil {
		resp.Diagnostics.Append(r.rt.unregister(ctx, &m)...)
		return
	}
	if left.Current == nil {
		m.Status = types.StringValue(deploy.StatusMissing)
	}
	resp.Diagnostics.Append(m.record(ctx, left)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
	resp.Diagnostics.AddError(summary, sentence(err.Error()))
}
