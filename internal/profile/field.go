package profile

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// field is one name of a YAML mapping: how its value is read, where it goes, what it must satisfy. The tables made
// of them are the schema.
type field struct {
	name   string
	decode func(d *decoder, n *yaml.Node, path string)
	value  reflect.Value                                // what it fills; invalid for a group or a dictionary
	check  func(path string, fail func(string, *Error)) // checks a value that is set; nil when everything is fine
	group  []field                                      // the fields of a nested mapping
}

// leaves calls do for every field that holds a value, groups opened, with its path.
func leaves(path string, fields []field, do func(path string, f field)) {
	for _, f := range fields {
		if f.group != nil {
			leaves(join(path, f.name), f.group, do)
		} else if f.value.IsValid() {
			do(join(path, f.name), f)
		}
	}
}

// parser reads a scalar node; rule judges a value. Both give an *Error of Msg and Hint alone.
type (
	parser[T any] func(n *yaml.Node) (T, *Error)
	rule[T any]   func(v T) *Error
)

// optional fills a pointer that is nil as long as nothing is said.
func optional[T any](name string, p **T, parse parser[T], rules ...rule[T]) field {
	check := func(path string, fail func(string, *Error)) {
		if *p != nil {
			judge(**p, path, rules, fail)
		}
	}
	return field{name: name, value: reflect.ValueOf(p).Elem(), check: check, decode: func(d *decoder, n *yaml.Node, path string) {
		if v, e := parse(n); e != nil {
			d.fail(n, path, e)
		} else {
			judge(v, path, rules, func(path string, e *Error) { d.fail(n, path, e) })
			*p = &v
		}
	}}
}

// plain fills a value whose zero means that nothing is said.
func plain[T any](name string, p *T, parse parser[T], rules ...rule[T]) field {
	return field{name: name, decode: func(d *decoder, n *yaml.Node, path string) {
		var q *T
		optional(name, &q, parse, rules...).decode(d, n, path)
		if q != nil {
			*p = *q
		}
	}}
}

// list fills a slice that is nil as long as nothing is said; an empty list makes it empty.
func list[T any](name string, p *[]T, parse parser[T], rules ...rule[T]) field {
	check := func(path string, fail func(string, *Error)) {
		for i, v := range *p {
			judge(v, index(path, i), rules, fail)
		}
	}
	return field{name: name, value: reflect.ValueOf(p).Elem(), check: check, decode: func(d *decoder, n *yaml.Node, path string) {
		if n.Kind != yaml.SequenceNode {
			d.fail(n, path, wrongType("a list", n))
			return
		}
		*p = make([]T, 0, len(n.Content))
		for i, item := range n.Content {
			item, at := deref(item), index(path, i)
			d.record(item, at)
			v, e := parse(item)
			if e != nil {
				d.fail(item, at, e)
				continue
			}
			judge(v, at, rules, func(path string, e *Error) { d.fail(item, path, e) })
			*p = append(*p, v)
		}
	}}
}

// words is a list that may also be written as one string with blanks between the words.
func words(name string, p *[]string, rules ...rule[string]) field {
	f := list(name, p, text, rules...)
	sequence := f.decode
	f.decode = func(d *decoder, n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			sequence(d, n, path)
			return
		}
		*p = append([]string{}, strings.Fields(n.Value)...)
		f.check(path, func(path string, e *Error) { d.fail(n, path, e) })
	}
	return f
}

func group(name string, fields ...field) field {
	return field{name: name, group: fields, decode: func(d *decoder, n *yaml.Node, path string) {
		d.object(n, path, fields)
	}}
}

// dictionary is a mapping with free names.
func dictionary(name string, entry func(d *decoder, key, value *yaml.Node, path string)) field {
	return field{name: name, decode: func(d *decoder, n *yaml.Node, path string) {
		d.pairs(n, path, func(key, value *yaml.Node) { entry(d, key, value, join(path, key.Value)) })
	}}
}

func judge[T any](v T, path string, rules []rule[T], fail func(string, *Error)) {
	for _, r := range rules {
		if e := r(v); e != nil {
			fail(path, e)
			return
		}
	}
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func text(n *yaml.Node) (string, *Error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		return n.Value, nil
	}
	e := wrongType("text", n)
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		e.Hint = fmt.Sprintf("write %q", n.Value)
	}
	return "", e
}

// textAs is text in a type of its own. It does not repeat the value in an error: it may be a secret.
func textAs[T ~string](n *yaml.Node) (T, *Error) {
	s, e := text(n)
	if e != nil && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		e = &Error{Msg: "must be text", Hint: "put it in quotes"}
	}
	return T(s), e
}

func whole(n *yaml.Node) (int64, *Error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		if v, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return v, nil
		}
	}
	return 0, wrongType("a whole number", n)
}

func boolean(n *yaml.Node) (bool, *Error) {
	var v bool
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&v) != nil {
		return false, wrongType("true or false", n)
	}
	return v, nil
}

// size reads "20G" as ParseSize does.
func size(n *yaml.Node) (int64, *Error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return 0, wrongType("a size such as 20G", n)
	}
	v, err := ParseSize(n.Value)
	if err != nil {
		return 0, &Error{Msg: err.Error()}
	}
	return v, nil
}

// duration reads a whole number of seconds, as pim.yml always had it, or Go's notation ("90m", "1h30m").
func duration(n *yaml.Node) (time.Duration, *Error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		if v, err := strconv.ParseInt(n.Value, 10, 32); err == nil {
			return time.Duration(v) * time.Second, nil
		}
	}
	if n.Kind == yaml.ScalarNode {
		if v, err := time.ParseDuration(n.Value); err == nil {
			return v, nil
		}
	}
	return 0, wrongType("a duration such as 90m, or seconds", n)
}

func wrongType(want string, n *yaml.Node) *Error {
	return &Error{Msg: fmt.Sprintf("must be %s, not %s", want, describe(n))}
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "empty"
	case slices.Contains([]string{"!!int", "!!float"}, n.Tag):
		return "the number " + n.Value
	case n.Tag == "!!bool":
		return "the truth value " + n.Value
	case n.Tag == "!!str":
		return strconv.Quote(n.Value)
	}
	return n.Value
}
