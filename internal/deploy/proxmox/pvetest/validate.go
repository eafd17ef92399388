package pvetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// validate checks a request's parameters as PVE::JSONSchema::validate does. A value is a string, a json.Number, a bool
// (both only from a JSON body), or anything else, which is wrong. The error is a 400 with a map of errors.
func (e *endpoint) validate(in map[string]any) (map[string]string, error) {
	errs := problems{}
	out := map[string]string{}
	for name, v := range in {
		p := e.Parameters.Properties[name]
		switch v := v.(type) {
		case string:
			out[name] = v
		case json.Number:
			out[name] = v.String()
		case bool:
			if p != nil && p.Type != "boolean" {
				errs.add(name, fmt.Sprintf("type check ('%s') failed - got JSON::PP::Boolean", p.Type))
				continue
			}
			out[name] = strconv.Itoa(btoi(v))
		default:
			errs.add(name, "type check ('string') failed - got ARRAY")
		}
	}
	for name := range errs {
		out[name] = "" // it is there, though wrong
	}
	errs.object("", e.Parameters.Properties, out, maps.Clone(errs))
	if len(errs) > 0 {
		return nil, &apiError{status: 400, message: "Parameter verification failed.\n", errors: errs}
	}
	return out, nil
}

// problems are errors by parameter.
type problems map[string]string

func (e problems) add(path, message string) {
	if e[path] != "" {
		message = e[path] + `\n` + message
	}
	e[path] = message
}

// object checks the values of an object; those in skip are wrong already.
func (e problems) object(path string, schema map[string]*property, values map[string]string, skip problems) {
	at := func(key string) string {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	for _, key := range slices.Sorted(maps.Keys(schema)) {
		v, ok := values[key]
		p := schema[key]
		switch {
		case p.Alias != "":
		case skip[key] != "":
		case ok:
			e.value(at(key), p, v)
		case p.Optional == 0:
			e.add(at(key), "property is missing and it is not optional")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		p := schema[key]
		if p == nil {
			e.add(at(key), "property is not defined in schema and the schema does not allow additional properties")
			continue
		}
		if _, ok := values[p.Requires]; p.Requires != "" && !ok {
			e.add(at(p.Requires), fmt.Sprintf("missing property required by '%s'", at(key)))
		}
	}
}

var (
	integerText = regexp.MustCompile(`^[+-]?\d+$`)
	numberText  = regexp.MustCompile(`^[+-]?(\d+\.\d+|\d+\.|\.\d+|\d+)([eE][+-]?\d+)?$`)
)

// value checks one value.
func (e problems) value(path string, p *property, v string) {
	if !hasType(p.Type, v) {
		e.add(path, fmt.Sprintf("type check ('%s') failed - got '%s'", p.Type, v))
		return
	}
	if !p.Format.IsZero() {
		if err := checkFormat(p.Format, v, path); err != nil {
			e.add(path, "invalid format - "+err.Error())
			return
		}
	}
	if p.Pattern != "" {
		if re, err := pattern(p.Pattern); err != nil || !re.MatchString(v) {
			e.add(path, "value does not match the regex pattern")
			return
		}
	}
	n := utf8.RuneCountInString(v)
	switch {
	case p.MaxLength > 0 && n > p.MaxLength:
		e.add(path, fmt.Sprintf("value may only be %d characters long", p.MaxLength))
		return
	case n < p.MinLength:
		e.add(path, fmt.Sprintf("value must be at least %d characters long", p.MinLength))
		return
	}
	if numberText.MatchString(v) {
		f, _ := strconv.ParseFloat(v, 64)
		switch {
		case p.Maximum != nil && f > float64(*p.Maximum):
			e.add(path, "value must have a maximum value of "+p.Maximum.String())
			return
		case p.Minimum != nil && f < float64(*p.Minimum):
			e.add(path, "value must have a minimum value of "+p.Minimum.String())
			return
		}
	}
	if p.Enum != nil && !slices.Contains(p.Enum, v) {
		e.add(path, fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", v, strings.Join(p.Enum, ", ")))
	}
}

func hasType(typ, v string) bool {
	switch typ {
	case "boolean":
		return v == "0" || v == "1"
	case "integer":
		return integerText.MatchString(v)
	case "number":
		return numberText.MatchString(v)
	}
	return true
}

// parseKeyed reads a property string, such as "local:0,import-from=local:import/x.qcow2,discard=on".
func parseKeyed(schema map[string]*property, data, path string) (map[string]string, error) {
	out := map[string]string{}
	for part := range strings.SplitSeq(data, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, v, ok := strings.Cut(part, "=")
		if ok && (key == "" || v == "") {
			return nil, die("missing key in comma-separated list property")
		}
		if !ok {
			if key, v = defaultKey(schema), part; key == "" {
				return nil, die("value without key, but schema does not define a default key")
			}
		}
		p := schema[key]
		if p == nil {
			return nil, die("invalid key in comma-separated list property: %s", key)
		}
		if p.Alias != "" {
			if p.KeyAlias != "" {
				out[p.KeyAlias] = key
			}
			key, p = p.Alias, schema[p.Alias]
		}
		if _, twice := out[key]; twice {
			return nil, die("duplicate key in comma-separated list property: %s", key)
		}
		if p.Type == "boolean" {
			v = parseBoolean(v)
		}
		out[key] = v
	}
	errs := problems{}
	errs.object(path, schema, out, nil)
	if len(errs) == 0 {
		return out, nil
	}
	text := "format error\n"
	for _, key := range slices.Sorted(maps.Keys(errs)) {
		text += key + ": " + errs[key] + "\n"
	}
	return nil, die("%s", strings.TrimSuffix(text, "\n"))
}

func defaultKey(schema map[string]*property) string {
	for key, p := range schema {
		if p.DefaultKey == 1 {
			return key
		}
	}
	return ""
}

func parseBoolean(v string) string {
	switch strings.ToLower(v) {
	case "1", "on", "yes", "true":
		return "1"
	case "0", "off", "no", "false":
		return "0"
	}
	return v
}

// printKeyed writes a property string: the default key's value first, then the others by name.
func printKeyed(schema map[string]*property, values map[string]string) string {
	first := defaultKey(schema)
	var parts []string
	if v, ok := values[first]; ok && first != "" {
		parts = append(parts, v)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if key != first {
			parts = append(parts, key+"="+values[key])
		}
	}
	return strings.Join(parts, ",")
}
