package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/localfile"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Options are what a target has beside its settings.
type Options = localfile.Options

// target is a path.
type target struct {
	Settings
	pace deploy.Pace
	host host.Host
}

var _ deploy.Asider = (*target)(nil)

// New is a target with settings that are complete. Its path must be absolute: a "~" is the caller's to resolve.
func New(_ context.Context, s Settings, o Options) (deploy.Target, error) {
	if problems := s.Complete(); len(problems) > 0 {
		return nil, &deploy.FieldError{Field: problems[0].Field, Err: errors.New(problems[0].Detail)}
	}
	place, err := localfile.Place("path", s.Path)
	if err != nil {
		return nil, err
	}
	s.Path = place
	o = o.Filled()
	return &target{Settings: s, pace: o.Pace, host: o.Host}, nil
}

// The files beside a disk.
func recordOf(disk string) string   { return disk + ".pim.json" }
func checksumOf(disk string) string { return disk + ".sha256" }

// checksum is what sha256sum would print of a disk. A name is taken as it is: Complete wants one without line breaks.
func checksum(sum, disk string) string { return sum + "  " + path.Base(disk) + "\n" }

func (t *target) Check(ctx context.Context, r deploy.Request) ([]deploy.Problem, error) {
	problems, err := localfile.Check(ctx, t.host, r, path.Dir(t.Path), "path", t.Format)
	if err != nil {
		return nil, fmt.Errorf("cannot check %s: %w", t.Path, err)
	}
	if len(problems) > 0 { // then nothing can be said about the place
		return problems, nil
	}
	err = t.claim(ctx, r)
	switch {
	case errors.Is(err, deploy.ErrExists):
		problems = append(problems, deploy.Problem{Field: "path", Summary: "The path is taken", Detail: err.Error() + "."})
	case err != nil:
		return nil, fmt.Errorf("cannot check %s: %w", t.Path, err)
	}
	return problems, nil
}

// claim wants the path to be free, or to have a deployment of that name. A file that was changed is only taken when it is
// the current generation: then a plan has told about it.
func (t *target) claim(ctx context.Context, r deploy.Request) error {
	record, err := localfile.Load(t.host, recordOf(t.Path))
	if err != nil {
		return err
	}
	places := []string{t.Path}
	if *t.Checksum && record == nil {
		places = append(places, checksumOf(t.Path))
	}
	taken := ""
	for _, p := range places {
		there, err := localfile.Exists(t.host, p)
		if err != nil {
			return err
		}
		if there {
			taken = p
			break
		}
	}
	const advice = "move it away, or choose another path"
	switch {
	case taken == "":
		return nil
	case record == nil:
		return fmt.Errorf("%s %w, and pim did not make it; %s", taken, deploy.ErrExists, advice)
	case r.Current != nil && r.Current.Path == t.Path && r.Current.Name == record.Name:
		return nil
	case record.Name != r.Name:
		return fmt.Errorf("%s %w, and belongs to the deployment %q; %s", taken, deploy.ErrExists, record.Name, advice)
	}
	intact, err := record.Intact(ctx, t.host, t.Path)
	if err == nil && !intact {
		err = fmt.Errorf("%s %w, and was changed since it was deployed; %s", taken, deploy.ErrExists, advice)
	}
	return err
}

func (t *target) Find(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	record, err := localfile.Load(t.host, recordOf(t.Path))
	if err != nil {
		return nil, err
	}
	found := record != nil && record.Name == r.Name && record.ImageKey == r.Image.Key && record.Format == t.Format
	if found {
		found, err = record.Intact(ctx, t.host, t.Path)
	}
	if err == nil && !found {
		err = fmt.Errorf("a deployment of this image at %s: %w", t.Path, deploy.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return record.Result(t.Path), nil
}

// view is what is there of a generation.
type view struct {
	record *localfile.Record // nil when the one there is not the generation's
	intact bool              // the disk is as it was deployed
	drift  []string
}

// look looks at a generation. It is gone when its file is, or when another one has its place: one that neither its
// record nor its content says is the generation's.
func (t *target) look(ctx context.Context, have deploy.Result) (v view, err error) {
	there, err := localfile.Exists(t.host, have.Path)
	if err == nil && !there {
		err = fmt.Errorf("%s: %w", have.Path, deploy.ErrNotFound)
	}
	if err != nil {
		return v, err
	}
	record, err := localfile.Load(t.host, recordOf(have.Path))
	if err != nil {
		return v, err
	}
	if record.Of(have) {
		v.record = record
		v.intact, err = record.Intact(ctx, t.host, have.Path)
		if err == nil && !v.intact {
			v.drift = append(v.drift, have.Path+" was changed")
		}
	} else {
		var sum string
		sum, err = localfile.Hash(ctx, t.host, have.Path, nil)
		if err == nil && sum != have.SHA256 {
			err = fmt.Errorf("%s is another file: %w", have.Path, deploy.ErrNotFound)
		}
		v.intact = true
		v.drift = append(v.drift, recordOf(have.Path)+" is missing or another's")
	}
	if err != nil {
		return v, err
	}
	note, err := t.lookAtChecksum(have)
	if note != "" {
		v.drift = append(v.drift, note)
	}
	return v, err
}

func (t *target) lookAtChecksum(have deploy.Result) (drift string, err error) {
	name := checksumOf(have.Path)
	data, err := host.ReadFile(t.host, name)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return "", err
	case *t.Checksum && missing:
		return name + " is missing", nil
	case *t.Checksum && string(data) != checksum(have.SHA256, have.Path):
		return name + " was changed", nil
	case !*t.Checksum && !missing:
		return name + " is there, though checksum is false", nil
	}
	return "", nil
}

func (t *target) Read(ctx context.Context, have deploy.Result) (*deploy.Result, []string, error) {
	have = localfile.Recorded(t.host, recordOf(have.Path), have)
	v, err := t.look(ctx, have)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the deployment: %w", err)
	}
	return &have, v.drift, nil
}
