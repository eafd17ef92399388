package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// A cluster has many addresses: those of its nodes, a name, one in a VPN. So another address alone is not another place:
// that is so where it does not lead to the template, which is known by its id and uuid.

// endpoint is the address of a Proxmox cluster in settings as a state has them.
const endpoint = "endpoint"

// recognize notes whether a changed address leads to the cluster that the deployment is on. Not to know it is an error: a
// replacement destroys what is there, and all that was cloned from it follows.
func (r *runtime) recognize(ctx context.Context, w *wanted, state *deploymentModel) diag.Diagnostics {
	p := w.place
	if state == nil || p.kind == nil || p.kind.name != kindProxmox || p.sealed || state.Type.ValueString() != kindProxmox {
		return nil
	}
	from, to := knownStrings(state.Settings)[endpoint], p.stored[endpoint]
	if from == "" || from == to {
		return nil
	}
	have, diags := state.generations(ctx)
	t, err := p.open(ctx)
	if err != nil {
		diags.Append(p.origin.fault(err))
		return diags
	}
	if w.sameCluster, err = serves(ctx, t, have); err != nil {
		diags.AddAttributeError(p.origin.attribute, "Cannot tell whether it is the same cluster", fmt.Sprintf(
			"The deployment was made at %s. Whether %s leads to it, too, is not known: %s\n\nOn another cluster it would be made anew, and "+
				"the old one destroyed. Plan again once the address answers, or go back to the old one.", from, to, sentence(err.Error())))
	}
	return diags
}

// serves tells whether a target has the current generation. What is broken, or is yet to be imported, cannot be known again.
func serves(ctx context.Context, t deploy.Target, have deploy.State) (bool, error) {
	if have.Current == nil || have.Current.Broken || have.Current.UUID == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	_, _, err := t.Read(ctx, *have.Current)
	if errors.Is(err, deploy.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// addressToday is where targets.d, the state's block, the provider block or the environment has the cluster now, "" where
// none of them says so.
func (r *runtime) addressToday(k *kind, m *deploymentModel) string {
	if k.name != kindProxmox {
		return ""
	}
	given := fieldsOf(m.Proxmox)
	if name := m.Target.ValueString(); name != "" {
		entry, err := r.entry(name)
		if err != nil || entry.Type != k.name {
			return ""
		}
		given = entry.Fields
	}
	fields, _ := r.lend(k, given)
	for name, v := range fields {
		if _, unknown := v.(notYet); unknown || !slices.Contains(clusterAddress, name) {
			delete(fields, name)
		}
	}
	s, err := r.decode(k, fields)
	if err != nil {
		return ""
	}
	s.Complete() // an address that is none opens no target
	stored, _ := deploy.Encode(s)
	return stored[endpoint]
}
