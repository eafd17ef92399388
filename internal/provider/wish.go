package provider

import (
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// wish is what a configuration asks for, free of Terraform's types.
type wish struct {
	request   profile.Request
	base      *baseWish // given inline, nil for none
	triggers  map[string]string
	emulation bool
	timeout   time.Duration // of the whole build
	unknown   unknowns
}

// unknowns are the parts of the key that depend on values not known yet. Where such a value stands, the wish says
// nothing, so that the rest can be resolved and the plan shows as unknown only what is.
type unknowns struct {
	parts  map[string]bool
	opaque bool // not even the names of the parts are known
	isoMay bool // the ISO may turn out to be one that tells another installer
}

// Parts of the key, as build.Spec names them.
const (
	partFirmware = "firmware"
	partISO      = "iso"
	partPreseed  = "preseed" // of Debian; until the installer is known it stands for the answers of any
	partInstall  = "install"
	partDiskSize = "disk_size"
	partBootArgs = "boot_args"
)

func (u *unknowns) mark(parts ...string) {
	if u.parts == nil {
		u.parts = map[string]bool{}
	}
	for _, p := range parts {
		u.parts[p] = true
	}
}

// answersAre gives the answers' part its name.
func (u *unknowns) answersAre(part string) {
	if u.parts[partPreseed] && part != partPreseed {
		u.parts = maps.Clone(u.parts)
		delete(u.parts, partPreseed)
		u.mark(part)
	}
}

// merge puts the unknown parts over the digests of what is known.
func (u unknowns) merge(parts map[string]string) digests {
	d := digests{parts: maps.Clone(parts), unknown: u.parts, opaque: u.opaque}
	for p := range u.parts {
		delete(d.parts, p)
	}
	return d
}

// value is what every scalar of the framework can tell about itself.
type value interface {
	IsNull() bool
	IsUnknown() bool
}

// said reports whether v has a value. One that is not known yet makes the parts that depend on it unknown.
func (u *unknowns) said(v value, parts ...string) bool {
	if v.IsUnknown() {
		u.mark(parts...)
		return false
	}
	return !v.IsNull()
}

func (u *unknowns) text(v types.String, parts ...string) *string {
	if !u.said(v, parts...) {
		return nil
	}
	s := v.ValueString()
	return &s
}

func (u *unknowns) number(v types.Int64, parts ...string) *int64 {
	if !u.said(v, parts...) {
		return nil
	}
	n := v.ValueInt64()
	return &n
}

func (u *unknowns) boolean(v types.Bool, parts ...string) *bool {
	if !u.said(v, parts...) {
		return nil
	}
	b := v.ValueBool()
	return &b
}

// size is nil for text that is no size: validation has refused it already.
func (u *unknowns) size(v sizeValue, parts ...string) *int64 {
	if !u.said(v, parts...) {
		return nil
	}
	n, err := profile.ParseSize(v.ValueString())
	if err != nil {
		return nil
	}
	return &n
}

// duration is nil for text that is no duration: validation has refused it already.
func (u *unknowns) duration(v types.String) *time.Duration {
	if !u.said(v) {
		return nil
	}
	d, err := time.ParseDuration(v.ValueString())
	if err != nil {
		return nil
	}
	return &d
}

// list is nil for null, and also when an element is unknown. An empty list stays one: it replaces the profile's.
func (u *unknowns) list(v types.List, parts ...string) []string {
	if !u.said(v, parts...) {
		return nil
	}
	out := make([]string, 0, len(v.Elements()))
	for _, e := range v.Elements() {
		s, ok := e.(types.String)
		if !ok || s.IsUnknown() {
			u.mark(parts...)
			return nil
		}
		out = append(out, s.ValueString())
	}
	return out
}
