package provider

import (
	"reflect"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// block is the inline form of a target: a block with the fields that targets.d has, less the secrets. A value that
// must be there is no required attribute, since the provider block may give it; Complete asks for it.
func (k *kind) block(description string) schema.SingleNestedBlock {
	return schema.SingleNestedBlock{
		MarkdownDescription: description,
		Attributes:          fieldAttributes(reflect.TypeOf(k.blank()).Elem(), k.name, ""),
	}
}

func fieldAttributes(t reflect.Type, kind, prefix string) map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{}
	for _, f := range deploy.FieldsOf(t) {
		if !f.Secret {
			attributes[f.Name] = fieldAttribute(f.Type, kind, prefix+f.Name)
		}
	}
	return attributes
}

// fieldAttribute is the attribute for a Go type.
func fieldAttribute(t reflect.Type, kind, name string) schema.Attribute {
	doc := fieldDocs[kind][name]
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		return schema.SingleNestedAttribute{Optional: true, MarkdownDescription: doc, Attributes: fieldAttributes(t, kind, name+".")}
	case reflect.Slice:
		return schema.ListAttribute{Optional: true, MarkdownDescription: doc, ElementType: fieldType(t.Elem())}
	case reflect.Map:
		return schema.MapAttribute{Optional: true, MarkdownDescription: doc, ElementType: fieldType(t.Elem())}
	}
	switch fieldType(t) {
	case types.BoolType:
		return schema.BoolAttribute{Optional: true, MarkdownDescription: doc}
	case types.Int64Type:
		return schema.Int64Attribute{Optional: true, MarkdownDescription: doc}
	}
	return schema.StringAttribute{Optional: true, MarkdownDescription: doc}
}

// fieldType is the attribute type for a scalar Go type.
func fieldType(t reflect.Type) attr.Type {
	switch t.Kind() {
	case reflect.Bool:
		return types.BoolType
	case reflect.Int, reflect.Int64:
		return types.Int64Type
	}
	return types.StringType
}
