package provider

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// The states a stored image can be in.
const (
	statusOK      = "ok"
	statusMissing = "missing"
	statusCorrupt = "corrupt"
)

// stored is what the state says about the image that exists.
type stored struct {
	key    string
	inputs map[string]string
	status string
}

// decision is what a plan has to do about an image.
type decision struct {
	key     string      // the planned key, "" while unknown
	build   bool        // an image must be made: a new resource, or a replacement
	replace []path.Path // why the resource is replaced, empty for create, update and no-op
	reasons []change    // inputs that changed, for the warning
	broken  string      // status of the stored file when it is not "ok"
}

// decide compares the image that exists, nil for none, with the inputs wanted now. It is pure: everything it
// needs has been read already.
func decide(have *stored, want digests) decision {
	d := decision{key: want.key()}
	if have == nil {
		d.build = true
		return d
	}
	d.reasons = changes(have.inputs, want)
	for _, c := range d.reasons {
		p := path.Root("inputs")
		if c.name != "" {
			p = p.AtMapKey(c.name)
		}
		d.replace = append(d.replace, p)
	}
	if len(d.replace) == 0 && d.key != have.key { // the key's own version changed
		d.replace = append(d.replace, path.Root("id"))
	}
	if have.status != statusOK {
		d.broken = have.status
		d.replace = append(d.replace, path.Root("status"))
	}
	d.build = len(d.replace) > 0
	return d
}

// key is the cache key, "" unless every part is known.
func (d digests) key() string {
	if !d.complete() {
		return ""
	}
	in := make(cache.Inputs, 0, len(d.parts))
	for _, n := range d.names() {
		in = append(in, cache.Part{Name: n, Value: d.parts[n]})
	}
	return in.Key()
}

// staleWarning is the warning that a plan shows beside a replacement.
func (d decision) staleWarning(name, oldKey string) (summary, detail string) {
	if len(d.reasons) == 0 && d.broken != "" {
		return fmt.Sprintf("Image %q is %s and will be rebuilt", name, d.broken),
			"The stored file of this image is " + d.broken + ". Nothing that goes into it changed, so its id stays the same."
	}
	next := "(known after apply)"
	if d.key != "" {
		next = cache.Short(d.key)
	}
	detail = fmt.Sprintf("cache key %s -> %s", cache.Short(oldKey), next)
	if len(d.reasons) > 0 {
		detail += " because:\n" + texts(d.reasons)
	} else {
		detail += " because this version of the provider computes keys differently."
	}
	if d.broken != "" {
		detail += "\nThe stored file is " + d.broken + "."
	}
	return fmt.Sprintf("Image %q is stale and will be rebuilt", name), detail
}
