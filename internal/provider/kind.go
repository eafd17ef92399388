package provider

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// settings are a target's, behind a pointer.
type settings interface {
	// Complete fills the defaults in and checks the values, without asking anybody.
	Complete() []deploy.Problem
}

// kind is a type of target: how the provider gets from a configuration to a deploy.Target, and from that to attributes.
type kind struct {
	name   string   // in targets.d, and of the resource's block
	entry  string   // "type" in registry.yml
	paths  []string // fields that are paths on this machine
	blank  func() settings
	effect func(field string) deploy.Effect
	open   func(ctx context.Context, s settings) (deploy.Target, error)
	// label tells a block's target from others of its type in registry.yml, nil for a type that has but one.
	label func(m *deploymentModel) string
	// regions lists the keys of amis and snapshots, that of the home region first; nil for a type without.
	regions func(s settings) []string
	// reference reads what an import names: fields of the settings that it implies when it is not of a target in
	// targets.d, and the generation as far as that is known.
	reference func(ref string, s settings) (map[string]any, deploy.Result, error)
}

// kinds are the types of targets by name.
type kinds map[string]*kind

func (ks kinds) names() string { return strings.Join(slices.Sorted(maps.Keys(ks)), ", ") }

// typed fills in what depends on the type of a kind's settings.
func typed[S any, P interface {
	*S
	settings
}](k kind, open func(context.Context, S) (deploy.Target, error),
) *kind {
	k.blank = func() settings { return P(new(S)) }
	k.open = func(ctx context.Context, s settings) (deploy.Target, error) { return open(ctx, *s.(P)) }
	return &k
}

func (k *kind) fields() []deploy.Field { return deploy.FieldsOf(reflect.TypeOf(k.blank()).Elem()) }

// attributes are the fields that a block has.
func (k *kind) attributes() []string { return k.names(func(f deploy.Field) bool { return !f.Secret }) }

// secrets are the fields that no state and no block has.
func (k *kind) secrets() []string { return k.names(func(f deploy.Field) bool { return f.Secret }) }

// access are the fields that say how to reach a target and how to log in.
func (k *kind) access() []string {
	return k.names(func(f deploy.Field) bool { return f.Secret || k.effect(f.Name) == deploy.Nothing })
}

func (k *kind) names(which func(deploy.Field) bool) []string {
	var names []string
	for _, f := range k.fields() {
		if which(f) {
			names = append(names, f.Name)
		}
	}
	return names
}
