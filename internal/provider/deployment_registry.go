package provider

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// entryOf is a deployment in registry.yml.
func (r *runtime) entryOf(m *deploymentModel) cache.Deployment {
	k := r.kinds[m.Type.ValueString()]
	d := cache.Deployment{
		Name: m.Name.ValueString(), Target: m.Target.ValueString(), Type: k.entry,
		TemplateID: m.TemplateID.ValueInt64(), AMIID: m.AMIID.ValueString(), Path: m.Path.ValueString(),
		ImageKey: m.ImageKey.ValueString(),
	}
	d.DeployedAt, _ = time.Parse(time.RFC3339, m.DeployedAt.ValueString())
	if d.Target == "" { // a block has no name, so its type and place stand for one
		d.Target = k.name
		if k.label != nil {
			d.Target = strings.TrimSuffix(k.name+"-"+k.label(m), "-")
		}
	}
	return d
}

// register records a deployment in registry.yml, in the place of what it was before, nil for nothing. That this fails is
// no failure of the deployment.
func (r *runtime) register(ctx context.Context, before, now *deploymentModel) diag.Diagnostics {
	entry := r.entryOf(now)
	var err error
	if before != nil {
		if old := r.entryOf(before); old.Name != entry.Name || old.Target != entry.Target {
			err = r.store.UnregisterDeployment(ctx, old)
		}
	}
	if err == nil {
		err = r.store.RegisterDeployment(ctx, entry)
	}
	return registryWarning(err)
}

func (r *runtime) unregister(ctx context.Context, m *deploymentModel) diag.Diagnostics {
	return registryWarning(r.store.UnregisterDeployment(ctx, r.entryOf(m)))
}

func registryWarning(err error) diag.Diagnostics {
	var diags diag.Diagnostics
	if err != nil {
		diags.AddWarning("registry.yml is out of date", sentence(fmt.Sprintf("the deployment is as it should be, but %v", err)))
	}
	return diags
}
