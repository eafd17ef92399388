package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// Deployment is an entry of registry.yml: an image at a target. It has one of TemplateID, AMIID and Path.
type Deployment struct {
	Name       string // of the deployment
	Target     string // its name in targets.d, or what stands for it
	Type       string // "template", "ami", "utm" or "file"
	TemplateID int64  // 0 for none
	AMIID      string
	Path       string
	DeployedAt time.Time
	ImageKey   string
}

// RegisterDeployment records a deployment as the current one of its name and target.
func (s *Store) RegisterDeployment(ctx context.Context, d Deployment) error {
	err := s.editRegistry(ctx, func(root *yaml.Node) error {
		entry := root
		for _, key := range []string{"deployments", d.Name, d.Target} {
			var err error
			if entry, err = mapping(entry, key); err != nil {
				return err
			}
		}
		setString(entry, "type", d.Type)
		setOrRemove(entry, "template_id", yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(d.TemplateID, 10)}, d.TemplateID != 0)
		setOrRemove(entry, "ami_id", text(d.AMIID), d.AMIID != "")
		setOrRemove(entry, "path", text(d.Path), d.Path != "")
		setTime(entry, "deployed_at", d.DeployedAt)
		setString(entry, "image_cache_key", d.ImageKey)
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot register deployment %q: %w", d.Name, err)
	}
	return nil
}

func setOrRemove(m *yaml.Node, key string, v yaml.Node, is bool) {
	if is {
		set(m, key, v)
		return
	}
	remove(m, key)
}

// UnregisterDeployment removes a deployment's entry, unless the entry is that of another one.
func (s *Store) UnregisterDeployment(ctx context.Context, d Deployment) error {
	if _, err := s.h.Stat(s.registryPath()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := s.editRegistry(ctx, func(root *yaml.Node) error {
		deployments := value(root, "deployments")
		named := value(deployments, d.Name)
		if !d.isIn(value(named, d.Target)) {
			return nil
		}
		if remove(named, d.Target); len(named.Content) == 0 {
			remove(deployments, d.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot take deployment %q out of the registry: %w", d.Name, err)
	}
	return nil
}

// deploymentEntry is a deployment as registry.yml has it.
type deploymentEntry struct {
	Type       string    `yaml:"type"`
	TemplateID int64     `yaml:"template_id"`
	AMIID      string    `yaml:"ami_id"`
	Path       string    `yaml:"path"`
	DeployedAt time.Time `yaml:"deployed_at"`
	ImageKey   string    `yaml:"image_cache_key"`
}

// isIn tells whether an entry is the deployment's.
func (d Deployment) isIn(entry *yaml.Node) bool {
	var e deploymentEntry
	return entry != nil && entry.Decode(&e) == nil &&
		e.Type == d.Type && e.TemplateID == d.TemplateID && e.AMIID == d.AMIID && e.Path == d.Path && e.ImageKey == d.ImageKey
}
