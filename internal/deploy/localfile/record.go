// Package localfile is what the targets have in common that deploy to files: the record by which a file is known as
// ours, how a disk gets into one, and what is looked at before.
package localfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// manager is what every Record says.
const manager = "pim"

// Record says what a deployed disk is. It lies as JSON beside the disk, or in its bundle; a disk without one is not
// ours. It is the only place a deployment can be found by when the state is lost.
type Record struct {
	ManagedBy  string    `json:"managed_by"` // "pim"
	Name       string    `json:"name"`       // of the deployment
	ImageKey   string    `json:"image_key"`
	Profile    string    `json:"profile,omitempty"`
	DeployedAt time.Time `json:"deployed_at"` // UTC, to the second
	SHA256     string    `json:"sha256"`      // of the disk's file, as are the size in bytes and the time it was written
	Size       int64     `json:"size"`
	Modified   time.Time `json:"modified"`

	Format string    `json:"format,omitempty"` // files
	Arch   host.Arch `json:"arch,omitempty"`   // UTM, as is the firmware
	UEFI   bool      `json:"uefi,omitempty"`
	TPM    bool      `json:"tpm,omitempty"`
}

// NewRecord is the record of a new generation. What the disk is comes from Make.
func NewRecord(r deploy.Request) *Record {
	return &Record{
		ManagedBy: manager, Name: r.Name, ImageKey: r.Image.Key, Profile: r.Image.Profile,
		DeployedAt: time.Now().UTC().Truncate(time.Second),
	}
}

// Load reads the record at a path. It is nil when there is none, or something that is no record of ours.
func Load(h host.Files, path string) (*Record, error) {
	data, err := host.ReadFile(h, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell whose file it is: %w", err)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil || r.ManagedBy != manager {
		return nil, nil //nolint:nilnil,nilerr // as the comment says
	}
	return &r, nil
}

// Encode is the record as it is stored.
func (r *Record) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	return append(data, '\n'), err
}

// Result is the generation that the record stands for, with its disk or bundle at a path.
func (r *Record) Result(path string) *deploy.Result {
	return &deploy.Result{
		ID: path, Name: r.Name, ImageKey: r.ImageKey, DeployedAt: r.DeployedAt, Path: path, SHA256: r.SHA256,
	}
}

// Of tells whether the record, which may be nil, is that of a generation.
func (r *Record) Of(have deploy.Result) bool {
	return r != nil && r.Name == have.Name && r.ImageKey == have.ImageKey && r.SHA256 == have.SHA256 &&
		r.DeployedAt.Equal(have.DeployedAt)
}

// Intact tells whether the disk at a path is as it was deployed. Its content is only read when its size is the same and
// its time is not. A disk that is gone is not intact.
func (r *Record) Intact(ctx context.Context, h host.Files, path string) (bool, error) {
	info, err := h.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.IsDir() || info.Size() != r.Size:
		return false, nil
	case info.ModTime().Equal(r.Modified):
		return true, nil
	}
	sum, err := Hash(ctx, h, path, nil)
	return sum == r.SHA256, err
}

// Recorded is a generation of which an import knows nothing but the path, as its record has it. Any other is have.
func Recorded(h host.Files, record string, have deploy.Result) deploy.Result {
	if have.ImageKey != "" {
		return have
	}
	r, err := Load(h, record)
	if err != nil || r == nil {
		return have
	}
	return *r.Result(have.Path)
}
