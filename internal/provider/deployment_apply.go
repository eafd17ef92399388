package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

const deploymentChanged = "The deployment changed after the plan"

// Create deploys the image, or adopts a deployment of it.
func (r *deploymentResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var config, plan deploymentModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	timeout, diags := plan.Timeouts.Create(ctx, defaultDeployTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.rt.work.begin(ctx)
	defer end()

	w, diags := r.rt.toDeploy(ctx, &config, &plan, nil)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	plan.settle(w)
	now, diags := r.rt.deploy(ctx, w, deploy.State{}, timeout, deploy.Options{Keep: int(plan.Keep.ValueInt64()), Adopt: plan.Adopt.ValueBool()})
	if now.Current != nil { // it exists: the state must know it before anything else is said
		resp.Diagnostics.Append(plan.record(ctx, now)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	}
	resp.Diagnostics.Append(diags...)
	if !diags.HasError() {
		resp.Diagnostics.Append(r.rt.register(ctx, nil, &plan)...)
	}
}

// Update brings the deployment to what the configuration asks for. When it fails the state is the old one, less what is
// gone and with what came into being, so that the next plan asks for the same again.
func (r *deploymentResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var config, plan, state deploymentModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	timeout, diags := plan.Timeouts.Update(ctx, defaultDeployTimeout)
	resp.Diagnostics.Append(diags...)
	have, diags := state.generations(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.rt.work.begin(ctx)
	defer end()

	w, v, diags := r.rt.toUpdate(ctx, &config, &plan, &state)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	now := have
	if v.course != stay {
		keys := deploy.Options{Keep: int(plan.Keep.ValueInt64()), Recreate: v.course == renew}
		now, diags = r.rt.deploy(ctx, w, have, timeout, keys)
	}
	if diags.HasError() {
		resp.Diagnostics.Append(state.record(ctx, now)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
		resp.Diagnostics.Append(diags...)
		return
	}
	plan.settle(w)
	resp.Diagnostics.Append(plan.record(ctx, now)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(r.rt.register(ctx, &state, &plan)...)
}

// toUpdate resolves an update as toDeploy does, and judges it again now that everything is known.
func (r *runtime) toUpdate(ctx context.Context, config, plan, state *deploymentModel) (*wanted, verdict, diag.Diagnostics) {
	w, diags := r.want(ctx, config, state)
	if diags.HasError() {
		return nil, verdict{}, diags
	}
	v := judge(state.deployed(ctx, plan.Keep.ValueInt64()), w.desired())
	if v.course == stay { // nothing is done with the image, so it need not be there
		return w, v, diags
	}
	if v.course == move {
		diags.AddAttributeError(w.place.origin.attribute, deploymentChanged,
			"The target is another place than it was, which was not known when this was planned. Nothing was changed. Plan again.")
		return nil, v, diags
	}
	w, diags = r.toDeploy(ctx, config, plan, state)
	return w, v, diags
}

// toDeploy resolves what to deploy from the files as they are now, and refuses when that is not what was planned.
func (r *runtime) toDeploy(ctx context.Context, config, plan, state *deploymentModel) (*wanted, diag.Diagnostics) {
	w, diags := r.want(ctx, config, state)
	if diags.HasError() {
		return nil, diags
	}
	src, more := r.storedSource(ctx, config)
	diags.Append(more...)
	if diags.HasError() {
		return nil, diags
	}
	w.source = src
	if w.name == "" {
		w.name = src.image.Name
	}
	if key := src.image.Key; !plan.ImageKey.IsUnknown() && plan.ImageKey.ValueString() != key {
		diags.AddAttributeError(path.Root("image_path"), deploymentChanged, "The image is not the one that was planned with. Nothing was deployed. Plan again.")
	}
	if changed := changedKeys(knownStrings(plan.Settings), w.place.stored); !plan.Settings.IsUnknown() && len(changed) > 0 {
		diags.AddAttributeError(w.place.origin.attribute, deploymentChanged,
			fmt.Sprintf("The target's %s is not what was planned with. Nothing was deployed. Plan again.", changed[0]))
	}
	return w, diags
}

// deploy applies a deployment, and says what exists then. The diagnostics have an error when it failed.
func (r *runtime) deploy(ctx context.Context, w *wanted, have deploy.State, timeout time.Duration, o deploy.Options) (deploy.State, diag.Diagnostics) {
	var diags diag.Diagnostics
	t, err := w.place.open(ctx)
	if err != nil {
		diags.Append(w.place.origin.fault(err))
		return have, diags
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &timeoutError{timeout})
	defer cancel()
	tflog.Info(ctx, "deploying image", map[string]any{"name": w.name, "target": w.place.title(), "key": w.source.image.Key})
	request := deploy.Request{Name: w.name, Image: w.source.image, Progress: progress(ctx, w.name)}
	now, warnings, err := deploy.Apply(ctx, t, have, request, o)
	for _, text := range warnings {
		diags.AddWarning(fmt.Sprintf("Deployment %q left something as it is", w.name), sentence(text))
	}
	if err != nil {
		diags.Append(w.failure(ctx, err))
	}
	return now, diags
}

// settle notes in the model what became known about what was asked for.
func (m *deploymentModel) settle(w *wanted) {
	m.Type, m.Name = types.StringValue(w.place.kind.name), types.StringValue(w.name)
	m.Settings = stringMap(w.place.stored, nil)
	m.Status, m.Drift = types.StringValue(deploy.StatusOK), lines(nil)
}

// timeoutError is the cause of a context that a time-out of the configuration ended.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("it took longer than %s; give it more time in the resource's block timeouts", e.after)
}

// failure tells why a deployment failed.
func (w *wanted) failure(ctx context.Context, err error) diag.Diagnostic {
	summary := fmt.Sprintf("Cannot deploy %q to %s", w.name, w.place.title())
	detail := sentence(err.Error())
	var late *timeoutError
	var field *deploy.FieldError
	switch {
	case errors.As(context.Cause(ctx), &late):
		detail += "\n\n" + sentence(late.Error())
	case ctx.Err() != nil:
		summary = fmt.Sprintf("The deployment of %q was cancelled", w.name)
	case errors.As(err, &field):
		return w.place.origin.problem(deploy.Problem{Field: field.Field, Summary: summary, Detail: field.Err.Error()})
	case errors.Is(err, deploy.ErrExists):
		detail += "\n\nIf it is this deployment, from a state that was lost: set adopt = true, or import it."
	}
	return diag.NewErrorDiagnostic(summary, detail)
}

// title names the target for a person.
func (p *place) title() string {
	if p.name != "" {
		return p.name
	}
	return p.kind.name
}

// progress writes how far a deployment is into the log: each step, and each tenth of it.
func progress(ctx context.Context, name string) func(step string, done, total int64) {
	var mu sync.Mutex
	tenths := map[string]int64{}
	return func(step string, done, total int64) {
		tenth := int64(0)
		if total > 0 {
			tenth = 10 * done / total
		}
		mu.Lock()
		last, begun := tenths[step]
		tenths[step] = max(last, tenth)
		mu.Unlock()
		if !begun || tenth > last {
			tflog.Info(ctx, step, map[string]any{"deployment": name, "done": done, "total": total})
		}
	}
}
