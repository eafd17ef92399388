package utm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/localfile"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

const (
	suffix   = ".utm"
	diskName = "disk.qcow2"
)

// The files of a bundle. UTM removes what it does not know from Data, so the record is not there.
func configOf(bundle string) string { return path.Join(bundle, "config.plist") }
func recordOf(bundle string) string { return path.Join(bundle, "pim.json") }
func diskOf(bundle string) string   { return path.Join(bundle, "Data", diskName) }

// nameOf is the name that UTM shows of a bundle.
func nameOf(bundle string) string { return strings.TrimSuffix(path.Base(bundle), suffix) }

// used tells whether a bundle's disk is not as it was deployed, which is so once its machine was started.
func (t *target) used(ctx context.Context, bundle string, record *localfile.Record) (bool, error) {
	there, err := localfile.Exists(t.host, diskOf(bundle))
	if err != nil || !there {
		return false, err
	}
	intact, err := record.Intact(ctx, t.host, diskOf(bundle))
	return !intact, err
}

// build makes a bundle with a temporary name that will be renamed to the given one. What fill puts at its path becomes
// the disk.
func (t *target) build(bundle string, record *localfile.Record, fill func(disk string) error) (string, error) {
	draft := localfile.Temp(bundle)
	err := t.host.MkdirAll(path.Dir(diskOf(draft)), 0o755)
	if err == nil {
		err = fill(diskOf(draft))
	}
	if err == nil {
		err = t.describe(draft, nameOf(bundle), record)
	}
	if err != nil {
		return "", errors.Join(err, localfile.RemoveAll(t.host, draft))
	}
	return draft, nil
}

// describe writes what is in a bundle beside its disk.
func (t *target) describe(draft, name string, record *localfile.Record) error {
	data, err := configure(record, name, t.Settings).encode()
	if err != nil {
		return err
	}
	if err := localfile.Write(t.host, configOf(draft), data); err != nil {
		return err
	}
	if data, err = record.Encode(); err != nil {
		return err
	}
	return localfile.Write(t.host, recordOf(draft), data)
}

// publish gives a draft its name. What has it goes: between two renames there is no bundle, since a folder cannot take
// another one's place. A machine that somebody started is put aside under a name of its own.
func (t *target) publish(ctx context.Context, draft, bundle string) error {
	record, err := localfile.Load(t.host, recordOf(bundle))
	if err != nil {
		return err
	}
	if record == nil { // claim has seen that there is no bundle then
		return localfile.Rename(t.host, draft, bundle)
	}
	used, err := t.used(ctx, bundle, record)
	if err != nil {
		return err
	}
	aside, err := t.free(bundle, record.ImageKey)
	if err != nil {
		return err
	}
	old := localfile.Temp(bundle)
	if err := localfile.Rename(t.host, bundle, old); err != nil {
		return err
	}
	if err := localfile.Rename(t.host, draft, bundle); err != nil {
		return errors.Join(err, localfile.Rename(t.host, old, bundle))
	}
	// The new generation is there, whatever becomes of the old one: sweep tries again.
	if used {
		_ = localfile.Rename(t.host, old, aside)
	} else {
		_ = localfile.RemoveAll(t.host, old)
	}
	return nil
}

// free is a name for a bundle that is put aside: NAME-KEY12.utm, or NAME-KEY12-2.utm and so on.
func (t *target) free(bundle, key string) (string, error) {
	return localfile.Free(t.host, strings.TrimSuffix(bundle, suffix)+"-"+localfile.ShortKey(key), suffix)
}

// sweep removes what killed providers left unfinished. One that was about to be replaced may be a machine in use.
func (t *target) sweep(ctx context.Context, bundle string) error {
	old, err := localfile.Abandoned(t.host, bundle, t.pace.Abandoned)
	for _, draft := range old {
		err = errors.Join(err, t.dispose(ctx, draft, bundle))
	}
	return err
}

func (t *target) dispose(ctx context.Context, draft, bundle string) error {
	record, err := localfile.Load(t.host, recordOf(draft))
	if err != nil {
		return err
	}
	if record != nil {
		used, err := t.used(ctx, draft, record)
		if err != nil {
			return err
		}
		if used {
			aside, err := t.free(bundle, record.ImageKey)
			if err != nil {
				return err
			}
			return localfile.Rename(t.host, draft, aside)
		}
	}
	return localfile.RemoveAll(t.host, draft)
}

// record reads the record of a generation. Errors: deploy.ErrNotFound.
func (t *target) record(have deploy.Result) (*localfile.Record, error) {
	record, err := localfile.Load(t.host, recordOf(have.Path))
	if err == nil && !record.Of(have) {
		err = fmt.Errorf("%s: %w", have.Path, deploy.ErrNotFound)
	}
	return record, err
}

// look reads the record of a generation, and says what is not as it should be. Only then it says whether the machine is in
// use, which may take to read its disk: that it was started is no drift.
func (t *target) look(ctx context.Context, have deploy.Result) (record *localfile.Record, drift []string, used bool, err error) {
	if record, err = t.record(have); err != nil {
		return nil, nil, false, err
	}
	there, err := localfile.Exists(t.host, diskOf(have.Path))
	if err != nil {
		return nil, nil, false, err
	}
	if !there {
		drift = append(drift, diskOf(have.Path)+" is missing")
	}
	data, err := host.ReadFile(t.host, configOf(have.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		drift = append(drift, configOf(have.Path)+" is missing")
	case err != nil:
		return nil, nil, false, err
	default:
		drift = append(drift, configure(record, nameOf(have.Path), t.Settings).drift(data)...)
	}
	if len(drift) > 0 {
		used, err = t.used(ctx, have.Path, record)
	}
	return record, drift, used, err
}
