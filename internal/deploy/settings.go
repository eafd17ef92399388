package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// A target's settings are a struct whose fields have yaml tags: the names of targets.d and of the resource's blocks. A
// field with the tag `secret:"true"` never gets into a state.

// unknownField is what yaml.v3 says of a field that the struct lacks.
var unknownField = regexp.MustCompile(`^(?:line \d+: )?field (\S+) not found in type`)

// Decode reads fields, as targets.d or a block has them, into the settings that s points to. A field that does not
// exist or has the wrong type is a *FieldError.
func Decode(fields map[string]any, s any) error {
	for name, v := range fields {
		if err := decode(map[string]any{name: v}, s); err != nil {
			return &FieldError{Field: name, Err: err}
		}
	}
	return nil
}

func decode(fields map[string]any, s any) error {
	data, err := yaml.Marshal(fields)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	err = d.Decode(s)
	var wrong *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &wrong):
		if unknownField.MatchString(wrong.Errors[0]) {
			return errors.New("there is no such field; known are " + strings.Join(Fields(s), ", "))
		}
		return errors.New(strings.TrimPrefix(wrong.Errors[0], "line 1: "))
	}
	return err
}

// Fields are the names of the settings that s is or points to, in the order of the struct.
func Fields(s any) []string {
	var names []string
	eachField(s, func(name string, _ bool, _ reflect.Value) { names = append(names, name) })
	return names
}

// Encode is the settings that s is or points to, as far as they are set and no secrets: strings as they are,
// everything else as JSON. DecodeStored reads it back.
func Encode(s any) (map[string]string, error) {
	out := map[string]string{}
	var errs []error
	eachField(s, func(name string, secret bool, v reflect.Value) {
		switch {
		case secret || v.IsZero():
		case v.Kind() == reflect.String:
			out[name] = v.String()
		default:
			data, err := json.Marshal(v.Interface())
			out[name] = string(data)
			errs = append(errs, err)
		}
	})
	return out, errors.Join(errs...)
}

// DecodeStored reads what Encode wrote into the settings that s points to. A field that this version does not know is
// passed over: a state may be newer.
func DecodeStored(stored map[string]string, s any) error {
	var errs []error
	eachField(s, func(name string, _ bool, v reflect.Value) {
		text, ok := stored[name]
		switch {
		case !ok:
		case v.Kind() == reflect.String:
			v.SetString(text)
		default:
			if err := json.Unmarshal([]byte(text), v.Addr().Interface()); err != nil {
				errs = append(errs, &FieldError{Field: name, Err: fmt.Errorf("not as this version stores it: %w", err)})
			}
		}
	})
	return errors.Join(errs...)
}

// Field is a field of a struct of settings.
type Field struct {
	Name   string
	Type   reflect.Type
	Secret bool
	index  int
}

// FieldsOf lists the fields of a struct of settings, or of one in it, in their order.
func FieldsOf(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields = append(fields, Field{Name: name, Type: f.Type, Secret: f.Tag.Get("secret") == "true", index: i})
		}
	}
	return fields
}

func eachField(s any, do func(name string, secret bool, v reflect.Value)) {
	v := reflect.Indirect(reflect.ValueOf(s))
	for _, f := range FieldsOf(v.Type()) {
		do(f.Name, f.Secret, v.Field(f.index))
	}
}
