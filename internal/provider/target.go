package provider

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// place is where a configuration wants an image to be deployed, as far as that is known.
type place struct {
	kind     *kind             // nil while not even the type is known
	name     string            // in targets.d, "" for a block
	settings settings          // as far as they are known, nil while the kind is not
	stored   map[string]string // the settings as a state keeps them, nil unless all are known
	unknown  []string          // fields that are not known yet and that a state keeps
	sealed   bool              // something is not known yet, so the target cannot be asked anything
	origin   origin
}

// origin says where the fields of a target were written.
type origin struct {
	attribute path.Path       // the block, or the attribute that names the target
	entry     *profile.Target // the target in targets.d, nil for a block
	block     []string        // names of the block's attributes
}

// problem is a problem with a field, at the place to mend it.
func (o origin) problem(p deploy.Problem) diag.Diagnostic {
	at, detail := o.attribute, sentence(p.Detail)
	switch {
	case o.entry != nil:
		detail = o.entry.Fault(p.Field, p.Detail).Error()
	case slices.Contains(o.block, p.Field): // given or not: then the CLI shows the block
		at = at.AtName(p.Field)
	}
	if p.Warning {
		return diag.NewAttributeWarningDiagnostic(at, p.Summary, detail)
	}
	return diag.NewAttributeErrorDiagnostic(at, p.Summary, detail)
}

// fault is what is wrong with a field that cannot be read at all, or with a target that cannot be opened.
func (o origin) fault(err error) diag.Diagnostic {
	var field *deploy.FieldError
	if errors.As(err, &field) {
		return o.problem(deploy.Problem{Field: field.Field, Summary: "Invalid target", Detail: field.Err.Error()})
	}
	return o.problem(deploy.Problem{Summary: "Invalid target", Detail: err.Error()})
}

// blocks are the configuration's inline targets by the names of their types.
func (m *deploymentModel) blocks() map[string]types.Object {
	return map[string]types.Object{kindProxmox: m.Proxmox, kindAWS: m.AWS, kindUTM: m.UTM, kindFile: m.File}
}

// place resolves where a configuration wants its image. The environment and the provider block fill in what its target
// does not say about a Proxmox cluster.
func (r *runtime) place(m *deploymentModel) (*place, diag.Diagnostics) {
	var diags diag.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(m.blocks())) {
		block := m.blocks()[name]
		if block.IsNull() {
			continue
		}
		k := r.kinds[name]
		p := &place{kind: k, origin: origin{attribute: path.Root(name), block: k.attributes()}}
		return p, r.complete(p, fieldsOf(block))
	}
	p := &place{name: m.Target.ValueString(), origin: origin{attribute: path.Root("target")}}
	if m.Target.IsUnknown() {
		return p, nil
	}
	entry, err := r.entry(p.name)
	if err != nil {
		diags.AddAttributeError(p.origin.attribute, "Invalid target", sentence(err.Error()))
		return nil, diags
	}
	p.origin.entry = entry
	if p.kind = r.kinds[entry.Type]; p.kind == nil {
		diags.AddAttributeError(p.origin.attribute, "Invalid target",
			sentence(entry.Fault("type", "there is no such type of target; known are "+r.kinds.names()).Error()))
		return nil, diags
	}
	return p, r.complete(p, entry.Fields)
}

// entry is a target of targets.d. Errors: profile.ErrNoTarget.
func (r *runtime) entry(name string) (*profile.Target, error) {
	all, err := profile.LoadTargets(profile.Options{ConfigDir: r.configDir, ProjectDir: r.projectDir})
	if err != nil {
		return nil, err
	}
	return all.Find(name)
}

// complete turns the fields of a target into its settings, and checks them without asking anybody.
func (r *runtime) complete(p *place, given map[string]any) diag.Diagnostics {
	var diags diag.Diagnostics
	fields, lent := r.lend(p.kind, given)
	secrets := p.kind.secrets()
	for name, v := range fields {
		if _, unknown := v.(notYet); !unknown {
			continue
		}
		delete(fields, name)
		p.sealed = true
		if !slices.Contains(secrets, name) && !slices.Contains(lent, name) {
			p.unknown = append(p.unknown, name)
		}
	}
	s, err := r.decode(p.kind, fields)
	if err != nil {
		diags.Append(p.origin.fault(err))
		return diags
	}
	p.settings = s
	for _, problem := range s.Complete() {
		if !p.sealed { // what is not known yet may be what is missing
			diags.Append(p.origin.problem(problem))
		}
	}
	if diags.HasError() || len(p.unknown) > 0 {
		return diags
	}
	if p.stored, err = deploy.Encode(s); err != nil {
		diags.Append(p.origin.fault(err))
		return diags
	}
	for _, name := range lent {
		delete(p.stored, name)
	}
	return diags
}

// decode reads fields into new settings.
func (r *runtime) decode(k *kind, fields map[string]any) (settings, error) {
	s := k.blank()
	return s, r.decodeInto(s, k, fields)
}

// decodeInto reads fields into settings. A path may begin with ~ or be relative to the working directory.
func (r *runtime) decodeInto(s settings, k *kind, fields map[string]any) error {
	fields = maps.Clone(fields)
	for _, name := range k.paths {
		file, ok := fields[name].(string)
		if !ok {
			continue
		}
		file, err := absolute(file, r.env.home)
		if err != nil {
			return &deploy.FieldError{Field: name, Err: err}
		}
		fields[name] = file
	}
	return deploy.Decode(fields, s)
}

// open opens the target that a place names.
func (p *place) open(ctx context.Context) (deploy.Target, error) { return p.kind.open(ctx, p.settings) }
