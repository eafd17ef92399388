package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

const (
	changedSummary = "Image inputs changed after the plan"
	cannotBuild    = "Image %q cannot be built yet"
	destroyHint    = "\n\nA destroy plans first, too: to destroy the image without mending this, add -refresh=false."
)

// ModifyPlan computes the key of the image from the files as they are now, and from it whether the image that
// exists is still current.
func (r *imageResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.rt == nil { // a destroy has nothing to compute
		return
	}
	var config, plan imageModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	state, diags := priorState(ctx, req.State)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	got, diags := r.rt.planned(ctx, &config, state != nil)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	d := decide(storedIn(state), got.digests)
	plan.apply(d, &config, state, got)
	if !d.build && r.rt.misplaced(ctx, &config, state) {
		plan.move()
	}
	r.rt.announce(d, got.spec)
	if d.build && d.key != "" && r.rt.staysHere(got.spec) {
		plan.LogPath = types.StringValue(r.rt.machines.local.logPath(d.key)) // for whoever wants to watch the build
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	for _, p := range d.replace {
		resp.RequiresReplace.Append(p)
	}
	if state != nil && len(d.replace) > 0 { // the plan of the new object follows, without a prior state
		resp.Diagnostics.AddWarning(d.staleWarning(state.Name.ValueString(), state.ID.ValueString()))
	}
	if d.build && !got.digests.opaque {
		resp.Diagnostics.Append(r.rt.foresee(ctx, got, d, &config, state == nil)...)
	}
}

// priorState reads the state, nil when there is none.
func priorState(ctx context.Context, s tfsdk.State) (*imageModel, diag.Diagnostics) {
	if s.Raw.IsNull() {
		return nil, nil
	}
	var m imageModel
	diags := s.Get(ctx, &m)
	return &m, diags
}

// planned resolves a configuration as far as it is known, and holds it against its lock.
func (r *runtime) planned(ctx context.Context, config *imageModel, exists bool) (*resolution, diag.Diagnostics) {
	w := config.wish()
	if w.unknown.opaque {
		return &resolution{digests: digests{opaque: true}}, nil
	}
	got, err := r.resolve(ctx, w)
	if err != nil {
		diags := resolveDiagnostics(err, config.attributes())
		if exists {
			diags = withHint(diags, destroyHint)
		}
		return nil, diags
	}
	diags := lockDiagnostics(config.InputsLock, got.digests)
	if exists {
		diags = withHint(diags, destroyHint)
	}
	return got, diags
}

// attributes tells which settings the configuration gives inline.
func (m *imageModel) attributes() attributes {
	given := map[string]bool{
		"arch": !m.Arch.IsNull(), "iso": !m.ISO.IsNull(), "base": !m.Base.IsNull(), "preseed": !m.Preseed.IsNull(), "install": !m.Install.IsNull(),
		"scripts": !m.Scripts.IsNull(), "packages": !m.Packages.IsNull(), "boot_args": !m.BootArgs.IsNull(),
		"firmware": !m.Firmware.IsNull(), "hostname": !m.Hostname.IsNull(), "domain": !m.Domain.IsNull(),
		"username": !m.Username.IsNull(), "fullname": !m.Fullname.IsNull(), "timezone": !m.Timezone.IsNull(),
		"locale": !m.Locale.IsNull(), "keyboard": !m.Keyboard.IsNull(), "mirror_host": !m.MirrorHost.IsNull(),
		"mirror_path": !m.MirrorPath.IsNull(), "partitioning_method": !m.PartitioningMethod.IsNull(),
		"partitioning_recipe": !m.PartitioningRecipe.IsNull(), "tasksel": !m.Tasksel.IsNull(),
		"grub_device": !m.GrubDevice.IsNull(), "authorized_keys_url": !m.AuthorizedKeysURL.IsNull(),
		"disk_size": !m.DiskSize.IsNull(), "memory": !m.Memory.IsNull(), "cpus": !m.CPUs.IsNull(),
		"on_error": !m.OnError.IsNull(), "tpm": !m.TPM.IsNull(), "installer": !m.Installer.IsNull(),
		"autoinstall": !m.Autoinstall.IsNull(), "answers": !m.Answers.IsNull(), "password_wo_version": !m.PasswordWOVersion.IsNull(),
	}
	return attributes{profile: path.Root("profile"), own: func(name string) bool { return given[name] }}
}

func withHint(diags diag.Diagnostics, hint string) diag.Diagnostics {
	var out diag.Diagnostics
	for _, d := range diags {
		if p, ok := d.(diag.DiagnosticWithPath); ok {
			out.AddAttributeError(p.Path(), d.Summary(), d.Detail()+hint)
			continue
		}
		out.AddError(d.Summary(), d.Detail()+hint)
	}
	return out
}

// lockDiagnostics compares the inputs with inputs_lock, each disagreement at its name.
func lockDiagnostics(lock types.Map, got digests) diag.Diagnostics {
	var diags diag.Diagnostics
	for _, c := range mismatches(knownStrings(lock), got) {
		diags.AddAttributeError(path.Root("inputs_lock").AtMapKey(c.name), changedSummary,
			"The image would not be built from the inputs it is locked to:\n  "+c.text+"\n\n"+
				"A file changed after the lock was made: plan again. If a fresh plan says this, then a setting of this resource "+
				"changes that input; leave its name out of inputs_lock.")
	}
	return diags
}

// apply writes a decision into the plan.
func (m *imageModel) apply(d decision, config, state *imageModel, got *resolution) {
	if !d.build { // a no-op, or settings that need no build: what is stored stays
		m.imageResult, m.Reference = state.imageResult, state.Reference
		if config.Arch.IsNull() {
			m.Arch = state.Arch
		}
		return
	}
	m.imageResult, m.Reference = unknownResult(), types.StringUnknown()
	m.Inputs = plannedInputs(got.digests)
	m.Status = types.StringValue(statusOK)
	m.Format = types.StringValue(build.Format)
	if d.key != "" {
		m.ID = types.StringValue(d.key)
	}
	switch {
	case got.digests.opaque:
		if config.Arch.IsNull() {
			m.Arch = types.StringUnknown()
		}
		return
	case config.Arch.IsNull():
		m.Arch = types.StringValue(string(got.spec.Arch))
	}
	if !config.Profile.IsNull() || !config.Hostname.IsUnknown() {
		m.Name = types.StringValue(got.spec.Name)
	}
}

// staysHere reports whether only this machine may build an image.
func (r *runtime) staysHere(s build.Spec) bool {
	route, err := r.route(s.Arch, s.Emulation)
	return err == nil && slices.Equal(route.Builders, []string{profile.Local})
}

// diagnostic says that nothing builds an image.
func (e *routeError) diagnostic(s build.Spec) diag.Diagnostic {
	return diag.NewAttributeErrorDiagnostic(path.Root("emulation"), "No machine builds "+string(s.Arch)+" images", sentence(e.Error()))
}

// foresee finds, before hours are spent, what a build would fail for. What is stored already needs no build.
func (r *runtime) foresee(ctx context.Context, got *resolution, d decision, config *imageModel, last bool) diag.Diagnostics {
	var diags diag.Diagnostics
	s := got.spec
	s.Emulation = s.Emulation || config.Emulation.IsUnknown()
	has, _, err := r.locate(ctx, s, d.key)
	var none *routeError
	switch {
	case has != nil:
		return nil
	case errors.As(err, &none):
		diags.Append(none.diagnostic(s))
		if !last { // there is an image yet
			diags = withHint(diags, destroyHint)
		}
		return diags
	case err != nil && last: // said once, also for a replacement, which is planned twice
		diags.AddWarning(fmt.Sprintf(cannotBuild, s.Name), sentence(err.Error())+"\n\nThe apply will fail until this is mended.")
	}
	if names := got.config.Unused(); len(names) > 0 {
		r.unused.Do(func() { diags.Append(unusedWarning(names)) })
	}
	return diags
}

// unusedWarning names settings of pim.yml that are set and that nothing acts on.
func unusedWarning(names []string) diag.Diagnostic {
	return diag.NewWarningDiagnostic("Settings of pim.yml without effect",
		"pim.yml sets "+strings.Join(names, ", ")+", which the provider does not act on yet. Remove them from pim.yml. "+
			"For where images and ISOs are kept, set the provider's data_dir / cache_dir.")
}
