package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// checkTime bounds what a plan asks a target.
const checkTime = 15 * time.Second

const deploymentDestroyHint = "\n\nA destroy plans first, too: to destroy the deployment without mending this, add -refresh=false."

// ModifyPlan says what an apply will do: nothing, an update in place, a new generation, or another place.
func (r *deploymentResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.rt == nil { // a destroy has nothing to compute
		return
	}
	var config, plan deploymentModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	state, diags := priorDeployment(ctx, req.State)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	w, diags := r.rt.want(ctx, &config, state)
	if diags.HasError() && state != nil {
		diags = withHint(diags, deploymentDestroyHint)
	}
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	have := state.deployed(ctx, config.Keep.ValueInt64())
	v := judge(have, w.desired())
	plan.expect(v, w, state)
	if have != nil && have.excess > 0 {
		plan.Previous = types.ListUnknown(previousType())
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	resp.RequiresReplace = append(resp.RequiresReplace, v.replace...)
	if have != nil {
		if summary, detail := v.warning(have); summary != "" {
			resp.Diagnostics.AddWarning(summary, detail)
		}
	}
	if v.course == renew || v.course == adjust { // the plan of what replaces this one follows, without a prior state
		resp.Diagnostics.Append(r.rt.check(ctx, w, state)...)
	}
}

// priorDeployment reads the state, nil when there is none.
func priorDeployment(ctx context.Context, s tfsdk.State) (*deploymentModel, diag.Diagnostics) {
	if s.Raw.IsNull() {
		return nil, nil
	}
	var m deploymentModel
	diags := s.Get(ctx, &m)
	return &m, diags
}

// wanted is what a configuration asks for, resolved as far as it is known.
type wanted struct {
	place  *place
	source source
	name   string // "" while unknown

	sameCluster bool // though its address is another one
}

// want resolves a configuration.
func (r *runtime) want(ctx context.Context, config, state *deploymentModel) (*wanted, diag.Diagnostics) {
	p, diags := r.place(config)
	key := ""
	if state != nil {
		key = state.ImageKey.ValueString()
	}
	src, more := r.source(ctx, config, key)
	diags.Append(more...)
	w := &wanted{place: p, source: src, name: src.image.Name}
	switch {
	case !config.Name.IsNull():
		w.name = config.Name.ValueString()
	case state != nil && !state.Name.IsNull(): // the name lasts, and any image of a key will do
		w.name = state.Name.ValueString()
	}
	if !diags.HasError() {
		diags.Append(r.recognize(ctx, w, state)...)
	}
	return w, diags
}

func (w *wanted) desired() desired {
	d := desired{
		name: w.name, key: w.source.image.Key, form: w.source.form, settings: w.place.stored, unknown: w.place.unknown,
	}
	if w.place.kind != nil {
		d.kind, d.effect = w.place.kind.name, w.place.kind.effect
	}
	if w.sameCluster {
		d.effect = func(field string) deploy.Effect {
			if field == endpoint {
				return deploy.InPlace
			}
			return w.place.kind.effect(field)
		}
	}
	return d
}

// deployed is what the state says for judge, nil for no state.
func (m *deploymentModel) deployed(ctx context.Context, keep int64) *deployed {
	if m == nil {
		return nil
	}
	d := &deployed{
		kind: m.Type.ValueString(), name: m.Name.ValueString(), key: m.ImageKey.ValueString(),
		settings: knownStrings(m.Settings), status: m.Status.ValueString(),
	}
	if !m.ImagePath.IsNull() {
		d.form = m.form()
	}
	for _, line := range m.Drift.Elements() {
		d.drift = append(d.drift, line.(types.String).ValueString())
	}
	s, _ := m.generations(ctx) // the state's own types fit
	d.excess = s.Excess(int(keep))
	return d
}

// expect writes a verdict into the plan.
func (m *deploymentModel) expect(v verdict, w *wanted, state *deploymentModel) {
	m.Type, m.Settings = types.StringUnknown(), types.MapUnknown(types.StringType)
	if k := w.place.kind; k != nil {
		m.Type = types.StringValue(k.name)
	}
	if w.place.stored != nil {
		m.Settings = stringMap(w.place.stored, nil)
	}
	m.Name = types.StringUnknown()
	if w.name != "" {
		m.Name = types.StringValue(w.name)
	}
	m.Status, m.Drift = types.StringValue(deploy.StatusOK), lines(nil)
	if v.course == stay || v.course == adjust {
		m.keepGeneration(v, w, state)
		return
	}
	m.generationModel.expect(w.place.kind)
	if key := w.source.image.Key; key != "" {
		m.ImageKey = types.StringValue(key)
	}
	m.Previous = types.ListUnknown(previousType())
	if state == nil {
		m.Previous = types.ListValueMust(previousType(), nil)
	}
}

// keepGeneration plans an update in place: what machines are made from keeps its ids, so that they stay, too.
func (m *deploymentModel) keepGeneration(v verdict, w *wanted, state *deploymentModel) {
	m.generationModel, m.Previous = state.generationModel, state.Previous
	if v.course == stay {
		return
	}
	repair := state.Status.ValueString() != deploy.StatusOK
	if repair { // which may make the file anew
		m.DeployedAt = unknownUnlessNull(state.DeployedAt)
		m.SHA256 = unknownUnlessNull(state.SHA256)
	}
	regions := w.place.kind.regions
	switch {
	case regions == nil:
	case slices.Contains(w.place.unknown, "regions"):
		m.AMIs, m.Snapshots = types.MapUnknown(types.StringType), types.MapUnknown(types.StringType)
	default:
		all := regions(w.place.settings)
		lasting := all
		if repair { // which may make the copies anew; without its AMI at home the deployment would be missing
			lasting = all[:1]
		}
		m.AMIs = perRegion(state.AMIs, all, lasting)
		m.Snapshots = perRegion(state.Snapshots, all, lasting)
	}
}

// perRegion keeps the elements of the lasting regions, and has the others of all unknown, like those that are missing.
func perRegion(have types.Map, all, lasting []string) types.Map {
	elements := map[string]attr.Value{}
	for _, region := range all {
		elements[region] = types.StringUnknown()
		if v, ok := have.Elements()[region]; ok && slices.Contains(lasting, region) {
			elements[region] = v
		}
	}
	return types.MapValueMust(types.StringType, elements)
}

func unknownUnlessNull(s types.String) types.String {
	if s.IsNull() {
		return s
	}
	return types.StringUnknown()
}

// check asks the target what would make the deployment fail, once enough is known to ask. An apply plans again, when
// everything is.
func (r *runtime) check(ctx context.Context, w *wanted, state *deploymentModel) diag.Diagnostics {
	var diags diag.Diagnostics
	if w.place.kind == nil || w.place.sealed || w.name == "" || w.source.image.Arch == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	t, err := w.place.open(ctx)
	if err != nil {
		diags.Append(w.place.origin.fault(err))
		return diags
	}
	request := deploy.Request{Name: w.name, Image: w.source.image}
	if state != nil {
		s, more := state.generations(ctx)
		diags.Append(more...)
		request.Current = s.Current
	}
	problems, err := t.Check(ctx, request)
	for _, p := range problems {
		diags.Append(w.place.origin.problem(p))
	}
	switch {
	case err == nil:
	case errors.Is(err, deploy.ErrUnreachable) || ctx.Err() != nil:
		diags.AddAttributeWarning(w.place.origin.attribute, "Target cannot be reached",
			sentence(err.Error())+"\n\nThe plan goes on without having asked it; an apply would fail.")
	default:
		diags.AddAttributeWarning(w.place.origin.attribute, "Target cannot be checked",
			sentence(err.Error())+fmt.Sprintf("\n\nWhether it would take deployment %q, only the apply will show.", w.name))
	}
	return diags
}
