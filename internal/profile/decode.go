package profile

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// place is where a value was written; the zero place is a Request.
type place struct {
	file         string
	line, column int
	field        string // path with the entry's name in front
}

// decoder turns one entry of a YAML file into Go values, and collects every fault on the way. The YAML library's own
// decoding into structs would stop at the first, forget the columns, and know no nearest name.
type decoder struct {
	file  string
	entry string           // name of the entry, put before every field's path
	at    map[string]place // places of the values decoded so far, by their path within the entry
	errs  *Errors
}

// fail completes e with the place of n, and keeps it.
func (d *decoder) fail(n *yaml.Node, path string, e *Error) {
	e.File, e.Line, e.Column, e.Field = d.file, n.Line, n.Column, join(d.entry, path)
	*d.errs = append(*d.errs, e)
}

func (d *decoder) record(n *yaml.Node, path string) {
	d.at[path] = place{d.file, n.Line, n.Column, join(d.entry, path)}
}

// object decodes the mapping n by a table of fields.
func (d *decoder) object(n *yaml.Node, path string, fields []field) {
	d.pairs(n, path, func(key, value *yaml.Node) {
		at := join(path, key.Value)
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i < 0 {
			d.fail(key, at, unknownField(key.Value, fields))
			return
		}
		d.record(value, at)
		fields[i].decode(d, value, at)
	})
}

// pairs calls do for every key and value of the mapping n. An empty value ("developer:" and nothing more) has none.
func (d *decoder) pairs(n *yaml.Node, path string, do func(key, value *yaml.Node)) {
	n = deref(n)
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, wrongType("a map of fields", n))
		return
	}
	first := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], deref(n.Content[i+1])
		if line, ok := first[key.Value]; ok {
			d.fail(key, join(path, key.Value), &Error{Msg: fmt.Sprintf("given twice, first in line %d", line)})
			continue
		}
		first[key.Value] = key.Line
		do(key, value)
	}
}

func unknownField(name string, fields []field) *Error {
	if name == "<<" {
		return &Error{Msg: "merge keys are not supported", Hint: `put what profiles share in the profile "default"`}
	}
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.name
	}
	return &Error{Msg: "unknown field", Hint: suggest(name, known)}
}

// parse reads a file's single YAML document. nil is an empty document.
func (d *decoder) parse(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		*d.errs = append(*d.errs, syntaxError(d.file, err))
		return nil
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		d.fail(&second, "", &Error{Msg: "more than one YAML document, or text after the first"})
		return nil
	}
	if n := findCycle(&doc, map[*yaml.Node]bool{}); n != nil {
		d.fail(n, "", &Error{Msg: fmt.Sprintf("alias *%s stands inside what it stands for, a cycle", n.Value)})
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func syntaxError(file string, err error) *Error {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return &Error{File: file, Msg: "cannot parse YAML", Err: err}
	}
	e := &Error{File: file, Msg: "cannot parse YAML: " + strings.TrimPrefix(err.Error(), m[0])}
	if e.Line, _ = strconv.Atoi(m[1]); e.Line > 0 {
		e.Column = 1
	}
	return e
}

// findCycle returns an alias that leads back to one of its ancestors. done holds false for nodes being visited and
// true for those found clean, so that each is visited once however many aliases name it.
func findCycle(n *yaml.Node, done map[*yaml.Node]bool) *yaml.Node {
	done[n] = false
	next := n.Content
	if n.Kind == yaml.AliasNode {
		next = []*yaml.Node{n.Alias}
	}
	for _, c := range next {
		clean, seen := done[c]
		if seen && !clean {
			return n
		}
		if !seen {
			if bad := findCycle(c, done); bad != nil {
				return bad
			}
		}
	}
	done[n] = true
	return nil
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func join(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}
