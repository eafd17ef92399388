package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"gopkg.in/yaml.v3"
)

// Registry is what registry.yml says, in the file's order.
type Registry struct {
	Images      []RegisteredImage
	Deployments []Deployment
}

// RegisteredImage is an entry of registry.yml: the current image of a name and architecture.
type RegisteredImage struct {
	Name    string
	Arch    host.Arch
	Key     string
	Path    string
	Profile string // "" for none
	ISO     string // its name in the catalog, "" for none
	BuiltAt time.Time
	Exists  bool // whether the file at Path does
}

// Registry reads registry.yml, which others write too: fields nobody knows are passed over, and one of the wrong type is
// an error that names its line. No file is an empty registry.
func (s *Store) Registry(ctx context.Context) (Registry, error) {
	var r Registry
	if err := ctx.Err(); err != nil {
		return r, err
	}
	data, err := host.ReadFile(s.h, s.registryPath())
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	var root yaml.Node
	if err == nil {
		err = yaml.Unmarshal(data, &root)
	}
	if err == nil && root.Kind != 0 {
		err = s.list(root.Content[0], &r)
	}
	if err != nil {
		return Registry{}, fmt.Errorf("cannot read %s: %w", s.registryPath(), err)
	}
	return r, nil
}

func (s *Store) list(root *yaml.Node, r *Registry) error {
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: expected a mapping", root.Line)
	}
	err := eachOf(value(root, "images"), func(name, arch string, n *yaml.Node) error {
		var e struct {
			Key     string    `yaml:"cache_key"`
			Path    string    `yaml:"path"`
			Profile string    `yaml:"profile"`
			ISO     string    `yaml:"iso"`
			BuiltAt time.Time `yaml:"built_at"`
		}
		if err := decodeEntry(n, &e); err != nil {
			return err
		}
		_, err := s.h.Stat(e.Path)
		r.Images = append(r.Images, RegisteredImage{name, host.Arch(arch), e.Key, e.Path, e.Profile, e.ISO, e.BuiltAt, err == nil})
		return nil
	})
	if err != nil {
		return err
	}
	return eachOf(value(root, "deployments"), func(name, target string, n *yaml.Node) error {
		var e deploymentEntry
		if err := decodeEntry(n, &e); err != nil {
			return err
		}
		r.Deployments = append(r.Deployments, Deployment{name, target, e.Type, e.TemplateID, e.AMIID, e.Path, e.DeployedAt, e.ImageKey})
		return nil
	})
}

// decodeEntry names a line in its errors, which the YAML library does for wrong types alone.
func decodeEntry(n *yaml.Node, e any) error {
	err := n.Decode(e)
	var wrong *yaml.TypeError
	if err != nil && !errors.As(err, &wrong) {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return err
}

// eachOf calls do for each entry of a mapping of mappings. Nothing at all is an empty one.
func eachOf(n *yaml.Node, do func(outer, inner string, entry *yaml.Node) error) error {
	return pairs(n, func(outer string, n *yaml.Node) error {
		return pairs(n, func(inner string, n *yaml.Node) error {
			if n.Kind != yaml.MappingNode {
				return fmt.Errorf("line %d: %q: expected a mapping", n.Line, inner)
			}
			return do(outer, inner, n)
		})
	})
}

func pairs(n *yaml.Node, do func(key string, value *yaml.Node) error) error {
	switch {
	case n == nil || n.Tag == "!!null":
		return nil
	case n.Kind != yaml.MappingNode:
		return fmt.Errorf("line %d: expected a mapping", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := do(n.Content[i].Value, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}
