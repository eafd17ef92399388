package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// ImportState takes over a deployment that pim made: "TARGET:REF" with a target of targets.d, or "TYPE:PLACE:REF". Read
// follows at once and gets the rest from the deployment's own tags or notes.
func (r *deploymentResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	found, m, err := r.rt.reference(req.ID)
	if err != nil {
		resp.Diagnostics.AddError("Cannot import deployment "+strconv.Quote(req.ID), sentence(err.Error()))
		return
	}
	resp.Diagnostics.Append(m.record(ctx, deploy.State{Current: &found})...)
	for name, v := range map[string]any{
		"target": m.Target, "type": m.Type, "settings": m.Settings, "status": m.Status, "drift": lines(nil), "previous": m.Previous,
		"id": m.ID, "template_id": m.TemplateID, "ami_id": m.AMIID, "snapshot_id": m.SnapshotID, "image_key": m.ImageKey,
		"deployed_at": m.DeployedAt, "deployed_name": m.DeployedName, "node": m.Node, "vmid": m.VMID, "uuid": m.UUID, "amis": m.AMIs, "snapshots": m.Snapshots,
		"path": m.Path, "sha256": m.SHA256,
	} {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(name), v)...)
	}
}

// reference reads what an import names. A target of targets.d brings its settings. Of any other only the place is known:
// the status says so, and the first apply puts the settings of the configuration into effect.
func (r *runtime) reference(id string) (found deploy.Result, m deploymentModel, err error) {
	name, ref, _ := strings.Cut(id, ":")
	entry, err := r.entry(name)
	k, fields := r.kinds[name], map[string]any{}
	switch {
	case err == nil:
		m.Target, m.Status = types.StringValue(name), types.StringValue(deploy.StatusOK)
		if k, fields = r.kinds[entry.Type], entry.Fields; k == nil {
			return found, m, entry.Fault("type", "there is no such type of target; known are "+r.kinds.names())
		}
	case k == nil:
		return found, m, fmt.Errorf("%w; without an entry there, write TYPE:PLACE:REF with one of the types %s", err, r.kinds.names())
	default:
		m.Status = types.StringValue(statusImported)
	}
	s, err := r.decode(k, fields)
	if err != nil {
		return found, m, err
	}
	implied, found, err := k.reference(ref, s)
	if err != nil {
		return found, m, err
	}
	if entry == nil {
		fields = implied
	}
	stored, err := r.imported(k, fields, entry != nil)
	m.Type, m.Settings = types.StringValue(k.name), stringMap(stored, nil)
	return found, m, err
}

// imported is the settings that an import knows of: all of a target in targets.d, else what its place is.
func (r *runtime) imported(k *kind, fields map[string]any, all bool) (map[string]string, error) {
	fields, lent := r.lend(k, fields)
	maps.DeleteFunc(fields, func(name string, v any) bool {
		_, unknown := v.(notYet)
		return unknown || slices.Contains(lent, name)
	})
	s, err := r.decode(k, fields)
	if err != nil {
		return nil, err
	}
	s.Complete() // for the canonical form of what is given
	stored, err := deploy.Encode(s)
	maps.DeleteFunc(stored, func(name, _ string) bool {
		_, given := fields[name]
		return !all && !given && !slices.Contains(clusterAddress, name)
	})
	return stored, err
}
