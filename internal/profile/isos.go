package profile

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// isoEntries are the ISOs of one name in the catalog, at most one for an architecture.
type isoEntries []isoEntry

// decodeISOs reads one name of the catalog: an ISO, or one for each key of "architectures", so that a profile names
// them all at once.
func decodeISOs(d *decoder, name string, n *yaml.Node) isoEntries {
	const each = "architectures"
	if !hasKey(n, each) {
		return isoEntries{decodeISO(d, name, n)}
	}
	var all isoEntries
	d.object(n, "", []field{dictionary(each, func(d *decoder, key, value *yaml.Node, path string) {
		arch := host.Arch(key.Value)
		if e := validArch(arch); e != nil {
			d.fail(key, path, e)
			return
		}
		// The key stands for the field, which decodeISO asks for.
		inner := &decoder{file: d.file, entry: join(d.entry, path), at: map[string]place{"architecture": {}}, errs: d.errs}
		iso := decodeISO(inner, name, value)
		if iso.Arch != "" && iso.Arch != arch {
			d.fail(value, path, &Error{Msg: fmt.Sprintf("has the architecture %s", iso.Arch), Hint: "leave architecture out"})
		}
		iso.Arch = arch
		all = append(all, iso)
	})})
	return all
}

func hasKey(n *yaml.Node, name string) bool {
	n = deref(n)
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return true
		}
	}
	return false
}

// forArch is the ISO for an architecture.
func (all isoEntries) forArch(arch host.Arch) (iso ISO, ok bool) {
	for _, e := range all {
		if e.Arch == arch {
			return e.ISO, true
		}
	}
	return ISO{}, false
}

func (all isoEntries) archs() string {
	var names []string
	for _, e := range all {
		names = append(names, string(e.Arch))
	}
	return strings.Join(names, " and ")
}
