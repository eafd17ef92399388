// Package preseed makes the answers for Debian's installer and serves them to the guest it runs in.
//
// The format is that of appendix B of the Debian installation guide, read by debconf-set-selections(1).
package preseed

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
)

// Templates are texts of package text/template by name. One may include another: {{ template "debian.cfg.tmpl" . }}.
// Besides the built-in functions they have quote, which makes a shell word of a string, and join, which is
// strings.Join.
type Templates map[string]string

// Render renders the named template of a set. Of two answers to one question the installer takes the later.
//
// Errors: no such template, a template that does not parse or execute, a value that cannot stand in an answer, and
// a result that Check refuses. No error holds a value.
func Render(set Templates, name string, v Values) ([]byte, error) {
	if _, ok := set[name]; !ok {
		return nil, fmt.Errorf("no preseed template %q, only %s", name, strings.Join(slices.Sorted(maps.Keys(set)), ", "))
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("cannot render the preseed template %q: %w", name, err)
	}
	t := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"quote": quote, "join": strings.Join})
	for _, n := range slices.Sorted(maps.Keys(set)) {
		if _, err := t.New(n).Parse(set[n]); err != nil {
			return nil, fmt.Errorf("cannot parse the preseed template %q: %w", n, err)
		}
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, name, v); err != nil {
		return nil, fmt.Errorf("cannot render the preseed template %q: %w", name, err)
	}
	if err := Check(out.String()); err != nil {
		return nil, fmt.Errorf("the preseed template %q makes answers the installer cannot read: %w", name, err)
	}
	return out.Bytes(), nil
}

// quote makes one shell word of any string. It uses no backslash, which could join lines of the answers.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}
