package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// A stored file may be what several state objects stand for: two configurations that want the same image, or the
// old and the new object of a replacement that changed nothing. Each adds a reference; the file goes with the last.

func (s *Store) refsDir(id string) string { return path.Join(s.dataDir, "refs", id) }

// AddRef records that ref needs what is stored as id: an ImageID, or a layer's key. Adding a reference again is no
// error. The caller holds the lock of the key, so that a file cannot be deleted between being found and being
// referenced.
func (s *Store) AddRef(ctx context.Context, id, ref string) error {
	err := checkNames(id, ref)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.writeRef(id, ref)
	}
	for tries := 0; tries < 3 && errors.Is(err, fs.ErrNotExist); tries++ { // somebody dropped the last one, and the directory
		err = s.writeRef(id, ref)
	}
	if err != nil {
		return fmt.Errorf("cannot add a reference: %w", err)
	}
	return nil
}

func (s *Store) writeRef(id, ref string) error {
	if err := s.h.MkdirAll(s.refsDir(id), 0o755); err != nil {
		return err
	}
	return host.WriteFile(s.h, path.Join(s.refsDir(id), ref), nil, 0o644)
}

// DropRef removes a reference and reports whether none is left, so that a caller who holds the lock of the key may
// delete what is stored. Dropping a reference that is not there is no error.
func (s *Store) DropRef(ctx context.Context, id, ref string) (last bool, err error) {
	err = checkNames(id, ref)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = host.RemoveIfExists(s.h, path.Join(s.refsDir(id), ref))
	}
	if err != nil {
		return false, fmt.Errorf("cannot drop a reference: %w", err)
	}
	infos, err := s.h.ReadDir(s.refsDir(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cannot drop a reference: %w", err)
	}
	for _, info := range infos {
		if !strings.HasSuffix(info.Name(), host.PartSuffix) {
			return false, nil
		}
	}
	for _, left := range infos { // what a writer that was killed left, or is being written: AddRef does it again
		_ = s.h.Remove(path.Join(s.refsDir(id), left.Name()))
	}
	_ = s.h.Remove(s.refsDir(id)) // fails, and rightly, when one was added: not every caller has the lock
	return true, nil
}
