package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// UseLayer notes that a build uses a layer now, which keeps it from PruneLayers. The time is that of its description.
func (s *Store) UseLayer(l *Layer) error {
	data, err := encode(l.LayerMeta)
	if err != nil {
		return err
	}
	_, meta, _ := s.layerFiles(l.Key)
	if err := host.WriteFile(s.h, meta, data, 0o644); err != nil {
		return fmt.Errorf("cannot note the use of layer %s: %w", l.Path, err)
	}
	return nil
}

// PruneLayers deletes the layers that no build has used for longer than age, which must be longer than any build
// takes. A layer cannot go with the last image made from it: a replacement deletes the old image before it builds the
// new one, from the same layer. A layer whose lock is taken is left alone.
func (s *Store) PruneLayers(ctx context.Context, age time.Duration) error {
	infos, err := s.h.ReadDir(s.layersDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for old layers: %w", err)
	}
	var errs []error
	for _, info := range infos {
		key, isMeta := strings.CutSuffix(info.Name(), ".json")
		if !isMeta || time.Since(info.ModTime()) < age {
			continue
		}
		errs = append(errs, s.pruneLayer(ctx, key, age))
	}
	return errors.Join(errs...)
}

func (s *Store) pruneLayer(ctx context.Context, key string, age time.Duration) error {
	try, cancel := context.WithCancel(ctx)
	defer cancel()
	unlock, err := s.h.Lock(try, path.Join(s.locksDir(), key+".lock"), cancel)
	if try.Err() != nil && ctx.Err() == nil {
		return nil
	}
	if err != nil {
		return err
	}
	_, meta, _ := s.layerFiles(key)
	if info, err := s.h.Stat(meta); err == nil && time.Since(info.ModTime()) < age { // a build began to use it meanwhile
		return unlock()
	}
	return errors.Join(s.DeleteLayer(ctx, key), unlock())
}
