package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// removeUnfinished deletes what a provider that was killed left of a deployment: a VM, or a template of which it did not get
// to say that it is finished. What cannot be deleted is reported and left: it takes no place that is needed.
func (t *target) removeUnfinished(ctx context.Context, r deploy.Request, vms []object) {
	for _, vm := range vms {
		if !slices.Contains(tagsOf(vm), tagOurs) {
			continue
		}
		m, _, ok := t.marked(ctx, vm)
		if !ok || !m.Unfinished || m.Name != r.Name || time.Since(m.DeployedAt) < t.pace.Abandoned {
			continue
		}
		if err := t.remove(ctx, *m.result(vm["node"])); err != nil {
			r.Report(fmt.Sprintf("%s, left by a deployment that was cut short, could not be deleted: %v", vm["id"], err), 0, 0)
		}
	}
}

// collect deletes the templates that were retired because of linked clones and have none any more. Whatever fails is for
// the next time.
func (t *target) collect(ctx context.Context, vms []object) {
	for _, vm := range vms {
		if ctx.Err() != nil {
			return
		}
		if !slices.Contains(tagsOf(vm), tagRetired) {
			continue
		}
		// The list may be old, so the configuration decides.
		m, config, ok := t.marked(ctx, vm)
		if !ok || !slices.Contains(tagsOf(config), tagRetired) {
			continue
		}
		if clones, err := t.clones(ctx, vm["node"], m.VMID, config); err == nil && len(clones) == 0 {
			_ = t.destroy(ctx, vm["node"], m.VMID, config)
		}
	}
}

// marked is the marker of a VM in a list, if it has one, and its configuration.
func (t *target) marked(ctx context.Context, vm object) (marker, object, bool) {
	vmid, err := strconv.ParseInt(vm["vmid"], 10, 64)
	if err != nil {
		return marker{}, nil, false
	}
	config, err := t.config(ctx, vm["node"], vmid)
	if err != nil {
		return marker{}, nil, false
	}
	m, ok := markerOf(vmid, config)
	return m, config, ok
}
