package media

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// SeedLabel is the volume name by which cloud-init's NoCloud data source knows its seed.
const SeedLabel = "cidata"

// Seed is an ISO 9660 image of NoCloud seed files by name: "user-data" and "meta-data", which cloud-init both wants,
// and "network-config". It has Rock Ridge names. For a moment the files are in a temporary directory of this machine
// that only its user can read.
// Source: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
func Seed(files map[string][]byte) (image []byte, err error) {
	defer func() {
		if err != nil {
			image, err = nil, fmt.Errorf("cannot make the cloud-init seed: %w", err)
		}
	}()
	dir, err := os.MkdirTemp("", "pim-seed-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("%q cannot be a file's name", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
			return nil, err
		}
	}
	var out sink
	volume, err := iso9660.Create(&out, 0, 0, sectorSize, dir)
	if err != nil {
		return nil, err
	}
	if err := volume.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: SeedLabel}); err != nil {
		return nil, err
	}
	return out.data, nil
}
