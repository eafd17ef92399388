package utm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/localfile"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Options are what a target has beside its settings.
type Options = localfile.Options

// target is a folder of bundles.
type target struct {
	Settings
	pace deploy.Pace
	host host.Host
}

var _ deploy.Asider = (*target)(nil)

// format is that of a bundle's disk.
const format = "qcow2"

// New is a target with settings that are complete. Its folder must be absolute: a "~" is the caller's to resolve.
func New(_ context.Context, s Settings, o Options) (deploy.Target, error) {
	if problems := s.Complete(); len(problems) > 0 {
		return nil, &deploy.FieldError{Field: problems[0].Field, Err: errors.New(problems[0].Detail)}
	}
	place, err := localfile.Place("output_dir", s.OutputDir)
	if err != nil {
		return nil, err
	}
	s.OutputDir = place
	o = o.Filled()
	return &target{Settings: s, pace: o.Pace, host: o.Host}, nil
}

// bundle is the path of a deployment's bundle.
func (t *target) bundle(name string) string { return path.Join(t.OutputDir, name+suffix) }

func (t *target) Check(ctx context.Context, r deploy.Request) ([]deploy.Problem, error) {
	problems, err := localfile.Check(ctx, t.host, r, t.OutputDir, "output_dir", format)
	if err != nil {
		return nil, fmt.Errorf("cannot check %s: %w", t.OutputDir, err)
	}
	if _, known := machines[r.Image.Arch]; !known && r.Image.Arch != "" {
		problems = append(problems, deploy.Problem{
			Summary: "UTM cannot run the image", Detail: fmt.Sprintf("Its architecture is %s. Deploy one for arm64 or x86_64.", r.Image.Arch),
		})
	}
	if wrong := badName(r.Name); wrong != "" {
		return append(problems, deploy.Problem{Summary: "Not a bundle's name", Detail: wrong}), nil
	}
	if len(problems) > 0 { // then nothing can be said about the place
		return problems, nil
	}
	err = t.claim(r)
	switch {
	case errors.Is(err, deploy.ErrExists):
		problems = append(problems, deploy.Problem{Field: "output_dir", Summary: "The bundle's place is taken", Detail: err.Error() + "."})
	case err != nil:
		return nil, fmt.Errorf("cannot check %s: %w", t.OutputDir, err)
	}
	return problems, nil
}

// claim wants the bundle's place to be free, or to have a bundle of that deployment.
func (t *target) claim(r deploy.Request) error {
	bundle := t.bundle(r.Name)
	there, err := localfile.Exists(t.host, bundle)
	if err != nil || !there {
		return err
	}
	record, err := localfile.Load(t.host, recordOf(bundle))
	switch {
	case err != nil:
		return err
	case record == nil:
		return fmt.Errorf("%s %w, and pim did not make it; move it away, or choose another folder or name", bundle, deploy.ErrExists)
	case record.Name != r.Name:
		return fmt.Errorf("%s %w, and belongs to the deployment %q; choose another folder or name", bundle, deploy.ErrExists, record.Name)
	}
	return nil
}

func (t *target) Find(_ context.Context, r deploy.Request) (*deploy.Result, error) {
	bundle := t.bundle(r.Name)
	record, err := localfile.Load(t.host, recordOf(bundle))
	if err != nil {
		return nil, err
	}
	if record == nil || record.Name != r.Name || record.ImageKey != r.Image.Key {
		return nil, fmt.Errorf("a deployment of this image at %s: %w", bundle, deploy.ErrNotFound)
	}
	return record.Result(bundle), nil
}

func (t *target) Deploy(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	bundle := t.bundle(r.Name)
	record, err := t.deploy(ctx, r, bundle)
	if err != nil {
		return nil, fmt.Errorf("cannot deploy to %s: %w", bundle, err)
	}
	return record.Result(bundle), nil
}

