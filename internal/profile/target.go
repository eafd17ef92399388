package profile

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gopkg.in/yaml.v3"
)

// Target is an entry of targets.d: a place that images are deployed to.
type Target struct {
	Name   string
	Type   string         // "aws", "proxmox", "utm" or "file"; nothing here knows which there are
	Fields map[string]any // the other fields: text as a string, anything else as a *yaml.Node without aliases

	at map[string]place
}

// Targets are the entries of targets.d by name.
type Targets map[string]*Target

// LoadTargets reads targets.d and nothing else, so that no fault elsewhere keeps a deployment from being read or
// destroyed. It fails with Errors: every fault of every file.
func LoadTargets(o Options) (Targets, error) {
	files, errs := findFiles(o, "targets.d")
	all := Targets{}
	entries(files, "targets.d", &errs, func(d *decoder, name string, n *yaml.Node) {
		t := &Target{Name: name, Fields: map[string]any{}, at: d.at}
		d.record(n, "")
		d.pairs(n, "", func(key, value *yaml.Node) {
			d.record(value, key.Value)
			var decoded any
			switch err := value.Decode(&decoded); {
			case err != nil: // aliases that multiply, above all
				d.fail(value, key.Value, &Error{Msg: "cannot parse YAML", Err: err})
			case key.Value == "type":
				t.Type = value.Value
			case decoded != nil:
				t.Fields[key.Value] = standalone(value)
			}
		})
		if t.Type == "" && (n.Kind == yaml.MappingNode || n.Tag == "!!null") {
			d.fail(n, "", &Error{Msg: "has no type", Hint: "add type: aws, proxmox, utm or file"})
		}
		all[name] = t
	})
	if len(errs) > 0 {
		return nil, errs
	}
	return all, nil
}

// ErrNoTarget is wrapped when targets.d lacks a target.
var ErrNoTarget = errors.New("not in targets.d")

// Find is the target of a name. Errors: ErrNoTarget.
func (ts Targets) Find(name string) (*Target, error) {
	if t, ok := ts[name]; ok {
		return t, nil
	}
	hint := suggest(name, slices.Collect(maps.Keys(ts)))
	if hint == "" {
		hint = "add it to a file in the config_dir's targets.d"
	}
	return nil, &Error{Msg: fmt.Sprintf("target %q", name), Err: ErrNoTarget, Hint: hint}
}

// Fault is a fault of one of the target's fields, at the place it is written. A field that is not written is a fault of the
// entry.
func (t *Target) Fault(field, msg string) *Error {
	p, ok := t.at[field]
	if !ok {
		p = t.at[""]
		p.field = join(t.Name, field)
	}
	return &Error{File: p.file, Line: p.line, Column: p.column, Field: p.field, Msg: msg}
}

// standalone is a value that can be encoded on its own.
func standalone(n *yaml.Node) any {
	if n = deref(n); n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return n.Value
	}
	return unalias(n)
}

// unalias puts in the place of every alias what it stands for. There are no cycles: the parser refuses them.
func unalias(n *yaml.Node) *yaml.Node {
	c := *deref(n)
	c.Anchor = ""
	c.Content = make([]*yaml.Node, len(c.Content))
	for i, child := range deref(n).Content {
		c.Content[i] = unalias(child)
	}
	return &c
}
