package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// errSealed is wrapped when the provider's credentials are not known yet.
var errSealed = errors.New("the provider's settings for Proxmox are only known after an apply")

// reopen opens the target of a state, to look at the deployment or to delete it. The settings are those it was made with;
// how to reach the target and how to log in are as of today. So is the address of a cluster, where that leads to the
// current generation. Errors: profile.ErrNoTarget, errSealed.
func (r *runtime) reopen(ctx context.Context, m *deploymentModel, have deploy.State) (deploy.Target, error) {
	k := r.kinds[m.Type.ValueString()]
	if k == nil {
		return nil, fmt.Errorf("this version of the provider knows no target of type %q", m.Type.ValueString())
	}
	made := knownStrings(m.Settings)
	if address := r.addressToday(k, m); address != "" && address != made[endpoint] {
		there := maps.Clone(made)
		there[endpoint] = address
		if t, err := r.reopenAs(ctx, k, m, there); err == nil {
			if same, _ := serves(ctx, t, have); same { // else the old address says what is wrong
				return t, nil
			}
		}
	}
	return r.reopenAs(ctx, k, m, made)
}

// reopenAs opens the target of a state with the settings that it was made with.
func (r *runtime) reopenAs(ctx context.Context, k *kind, m *deploymentModel, made map[string]string) (deploy.Target, error) {
	today := map[string]any{}
	if name := m.Target.ValueString(); name != "" {
		entry, err := r.entry(name)
		if err != nil {
			return nil, err
		}
		if entry.Type != k.name {
			return nil, fmt.Errorf("target %q of targets.d is of type %s now, while the deployment is of type %s; give the new target another name",
				name, entry.Type, k.name)
		}
		access := k.access()
		maps.DeleteFunc(made, func(field, _ string) bool { return slices.Contains(access, field) })
		today = maps.Clone(entry.Fields)
		maps.DeleteFunc(today, func(field string, _ any) bool { return !slices.Contains(access, field) })
	}
	lent, err := r.lentTo(k, made, today)
	if err != nil {
		return nil, err
	}
	maps.Copy(today, lent)
	s := k.blank()
	if err := errors.Join(deploy.DecodeStored(made, s), r.decodeInto(s, k, today)); err != nil {
		return nil, err
	}
	s.Complete() // for the defaults: what it checks was right when the deployment was made
	return k.open(ctx, s)
}

// lentTo is what the provider block and the environment add to the settings of a state.
func (r *runtime) lentTo(k *kind, made map[string]string, today map[string]any) (map[string]any, error) {
	given := maps.Clone(today)
	for name, v := range made {
		given[name] = v
	}
	fields, _ := r.lend(k, given)
	for name, v := range fields {
		if _, unknown := v.(notYet); unknown {
			return nil, errSealed
		}
		if _, ours := given[name]; ours {
			delete(fields, name)
		}
	}
	return fields, nil
}
