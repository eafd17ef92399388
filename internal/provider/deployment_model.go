package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// deploymentModel is a pim_deployment in configuration, plan and state.
type deploymentModel struct {
	ImageID   types.String   `tfsdk:"image_id"`
	ImagePath types.String   `tfsdk:"image_path"`
	Arch      types.String   `tfsdk:"arch"`
	Firmware  types.String   `tfsdk:"firmware"`
	TPM       types.Bool     `tfsdk:"tpm"`
	Name      types.String   `tfsdk:"name"`
	Target    types.String   `tfsdk:"target"`
	AWS       types.Object   `tfsdk:"aws"`
	File      types.Object   `tfsdk:"file"`
	Proxmox   types.Object   `tfsdk:"proxmox"`
	UTM       types.Object   `tfsdk:"utm"`
	Keep      types.Int64    `tfsdk:"keep"`
	Adopt     types.Bool     `tfsdk:"adopt"`
	Timeouts  timeouts.Value `tfsdk:"timeouts"`

	generationModel
	deploymentStatus
}

// generationModel is the current generation.
type generationModel struct {
	ID         types.String `tfsdk:"id"`
	TemplateID types.Int64  `tfsdk:"template_id"`
	AMIID      types.String `tfsdk:"ami_id"`
	SnapshotID types.String `tfsdk:"snapshot_id"`
	location
}

// location is what every generation has.
type location struct {
	ImageKey     types.String `tfsdk:"image_key"`
	DeployedAt   types.String `tfsdk:"deployed_at"`
	DeployedName types.String `tfsdk:"deployed_name"`
	Node         types.String `tfsdk:"node"`
	VMID         types.Int64  `tfsdk:"vmid"`
	UUID         types.String `tfsdk:"uuid"`
	AMIs         types.Map    `tfsdk:"amis"`
	Snapshots    types.Map    `tfsdk:"snapshots"`
	Path         types.String `tfsdk:"path"`
	SHA256       types.String `tfsdk:"sha256"`
}

// previousModel is an element of previous.
type previousModel struct {
	ID     types.String `tfsdk:"id"`
	Broken types.Bool   `tfsdk:"broken"`
	location
}

// deploymentStatus is how the deployment is.
type deploymentStatus struct {
	Type     types.String `tfsdk:"type"`
	Settings types.Map    `tfsdk:"settings"`
	Status   types.String `tfsdk:"status"`
	Drift    types.List   `tfsdk:"drift"`
	Previous types.List   `tfsdk:"previous"`
}

// The states a deployment can be in beside those of package deploy.
const (
	statusBroken   = "broken"   // what a failed Deploy left
	statusImported = "imported" // nobody knows with which settings it was made
)

// expect is the generation of a deployment that has yet to be made. What its type never has is null; of no type, which is
// one not known yet, everything may come.
func (g *generationModel) expect(k *kind) {
	*g = generationModel{ID: types.StringUnknown(), location: location{
		ImageKey: types.StringUnknown(), DeployedAt: types.StringUnknown(), DeployedName: types.StringUnknown(),
		AMIs: types.MapNull(types.StringType), Snapshots: types.MapNull(types.StringType),
	}}
	text, number, perRegion := types.StringUnknown(), types.Int64Unknown(), types.MapUnknown(types.StringType)
	if k == nil || k.name == kindAWS {
		g.AMIID, g.SnapshotID, g.AMIs, g.Snapshots = text, text, perRegion, perRegion
	}
	if k == nil || k.name == kindProxmox {
		g.Node, g.VMID, g.TemplateID, g.UUID = text, number, number, text
	}
	if k == nil || k.name == kindFile || k.name == kindUTM {
		g.Path, g.SHA256 = text, text
	}
}

// generationOf is a generation's attributes. Region is the target's own, "" for a target without.
func generationOf(r *deploy.Result, region string) generationModel {
	return generationModel{
		ID: textOrNull(r.ID), TemplateID: numberOrNull(r.VMID), AMIID: textOrNull(r.AMIs[region]),
		SnapshotID: textOrNull(r.Snapshots[region]), location: locationOf(r),
	}
}

func locationOf(r *deploy.Result) location {
	return location{
		ImageKey: textOrNull(r.ImageKey), DeployedAt: timeOrNull(r.DeployedAt), DeployedName: textOrNull(r.Name), Node: textOrNull(r.Node), VMID: numberOrNull(r.VMID), UUID: textOrNull(r.UUID),
		AMIs: mapOrNull(r.AMIs), Snapshots: mapOrNull(r.Snapshots), Path: textOrNull(r.Path), SHA256: textOrNull(r.SHA256),
	}
}

// result is the reverse of locationOf.
func (l location) result(id types.String, broken bool) deploy.Result {
	r := deploy.Result{
		ID: id.ValueString(), Name: l.DeployedName.ValueString(), ImageKey: l.ImageKey.ValueString(),
		Node: l.Node.ValueString(), VMID: l.VMID.ValueInt64(), UUID: l.UUID.ValueString(),
		AMIs: knownOrNil(l.AMIs), Snapshots: knownOrNil(l.Snapshots),
		Path: l.Path.ValueString(), SHA256: l.SHA256.ValueString(), Broken: broken,
	}
	r.DeployedAt, _ = time.Parse(time.RFC3339, l.DeployedAt.ValueString()) // we wrote it; an import has none yet
	return r
}

// generations is what the state says exists.
func (m *deploymentModel) generations(ctx context.Context) (deploy.State, diag.Diagnostics) {
	var s deploy.State
	if !m.ID.IsNull() {
		current := m.result(m.ID, m.Status.ValueString() == statusBroken)
		s.Current = &current
	}
	var previous []previousModel
	diags := m.Previous.ElementsAs(ctx, &previous, false)
	for _, p := range previous {
		s.Previous = append(s.Previous, p.result(p.ID, p.Broken.ValueBool()))
	}
	return s, diags
}

// record writes what exists into the state.
func (m *deploymentModel) record(ctx context.Context, s deploy.State) diag.Diagnostics {
	if s.Current != nil {
		m.generationModel = generationOf(s.Current, knownStrings(m.Settings)["region"])
		if s.Current.Broken {
			m.Status = types.StringValue(statusBroken)
		}
	}
	previous := []previousModel{}
	for _, r := range s.Previous {
		previous = append(previous, previousModel{textOrNull(r.ID), types.BoolValue(r.Broken), locationOf(&r)})
	}
	list, diags := types.ListValueFrom(ctx, previousType(), previous)
	m.Previous = list
	return diags
}

func textOrNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

func numberOrNull(n int64) types.Int64 {
	if n == 0 {
		return types.Int64Null()
	}
	return types.Int64Value(n)
}

func mapOrNull(m map[string]string) types.Map {
	if len(m) == 0 {
		return types.MapNull(types.StringType)
	}
	return stringMap(m, nil)
}

func knownOrNil(m types.Map) map[string]string {
	if known := knownStrings(m); len(known) > 0 {
		return known
	}
	return nil
}

// lines is a list of strings.
func lines(all []string) types.List {
	elements := make([]attr.Value, len(all))
	for i, line := range all {
		elements[i] = types.StringValue(line)
	}
	return types.ListValueMust(types.StringType, elements)
}

// previousType is the type of an element of previous.
func previousType() attr.Type {
	return statusAttributes()["previous"].GetType().(types.ListType).ElemType
}
