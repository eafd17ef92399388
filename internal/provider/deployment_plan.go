package provider

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// deployed is what the state says about a deployment that exists.
type deployed struct {
	kind     string
	name     string
	key      string
	form     string // see source
	settings map[string]string
	status   string
	drift    []string
	excess   int // old generations that are to go
}

// desired is what the configuration asks for; "" and nil are what is not known yet.
type desired struct {
	kind     string
	name     string
	key      string
	form     string
	settings map[string]string
	unknown  []string // fields of the settings
	effect   func(field string) deploy.Effect
}

// course is what has to be done about a deployment. The greater includes the smaller.
type course int

const (
	stay   course = iota // nothing at the target
	adjust               // the generation is updated where it is
	renew                // a new generation, and then the old one goes
	move                 // the deployment is destroyed and made elsewhere
)

// verdict is a course with its reasons.
type verdict struct {
	course  course
	replace []path.Path // why the resource is replaced: with move, and only then
	reasons []string    // why there is a new generation or a repair, for the warning
}

// judge compares the deployment that exists, nil for none, with what is wanted now. It is pure.
func judge(have *deployed, want desired) verdict {
	var v verdict
	if have == nil {
		v.course = renew
		return v
	}
	switch {
	case want.kind == "":
		v.move(path.Root("target"))
		return v
	case want.kind != have.kind:
		v.move(path.Root("type"))
		return v
	}
	v.image(have, want)
	v.settings(have, want)
	switch {
	case have.status == deploy.StatusMissing:
		v.to(renew, "it is gone from the target")
	case have.status == statusBroken:
		v.to(renew, "what there is comes from a deployment that failed")
	case have.status == deploy.StatusChanged:
		v.to(adjust, have.drift...)
	case have.status != deploy.StatusOK || have.excess > 0:
		v.to(adjust)
	}
	return v
}

func (v *verdict) to(c course, reasons ...string) {
	v.course = max(v.course, c)
	v.reasons = append(v.reasons, reasons...)
}

func (v *verdict) move(p path.Path) {
	v.course = move
	v.replace = append(v.replace, p)
}

// image compares what is deployed, and as what.
func (v *verdict) image(have *deployed, want desired) {
	if want.key != have.key {
		v.to(renew, fmt.Sprintf("image key %s -> %s", cache.Short(have.key), orUnknown(cache.Short(want.key))))
	}
	if want.name != have.name {
		v.to(renew, fmt.Sprintf("name %s -> %s", have.name, orUnknown(want.name)))
	}
	if have.form != "" && want.form != "" && want.form != have.form {
		v.to(renew, fmt.Sprintf("architecture and firmware %s -> %s", have.form, want.form))
	}
}

// settings compares the target's settings.
func (v *verdict) settings(have *deployed, want desired) {
	for _, field := range want.unknown {
		if v.change(have, field, want.effect(field), "(known after apply)"); v.course == move {
			v.replace = []path.Path{path.Root("settings")} // of which nothing is known then
		}
	}
	if len(want.unknown) > 0 {
		return
	}
	for _, field := range changedKeys(have.settings, want.settings) {
		v.change(have, field, want.effect(field), want.settings[field])
	}
}

func (v *verdict) change(have *deployed, field string, effect deploy.Effect, to string) {
	from, was := have.settings[field]
	if have.status == statusImported && (!was || to == "") { // with what it was made nobody knows, so Update has a look
		effect = deploy.InPlace
	}
	switch effect {
	case deploy.Move:
		v.move(path.Root("settings").AtMapKey(field))
	case deploy.Recreate:
		v.to(renew, fmt.Sprintf("%s %s -> %s", field, cmp.Or(from, "(unset)"), cmp.Or(to, "(unset)")))
	case deploy.InPlace:
		v.to(adjust)
	}
}

// changedKeys are the keys at which two maps differ, sorted.
func changedKeys(a, b map[string]string) []string {
	all := maps.Clone(b)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, a)
	maps.DeleteFunc(all, func(k, _ string) bool {
		va, inA := a[k]
		vb, inB := b[k]
		return inA == inB && va == vb
	})
	return slices.Sorted(maps.Keys(all))
}

func orUnknown(s string) string { return cmp.Or(s, "(known after apply)") }

// warning is what a plan says beside a new generation or a repair. An update that only follows the configuration needs
// none.
func (v verdict) warning(have *deployed) (summary, detail string) {
	because := "\n  " + strings.Join(v.reasons, "\n  ")
	switch {
	case len(v.reasons) == 0 || v.course == move:
		return "", ""
	case v.course == renew:
		return fmt.Sprintf("Deployment %q will be made anew", have.name),
			"The new one is made first; then the old one goes, as far as keep allows. The reason:" + because
	}
	return fmt.Sprintf("Deployment %q was changed by hand", have.name), "The apply puts it right:" + because
}
