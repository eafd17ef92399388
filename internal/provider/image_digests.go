package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// digests is what a plan knows of the inputs of an image: every named part of its key, as far as it is known.
type digests struct {
	parts   map[string]string
	unknown map[string]bool // parts whose value is only known after apply
	opaque  bool            // not even the names are known
}

// complete says whether the key can be computed.
func (d digests) complete() bool { return !d.opaque && len(d.unknown) == 0 }

// names lists every part, sorted.
func (d digests) names() []string {
	all := maps.Clone(d.parts)
	if all == nil {
		all = map[string]string{}
	}
	for n := range d.unknown {
		all[n] = ""
	}
	return slices.Sorted(maps.Keys(all))
}

// change is one input that differs from the one an image was built from.
type change struct {
	name string
	text string // for a person: "~ script:developer changed (fbf91bd0700d -> b17930a20063)"
}

// changes compares the inputs an image was built from with those wanted now, in the order of their names.
func changes(built map[string]string, want digests) []change {
	if want.opaque {
		return []change{{text: "~ the inputs are known after apply"}}
	}
	names := want.names()
	for n := range built {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	var out []change
	for _, n := range names {
		if text := describeChange(n, built, want); text != "" {
			out = append(out, change{name: n, text: text})
		}
	}
	return out
}

func describeChange(name string, built map[string]string, want digests) string {
	before, was := built[name]
	after, is := want.parts[name]
	switch {
	case want.unknown[name]:
		return fmt.Sprintf("~ %s known after apply", name)
	case !was:
		return fmt.Sprintf("+ %s added", name)
	case !is:
		return fmt.Sprintf("- %s removed", name)
	case before != after:
		return fmt.Sprintf("~ %s changed (%s -> %s)", name, shortDigest(before), shortDigest(after))
	}
	return ""
}

// shortDigest shortens a digest the way keys are shortened, and leaves a literal value alone.
func shortDigest(v string) string {
	hex, ok := strings.CutPrefix(v, "sha256:")
	switch {
	case ok:
		return cache.Short(hex)
	case v == "":
		return `""`
	}
	return v
}

// texts joins the changes, one a line.
func texts(all []change) string {
	lines := make([]string, len(all))
	for i, c := range all {
		lines[i] = "  " + c.text
	}
	return strings.Join(lines, "\n")
}

// mismatches lists the names of a lock that do not have the locked value, in order. A part that is not known yet
// cannot disagree.
func mismatches(lock map[string]string, want digests) []change {
	if want.opaque {
		return nil
	}
	var out []change
	for _, n := range slices.Sorted(maps.Keys(lock)) {
		value, ok := want.parts[n]
		switch {
		case want.unknown[n] || ok && value == lock[n]:
		case !ok:
			out = append(out, change{name: n, text: fmt.Sprintf("- %s is not an input of this image", n)})
		default:
			out = append(out, change{name: n, text: fmt.Sprintf("~ %s is %s, locked to %s", n, shortDigest(value), shortDigest(lock[n]))})
		}
	}
	return out
}
