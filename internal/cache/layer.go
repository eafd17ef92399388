package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Layer is a stored disk that overlays are put on. Nobody writes to it.
type Layer struct {
	Path string // of the qcow2, on the store's host
	LayerMeta
}

// LayerMeta is what is known of a layer. PublishLayer fills in Schema, Key, SizeBytes and ModifiedAt.
type LayerMeta struct {
	Schema     int               `json:"schema"`
	Key        string            `json:"key"`
	Arch       host.Arch         `json:"arch"`
	Inputs     map[string]string `json:"inputs"`
	SizeBytes  int64             `json:"size_bytes"`
	ModifiedAt time.Time         `json:"modified_at"` // of the disk, which must never change again
	// Identity is the secret that opens a guest booted from the layer. It is in a file of its own with mode 0600.
	Identity []byte `json:"-"`
}

// GoString keeps the identity out of what %#v prints.
func (m LayerMeta) GoString() string { return m.String() }

// String keeps the identity out of logs.
func (m LayerMeta) String() string { return "layer " + Short(m.Key) }

func (s *Store) layerFiles(key string) (disk, meta, identity string) {
	base := path.Join(s.layersDir(), key)
	return base + ".qcow2", base + ".json", base + ".identity"
}

// Layer looks up a layer. Errors: fs.ErrNotExist when there is none; ErrCorrupt when its disk was changed or its
// companions do not fit.
func (s *Store) Layer(ctx context.Context, key string) (*Layer, error) {
	err := checkNames(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up a layer: %w", err)
	}
	disk, meta, identity := s.layerFiles(key)
	info, err := s.h.Stat(disk)
	if err != nil {
		return nil, fmt.Errorf("cannot look up a layer: %w", err)
	}
	l := &Layer{Path: disk}
	data, err := host.ReadFile(s.h, meta)
	if err == nil {
		l.Identity, err = host.ReadFile(s.h, identity)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("layer %s: %w: a file beside it is missing", disk, ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up a layer: %w", err)
	}
	if err := json.Unmarshal(data, &l.LayerMeta); err != nil {
		return nil, fmt.Errorf("layer %s: %w: %w", disk, ErrCorrupt, err)
	}
	if l.Schema != manifestSchema || l.Key != key {
		return nil, fmt.Errorf("layer %s: %w: its description is another's", disk, ErrCorrupt)
	}
	// In full seconds: SFTP has no others, and a machine may use its own store as well.
	if info.Size() != l.SizeBytes || info.ModTime().Unix() != l.ModifiedAt.Unix() {
		return nil, fmt.Errorf("layer %s: %w: the disk was changed", disk, ErrCorrupt)
	}
	return l, nil
}

// PublishLayer moves the disk at tmp, which must be on the store's file system, into the store under key. The
// caller holds the key's lock. The disk appears last and whole; when it fails there is no layer, and tmp is left
// to the caller.
func (s *Store) PublishLayer(ctx context.Context, tmp, key string, meta LayerMeta) (*Layer, error) {
	err := checkNames(key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot publish a layer: %w", err)
	}
	info, err := s.h.Stat(tmp)
	if err != nil {
		return nil, fmt.Errorf("cannot publish a layer: %w", err)
	}
	meta.Schema, meta.Key = manifestSchema, key
	meta.SizeBytes, meta.ModifiedAt = info.Size(), info.ModTime().UTC()
	data, err := encode(meta)
	if err != nil {
		return nil, err
	}
	disk, metaPath, identity := s.layerFiles(key)
	if err := s.publish(tmp, disk, companion{identity, meta.Identity, 0o600}, companion{metaPath, data, 0o644}); err != nil {
		return nil, err
	}
	return &Layer{Path: disk, LayerMeta: meta}, nil
}

// DeleteLayer removes a layer. The caller holds the key's lock; one that is gone already is no error.
func (s *Store) DeleteLayer(_ context.Context, key string) error {
	if err := checkNames(key); err != nil {
		return fmt.Errorf("cannot delete a layer: %w", err)
	}
	disk, meta, identity := s.layerFiles(key)
	err := errors.Join(
		host.RemoveIfExists(s.h, disk),
		host.RemoveIfExists(s.h, identity),
		host.RemoveIfExists(s.h, meta))
	if err != nil {
		return fmt.Errorf("cannot delete layer %s: %w", disk, err)
	}
	return nil
}
