package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// notYet stands for a value that is only known after an apply.
type notYet struct{}

// fieldsOf reads a block as targets.d would give it: what is null is not there, and notYet stands for a value of which
// any part is unknown.
func fieldsOf(v types.Object) map[string]any {
	fields := map[string]any{}
	for name, a := range v.Attributes() {
		if f := plainValue(a); f != nil {
			fields[name] = f
		}
	}
	return fields
}

// plainValue is a value without Terraform's types, nil for null.
func plainValue(v attr.Value) any {
	if v.IsUnknown() {
		return notYet{}
	}
	if v.IsNull() {
		return nil
	}
	switch v := v.(type) {
	case types.String:
		return v.ValueString()
	case types.Int64:
		return v.ValueInt64()
	case types.Bool:
		return v.ValueBool()
	case types.List:
		list := make([]any, 0, len(v.Elements()))
		for _, e := range v.Elements() {
			list = append(list, plainValue(e))
		}
		return unlessUnknown(list, list)
	case types.Map:
		return plainMap(v.Elements())
	case types.Object:
		return plainMap(v.Attributes())
	}
	return nil
}

func plainMap(elements map[string]attr.Value) any {
	m := map[string]any{}
	var values []any
	for name, e := range elements {
		if p := plainValue(e); p != nil {
			m[name] = p
			values = append(values, p)
		}
	}
	return unlessUnknown(m, values)
}

// unlessUnknown is v, or notYet when one of its elements is.
func unlessUnknown(v any, elements []any) any {
	for _, e := range elements {
		if _, unknown := e.(notYet); unknown {
			return notYet{}
		}
	}
	return v
}
