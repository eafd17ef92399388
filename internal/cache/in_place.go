package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// inPlace tells whether a remote store need not be given the provider's file, because under this very path it keeps an
// image of that content: one that was built there. Errors: fs.ErrNotExist when the provider has no such file either;
// ErrCorrupt.
func (s *Store) inPlace(ctx context.Context, file, want string) (bool, error) {
	kept := s.keeps(ctx, file, want)
	if kept == nil {
		return true, nil
	}
	_, err := s.local.h.Stat(file)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	case errors.Is(kept, fs.ErrNotExist):
		return false, fmt.Errorf("%s is neither here nor an image of this content stored on %s: %w", file, s.h.Name(), fs.ErrNotExist)
	}
	return false, kept
}

// keeps looks for a whole image of a content at a path. Errors: fs.ErrNotExist when it is not one of the store's;
// ErrCorrupt.
func (s *Store) keeps(ctx context.Context, file, want string) error {
	base, ok := strings.CutSuffix(file, ".qcow2")
	if !ok || path.Dir(file) != s.imagesDir() {
		return fs.ErrNotExist
	}
	data, err := host.ReadFile(s.h, base+".json")
	if err != nil {
		return err
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil || m.SHA256 != want {
		return fs.ErrNotExist
	}
	img, err := s.Image(ctx, m.Name, m.Arch, m.Key)
	if err != nil {
		return err
	}
	if img.Path != file {
		return fs.ErrNotExist
	}
	return s.Verify(ctx, img)
}
