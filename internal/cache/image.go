package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Image is a stored image.
type Image struct {
	Path         string // of the qcow2, on the store's host
	ManifestPath string
	Manifest     Manifest
}

// ImageID is NAME-ARCH-KEY12, the name of an image's files without their ending, and what its references are
// counted under: two images of one key and different names are two files.
func ImageID(name string, arch host.Arch, key string) string {
	return fmt.Sprintf("%s-%s-%s", name, arch, Short(key))
}

// newImage is an image known by no more than its key.
func (s *Store) newImage(name string, arch host.Arch, key string) (*Image, error) {
	if err := checkNames(name, string(arch), key); err != nil {
		return nil, err
	}
	base := path.Join(s.imagesDir(), ImageID(name, arch, key))
	return &Image{
		Path: base + ".qcow2", ManifestPath: base + ".json",
		Manifest: Manifest{Key: key, Name: name, Arch: arch},
	}, nil
}

// Image looks up a stored image. It reads the manifest but not the image: see Verify. Errors: fs.ErrNotExist when
// there is none; ErrCorrupt when there is one but it has another size than its manifest says or the manifest does
// not fit. With ErrCorrupt the image is returned too, as far as it is known, so that it can be deleted.
func (s *Store) Image(ctx context.Context, name string, arch host.Arch, key string) (*Image, error) {
	img, err := s.newImage(name, arch, key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up an image: %w", err)
	}
	info, err := s.h.Stat(img.Path)
	if err != nil { // a manifest alone is what a publication that was cut short leaves: no image
		return nil, fmt.Errorf("cannot look up an image: %w", err)
	}
	data, err := host.ReadFile(s.h, img.ManifestPath)
	if errors.Is(err, fs.ErrNotExist) {
		return img, fmt.Errorf("image %s: %w: it has no manifest", img.Path, ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up an image: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return img, fmt.Errorf("image %s: %w: its manifest: %w", img.Path, ErrCorrupt, err)
	}
	if m.Schema != manifestSchema || m.Key != key || m.Name != name || m.Arch != arch {
		return img, fmt.Errorf("image %s: %w: its manifest describes another image", img.Path, ErrCorrupt)
	}
	img.Manifest = m
	if info.Size() != m.SizeBytes {
		return img, fmt.Errorf("image %s: %w: it has %d bytes, its manifest says %d", img.Path, ErrCorrupt, info.Size(), m.SizeBytes)
	}
	return img, nil
}

// Verify tells whether an image still has the content that was published. It reads the file only when its size or
// modification time is not the one it was published with, and then remembers the answer. Errors: fs.ErrNotExist,
// ErrCorrupt.
func (s *Store) Verify(ctx context.Context, img *Image) error {
	info, err := s.h.Stat(img.Path)
	if err != nil {
		return fmt.Errorf("cannot verify an image: %w", err)
	}
	if info.Size() == img.Manifest.SizeBytes && info.ModTime().Equal(img.Manifest.ModifiedAt) {
		return nil
	}
	sum, err := s.FileDigest(ctx, img.Path)
	if err != nil {
		return fmt.Errorf("cannot verify an image: %w", err)
	}
	if sum != img.Manifest.SHA256 {
		return fmt.Errorf("image %s: %w: its sha256 is %s, its manifest says %s", img.Path, ErrCorrupt, sum, img.Manifest.SHA256)
	}
	return nil
}

// PublishImage moves the finished image at tmp into the store under the name, architecture and key of its
// manifest. The caller holds the key's lock. The image appears last and whole; whatever stood in its place goes
// first. When it fails there is no image, and tmp is left to the caller.
func (s *Store) PublishImage(ctx context.Context, tmp string, m Manifest) (*Image, error) {
	sum, err := s.hash(ctx, tmp)
	if err != nil {
		return nil, fmt.Errorf("cannot publish an image: %w", err)
	}
	m.SHA256 = sum
	return s.publishImage(tmp, m)
}

// publishImage is PublishImage of an image whose digest is known.
func (s *Store) publishImage(tmp string, m Manifest) (*Image, error) {
	img, err := s.newImage(m.Name, m.Arch, m.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot publish an image: %w", err)
	}
	m.Schema = manifestSchema
	info, err := s.h.Stat(tmp)
	if err != nil {
		return nil, fmt.Errorf("cannot publish an image: %w", err)
	}
	m.SizeBytes, m.ModifiedAt = info.Size(), info.ModTime().UTC()
	data, err := encode(m)
	if err != nil {
		return nil, err
	}
	if err := s.publish(tmp, img.Path, companion{img.ManifestPath, data, 0o644}); err != nil {
		return nil, err
	}
	img.Manifest = m
	return img, nil
}

// DeleteImage removes whatever there is of an image, damaged or not: the file, its manifest, its build's logs, what
// has arrived of it from another store, and its entry in registry.yml. The caller holds the key's lock and has seen
// that nobody references the image. One that is gone already is no error.
func (s *Store) DeleteImage(ctx context.Context, name string, arch host.Arch, key string) error {
	img, err := s.newImage(name, arch, key)
	if err != nil {
		return fmt.Errorf("cannot delete an image: %w", err)
	}
	err = errors.Join(
		host.RemoveIfExists(s.h, img.Path), // first: a manifest without an image is nothing
		host.RemoveIfExists(s.h, img.ManifestPath),
		s.h.RemoveAll(s.BuildDir(key)),
		s.h.RemoveAll(s.fetchDir(ImageID(name, arch, key))))
	if err != nil {
		return fmt.Errorf("cannot delete image %s: %w", img.Path, err)
	}
	_ = s.unregister(ctx, img) // a list for people, who may have edited it: what is wrong with it is said by who adds to it
	return nil
}

// companion is a small file that goes with a disk.
type companion struct {
	path string
	data []byte
	perm fs.FileMode
}

// publish replaces a disk and its companions. A crash at any point leaves the disk with the companions that
// belong to it, or no disk: the old one goes first and the new one comes last.
func (s *Store) publish(tmp, final string, companions ...companion) (err error) {
	if err := host.RemoveIfExists(s.h, final); err != nil {
		return fmt.Errorf("cannot replace %s: %w", final, err)
	}
	defer func() {
		if err != nil {
			for _, c := range companions {
				err = errors.Join(err, host.RemoveIfExists(s.h, c.path))
			}
		}
	}()
	for _, c := range companions {
		if err := host.WriteFile(s.h, c.path, c.data, c.perm); err != nil {
			return err
		}
	}
	return host.Publish(s.h, tmp, final)
}
