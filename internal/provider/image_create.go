package provider

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
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
	at, done, diags := r.rt.placed(ctx, spec, key)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	defer done()
	begun := time.Now()
	img, reference, err := r.rt.build(ctx, at, spec, key)
	if err == nil && at.link != nil && plan.Fetch.ValueBool() {
		if img, err = r.rt.fetchBuilt(ctx, at, img, reference); err != nil {
			resp.Diagnostics.AddError(fmt.Sprintf("Cannot fetch image %q from %s", spec.Name, at.name), sentence(err.Error())+
				"\n\nThe image itself is stored there. Apply again: it is not built again, and what has arrived of it is kept.")
			return
		}
	}
	if img != nil { // it exists: the state must know it before anything else is said
		plan.imageResult = resultOf(img, at.name, at.logPath(key))
		plan.Arch = types.StringValue(string(spec.Arch))
		plan.Reference = types.StringValue(reference)
		plan.PasswordWO = types.StringNull()
		resp.Diagnostics.Append(setIdentity(ctx, resp.Identity, plan.ID)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	}
	if err != nil && img != nil { // as an error it would have the next apply destroy a good image
		d := buildDiagnostic(ctx, spec.Name, err)
		resp.Diagnostics.AddWarning(fmt.Sprintf("Image %q is built, but not all is well", spec.Name), d.Summary()+"\n\n"+d.Detail())
		return
	}
	if err != nil {
		resp.Diagnostics.Append(buildDiagnostic(ctx, spec.Name, err))
		return
	}
	if m := img.Manifest; m.Accelerator == qemu.TCG && m.BuiltAt.After(begun) {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Image %q was built by emulation", spec.Name),
			cmp.Or(at.remoteName(), "This machine")+" cannot accelerate "+string(spec.Arch)+" guests: "+
				strings.TrimSuffix(m.AcceleratorReason, ".")+".")
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
	if !plan.LogPath.IsUnknown() && !r.staysHere(got.spec) { // the plan named a log on this machine
		diags.AddError("The builders changed after the plan", "The image was planned to be built on this machine, and now another one is "+
			"named for "+string(got.spec.Arch)+" images.\n\nNothing was built. Plan again.")
		return build.Spec{}, nil, diags
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
		got.spec.SamePassword = func(hash string) bool { return preseed.SamePassword(password, hash) }
	}
	return got.spec, got, diags
}

// placed is the machine that keeps an image, or the one to build it. done must be called once that is over.
func (r *runtime) placed(ctx context.Context, s build.Spec, key string) (at *machine, done func(), diags diag.Diagnostics) {
	has, able, err := r.locate(ctx, s, key)
	var none *routeError
	switch {
	case errors.As(err, &none):
		diags.Append(none.diagnostic(s))
	case err != nil:
		diags.AddError(fmt.Sprintf(cannotBuild, s.Name), sentence(err.Error()))
	case has != nil:
		return has, func() {}, nil
	default:
		at, done = r.machines.assign(ctx, able)
	}
	return at, done, diags
}

// fetchBuilt fetches an image that has just been built. When that fails nothing refers to the image any more, and no
// state has it, so that the next apply finds it where it is: as a tainted resource it would first be destroyed.
func (r *runtime) fetchBuilt(ctx context.Context, at *machine, img *cache.Image, reference string) (*cache.Image, error) {
	got, err := r.fetch(ctx, at, img, reference)
	if err != nil {
		id := cache.ImageID(img.Manifest.Name, img.Manifest.Arch, img.Manifest.Key)
		return nil, errors.Join(err, r.dropRef(ctx, at, id, reference))
	}
	return got, nil
}

// build builds a spec on a machine and refers to its image, so that nobody else deletes it. The reference is made when the
// image is there, since one of a build that is killed would stay for ever; should somebody delete the image just before,
// it is built again.
func (r *runtime) build(ctx context.Context, at *machine, s build.Spec, key string) (*cache.Image, string, error) {
	reference, err := newReference()
	if err != nil {
		return nil, "", err
	}
	for {
		tflog.Info(ctx, "building image", map[string]any{
			"name": s.Name, "key": cache.Short(key), "builder": at.name, "log": at.logPath(key),
		})
		img, err := at.builder.Build(ctx, s)
		if img == nil {
			return nil, "", err
		}
		kept, lost := at.keep(ctx, img, reference)
		if lost != nil || kept {
			return img, reference, errors.Join(err, lost)
		}
	}
}

// keep refers to an image that is stored, and reports whether it still was.
func (m *machine) keep(ctx context.Context, img *cache.Image, reference string) (kept bool, err error) {
	name, arch, key := img.Manifest.Name, img.Manifest.Arch, img.Manifest.Key
	unlock, err := m.lock(context.WithoutCancel(ctx), key)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := m.store.Image(ctx, name, arch, key); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, m.store.AddRef(context.WithoutCancel(ctx), cache.ImageID(name, arch, key), reference)
}

// dropRef gives a reference up that came to nothing, also after the connection was lost and what needed it cancelled.
func (r *runtime) dropRef(ctx context.Context, at *machine, id, reference string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if _, err := r.machines.get(ctx, at.name); err != nil {
		return fmt.Errorf("a reference to the image stays on %s: %w", at.name, err)
	}
	_, err := at.store.DropRef(ctx, id, reference)
	return err
}

// refer adds a reference to a stored image, under its key's lock.
func (m *machine) refer(ctx context.Context, key, id, reference string) error {
	unlock, err := m.lock(ctx, key)
	if err != nil {
		return err
	}
	return errors.Join(m.store.AddRef(ctx, id, reference), unlock())
}

// lock waits for the lock of a key, also over the loss of a connection.
func (m *machine) lock(ctx context.Context, key string) (unlock func() error, err error) {
	tell := func(message string) { tflog.Info(ctx, message, map[string]any{"key": cache.Short(key)}) }
	for again := true; again; again = host.BackAfter(ctx, m.host, err, tell) {
		unlock, err = m.store.Lock(ctx, key, func() { tell("another run works on this image: waiting for it") })
	}
	return unlock, err
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
