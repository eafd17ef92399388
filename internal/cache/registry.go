package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"gopkg.in/yaml.v3"
)

// registry.yml lists what was built and where it was deployed, for people and other tools. Nothing relies on it: the
// store and the states are the truth. We edit the document in place, so that the keys we do not know and the comments of
// others stay.

func (s *Store) registryPath() string { return path.Join(s.dataDir, "registry.yml") }

// RegisterImage records an image as the current one of its name and architecture.
func (s *Store) RegisterImage(ctx context.Context, img *Image) error {
	m := img.Manifest
	err := s.editRegistry(ctx, func(root *yaml.Node) error {
		entry := root
		for _, key := range []string{"images", m.Name, string(m.Arch)} {
			var err error
			if entry, err = mapping(entry, key); err != nil {
				return err
			}
		}
		setString(entry, "path", img.Path)
		setTime(entry, "built_at", m.BuiltAt)
		setString(entry, "cache_key", m.Key)
		setString(entry, "profile", m.Profile)
		setString(entry, "iso", m.ISO)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot register image %q: %w", m.Name, err)
	}
	return nil
}

// unregister removes an image's entry, unless the entry is that of a newer image.
func (s *Store) unregister(ctx context.Context, img *Image) error {
	m := img.Manifest
	if _, err := s.h.Stat(s.registryPath()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.editRegistry(ctx, func(root *yaml.Node) error {
		images := value(root, "images")
		named := value(images, m.Name)
		if key := value(value(named, string(m.Arch)), "cache_key"); key == nil || key.Value != m.Key {
			return nil
		}
		remove(named, string(m.Arch))
		if len(named.Content) == 0 {
			remove(images, m.Name)
		}
		return nil
	})
}

// editRegistry changes registry.yml under a lock of its own, which is held for an instant and by nobody who waits
// for another lock. A file that is no registry is left as it is.
func (s *Store) editRegistry(ctx context.Context, edit func(root *yaml.Node) error) (err error) {
	if err := s.makeDirs(); err != nil {
		return err
	}
	unlock, err := s.h.Lock(ctx, path.Join(s.locksDir(), "registry.lock"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	data, err := host.ReadFile(s.h, s.registryPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%s: %w", s.registryPath(), err)
	}
	if doc.Kind == 0 {
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return fmt.Errorf("%s: line %d: expected a mapping", s.registryPath(), doc.Content[0].Line)
	}
	if err := edit(doc.Content[0]); err != nil {
		return fmt.Errorf("%s: %w", s.registryPath(), err)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return err
	}
	return host.WriteFile(s.h, s.registryPath(), out.Bytes(), 0o644)
}

// value is the value of a key in a mapping, nil when there is none or m is no mapping.
func value(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// mapping is the mapping under a key of a mapping, made when missing or null.
func mapping(m *yaml.Node, key string) (*yaml.Node, error) {
	v := value(m, key)
	switch {
	case v == nil:
		v = set(m, key, yaml.Node{Kind: yaml.MappingNode})
	case v.Kind == yaml.ScalarNode && v.Tag == "!!null":
		*v = yaml.Node{Kind: yaml.MappingNode}
	case v.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("line %d: %q: expected a mapping", v.Line, key)
	case len(v.Content) == 0:
		v.Style = 0 // "{}" is no reason to write all that follows in one line
	}
	return v, nil
}

func setString(m *yaml.Node, key, v string) { set(m, key, text(v)) }

// text is a string that every reader of YAML takes for one, quoted where it looks like something else.
func text(v string) yaml.Node {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		n.SetString(v)
	}
	return n
}

func setTime(m *yaml.Node, key string, t time.Time) {
	set(m, key, yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: t.UTC().Format(time.RFC3339)})
}

// set gives a key of a mapping a value, keeping the comments of the old one.
func set(m *yaml.Node, key string, v yaml.Node) *yaml.Node {
	if old := value(m, key); old != nil {
		v.HeadComment, v.LineComment, v.FootComment = old.HeadComment, old.LineComment, old.FootComment
		*old = v
		return old
	}
	k := text(key)
	m.Content = append(m.Content, &k, &v)
	return &v
}

// remove drops a key of a mapping.
func remove(m *yaml.Node, key string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content = append(m.Content[:i], m.Content[i+2:]...)
			return
		}
	}
}
