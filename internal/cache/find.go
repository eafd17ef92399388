package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// keyPrefix is a key: all of it, or at least the digits that a file's name shows.
var keyPrefix = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// FindImage looks up the stored image whose key is, or begins with, key: 12 to 64 hexadecimal digits. It reads the
// manifest but not the image: see Verify. Errors: fs.ErrNotExist when there is none; ErrCorrupt, as for Image; one
// that names them all when several images have this key.
func (s *Store) FindImage(ctx context.Context, key string) (*Image, error) {
	found, err := s.findImages(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case len(found) > 1:
		return nil, severalImages(found)
	}
	return found[0], nil
}

// FindContent is FindImage for a caller to whom the name does not matter: images of one key under several names have
// the same content, and any that is not damaged will do. Several keys that begin with key are an error.
func (s *Store) FindContent(ctx context.Context, key string) (*Image, error) {
	found, err := s.findImages(ctx, key)
	if len(found) == 0 {
		return nil, err
	}
	for _, img := range found[1:] {
		if img.Manifest.Key != found[0].Manifest.Key {
			return nil, severalImages(found)
		}
	}
	return found[0], nil
}

// findImages are the images of a key, at least one. With ErrCorrupt those that are not damaged are returned too.
func (s *Store) findImages(ctx context.Context, key string) ([]*Image, error) {
	if !keyPrefix.MatchString(key) {
		return nil, errors.New("an image is found by its key: 64 hexadecimal digits, or the 12 at the end of its file's name")
	}
	dir := s.imagesDir()
	infos, err := s.h.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the stored images: %w", err)
	}
	var found []*Image
	var damaged error
	for _, info := range infos {
		if !strings.HasSuffix(info.Name(), "-"+Short(key)+".json") {
			continue
		}
		img, err := s.described(ctx, path.Join(dir, info.Name()), key)
		switch {
		case err == nil:
			found = append(found, img)
		case errors.Is(err, ErrCorrupt):
			damaged = errors.Join(damaged, err)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if len(found) == 0 && damaged == nil {
		return nil, fmt.Errorf("no image with this key is stored in %s: %w", dir, fs.ErrNotExist)
	}
	return found, damaged
}

func severalImages(found []*Image) error {
	names := make([]string, len(found))
	for i, img := range found {
		names[i] = ImageID(img.Manifest.Name, img.Manifest.Arch, img.Manifest.Key)
	}
	return fmt.Errorf("several images have this key: %s", strings.Join(names, ", "))
}

// described is the image that a manifest describes. Errors: those of Image; fs.ErrNotExist also when the manifest is
// none, or is that of another key.
func (s *Store) described(ctx context.Context, manifest, key string) (*Image, error) {
	data, err := host.ReadFile(s.h, manifest)
	if err != nil {
		return nil, fmt.Errorf("cannot read a manifest: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil || !strings.HasPrefix(m.Key, key) {
		return nil, fs.ErrNotExist
	}
	return s.Image(ctx, m.Name, m.Arch, m.Key)
}
