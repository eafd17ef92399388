package provider

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// tidyTime bounds what is put right after a build, also after a cancelled one.
const tidyTime = 30 * time.Second

// Create makes the image, or takes the stored one with the same key.
func (r *imageResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var config, plan imageModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...) // write-only values are in the configuration alone
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	timeout, diags := plan.Timeouts.Create(ctx, defaultCreateTimeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, end := r.rt.work.begin(ctx)
	defer end()

	spec, got, diags := r.rt.toBuild(ctx, &config, &plan, timeout)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	key := got.digests.key()
	begun := time.Now()
	img, reference, err := r.rt.build(ctx, spec, key)
	if img != nil { // it exists: the state must know it before anything else is said
		plan.imageResult = resultOf(img, r.rt.logPath(key))
		plan.Arch = types.StringValue(string(spec.Arch))
		plan.Reference = types.StringValue(reference)
		plan.PasswordWO = types.StringNull()
		resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, plan.ID)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	}
	if err != nil {
		resp.Diagnostics.Append(buildDiagnostic(ctx, spec.Name, err))
		return
	}
	if m := img.Manifest; m.Accelerator == qemu.TCG && m.BuiltAt.After(begun) {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Image %q was built by emulation", spec.Name),
			"This machine cannot accelerate "+string(spec.Arch)+" guests: "+strings.TrimSuffix(m.AcceleratorReason, ".")+".")
	}
}

// toBuild resolves what to build from the files as they are now, and refuses when that is not what was planned.
func (r *runtime) toBuild(ctx context.Context, config, plan *imageModel, timeout time.Duration) (build.Spec, *resolution, diag.Diagnostics) {
	var diags diag.Diagnostics
	w := config.wish()
	w.timeout = timeout
	got, err := r.resolve(ctx, w)
	if err != nil {
		return build.Spec{}, nil, resolveDiagnostics(err, config.attributes())
	}
	diags.Append(lockDiagnostics(config.InputsLock, got.digests)...)
	if diags.HasError() {
		return build.Spec{}, nil, diags
	}
	if key := got.digests.key(); !plan.ID.IsUnknown() && plan.ID.ValueString() != key {
		diags.AddAttributeError(path.Root("inputs"), changedSummary,
			"The files of the image are not those that were planned with:\n"+texts(changes(knownStrings(plan.Inputs), got.digests))+
				"\n\nNothing was built. Plan again.")
		return build.Spec{}, nil, diags
	}
	if !r.stored(ctx, got.spec, got.digests.key()) {
		if err := r.tools(ctx, got.spec); err != nil {
			diags.AddError(fmt.Sprintf(cannotBuildHere, got.spec.Name), sentence(err.Error()))
			return build.Spec{}, nil, diags
		}
	}
	password := string(got.profile.Password)
	if !config.PasswordWO.IsNull() {
		password = config.PasswordWO.ValueString()
	}
	if password != "" {
		hash, err := preseed.HashPassword(password)
		if err != nil {
			diags.AddAttributeError(path.Root("password_wo"), "Cannot hash the password", sentence(err.Error()))
			return build.Spec{}, nil, diags
		}
		got.spec.Preseed.Values.PasswordHash = hash
	}
	return got.spec, got, diags
}

// build builds a spec and refers to its image, so that nobody else deletes it. The reference is made first: a
// deletion that is under way either sees it, or is over before the store is looked at.
func (r *runtime) build(ctx context.Context, s build.Spec, key string) (*cache.Image, string, error) {
	reference, err := newReference()
	if err != nil {
		return nil, "", err
	}
	id := cache.ImageID(s.Name, s.Arch, key)
	if err := r.refer(ctx, key, id, reference); err != nil {
		return nil, "", err
	}
	tflog.Info(ctx, "building image", map[string]any{"name": s.Name, "key": cache.Short(key), "log": r.logPath(key)})
	img, err := r.builder.Build(ctx, s)
	if img == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
		defer cancel()
		_, dropErr := r.store.DropRef(ctx, id, reference)
		return nil, "", errors.Join(err, dropErr)
	}
	return img, reference, err
}

// refer adds a reference to a stored image, under its key's lock.
func (r *runtime) refer(ctx context.Context, key, id, reference string) error {
	unlock, err := r.lock(ctx, key)
	if err != nil {
		return err
	}
	return errors.Join(r.store.AddRef(ctx, id, reference), unlock())
}

func (r *runtime) lock(ctx context.Context, key string) (func() error, error) {
	return r.store.Lock(ctx, key, func() {
		tflog.Info(ctx, "another run works on this image: waiting for it", map[string]any{"key": cache.Short(key)})
	})
}

// newReference names one state object in the store. Two of them can share one file: two resources with equal inputs,
// or the old and the new object of a replacement that creates before it destroys. The file goes with the last of
// them. The reference is an attribute and no private state, because replacing a tainted object gives its Delete none
// (seen with Terraform 1.11.4).
func newReference() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("cannot make a reference: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