func (t *target) deploy(ctx context.Context, r deploy.Request, bundle string) (*localfile.Record, error) {
	if wrong := badName(r.Name); wrong != "" {
		return nil, errors.New(wrong)
	}
	if _, known := machines[r.Image.Arch]; !known {
		return nil, fmt.Errorf("UTM cannot run an image for %q; deploy one for arm64 or x86_64", r.Image.Arch)
	}
	if err := t.claim(r); err != nil {
		return nil, err
	}
	if err := t.host.MkdirAll(t.OutputDir, 0o755); err != nil {
		return nil, err
	}
	if err := t.sweep(ctx, bundle); err != nil {
		return nil, err
	}
	record := localfile.NewRecord(r)
	record.Arch = r.Image.Arch
	wants, err := r.Image.Platform()
	if err != nil {
		return nil, err
	}
	record.UEFI, record.TPM = wants.UEFI, wants.TPM || wants.Secure // see tweaks
	draft, err := t.build(bundle, record, func(disk string) error {
		return localfile.Make(ctx, t.host, r, record, disk, format, t.pace.Idle)
	})
	if err != nil {
		return nil, err
	}
	if err := t.publish(ctx, draft, bundle); err != nil {
		return nil, errors.Join(err, localfile.RemoveAll(t.host, draft))
	}
	return record, nil
}

// Read passes over what is not as it should be of a machine that somebody uses: it is theirs to change.
func (t *target) Read(ctx context.Context, have deploy.Result) (*deploy.Result, []string, error) {
	have = localfile.Recorded(t.host, recordOf(have.Path), have)
	_, drift, used, err := t.look(ctx, have)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the deployment: %w", err)
	}
	if used {
		return &have, nil, nil
	}
	return &have, drift, nil
}

// Update writes config.plist anew when it is not as the settings want it. A bundle without its disk is made anew. One whose
// machine was started stays as it is: UTM deletes the drives that a config.plist does not name any more.
func (t *target) Update(ctx context.Context, r deploy.Request, have deploy.Result) (*deploy.Result, error) {
	record, drift, used, err := t.look(ctx, have)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot update the deployment: %w", err)
	case len(drift) == 0:
		return &have, nil
	case used:
		return &have, fmt.Errorf("%s was started or changed since it was deployed, and is %w (%s). Change it in UTM, or move it "+
			"away for a new one", have.Path, deploy.ErrUntouched, strings.Join(drift, ", "))
	}
	there, err := localfile.Exists(t.host, diskOf(have.Path))
	if err == nil && !there {
		return t.Deploy(ctx, r)
	}
	if err == nil {
		err = t.reconfigure(have.Path, record)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot update %s: %w", have.Path, err)
	}
	return &have, nil
}

func (t *target) reconfigure(bundle string, record *localfile.Record) error {
	data, err := configure(record, nameOf(bundle), t.Settings).encode()
	if err != nil {
		return err
	}
	return host.WriteFile(t.host, configOf(bundle), data, 0o644)
}

// Delete removes a bundle. One whose machine was started stays, and is no longer ours.
func (t *target) Delete(ctx context.Context, have deploy.Result) error {
	err := t.remove(ctx, have)
	if err != nil {
		return fmt.Errorf("cannot delete the deployment: %w", err)
	}
	return nil
}

func (t *target) remove(ctx context.Context, have deploy.Result) error {
	record, err := localfile.Load(t.host, recordOf(have.Path))
	if err != nil || !record.Of(have) {
		return err
	}
	used, err := t.used(ctx, have.Path, record)
	if err != nil {
		return err
	}
	if used {
		return errors.Join(fmt.Errorf("%s was started or changed since it was deployed, and is left there: %w", have.Path, deploy.ErrInUse),
			localfile.Remove(t.host, recordOf(have.Path)))
	}
	old := localfile.Temp(have.Path) // half a bundle must not have its name
	if err := localfile.Rename(t.host, have.Path, old); err != nil {
		return err
	}
	return localfile.RemoveAll(t.host, old)
}

// Aside makes a second bundle with the same disk beside the first, NAME-KEY12.utm: another machine to UTM. A bundle
// that was started is put aside by Deploy itself.
func (t *target) Aside(ctx context.Context, r deploy.Request, have deploy.Result) (*deploy.Result, error) {
	if have.Path != t.bundle(r.Name) {
		return nil, nil //nolint:nilnil // the next one has another place
	}
	record, err := t.record(have)
	if err != nil {
		return nil, err
	}
	if used, err := t.used(ctx, have.Path, record); err != nil || used {
		return nil, err
	}
	to, err := t.free(have.Path, have.ImageKey)
	if err != nil {
		return nil, err
	}
	draft, err := t.build(to, record, func(disk string) error {
		return localfile.Link(ctx, t.host, record, diskOf(have.Path), disk, t.pace.Idle)
	})
	if err != nil {
		return nil, err
	}
	if err := localfile.Rename(t.host, draft, to); err != nil {
		return nil, errors.Join(err, localfile.RemoveAll(t.host, draft))
	}
	return record.Result(to), nil
}
