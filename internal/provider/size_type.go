package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/attr/xattr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var (
	_ basetypes.StringTypable                    = sizeType{}
	_ basetypes.StringValuableWithSemanticEquals = sizeValue{}
	_ xattr.ValidateableAttribute                = sizeValue{}
)

// sizeType is a disk size such as "20G". "20G" and "20480M" are the same size, so rewriting one as the other is
// no change.
type sizeType struct{ basetypes.StringType }

func (t sizeType) Equal(o attr.Type) bool {
	_, ok := o.(sizeType)
	return ok
}

func (t sizeType) String() string { return "sizeType" }

func (t sizeType) ValueType(context.Context) attr.Value { return sizeValue{} }

func (t sizeType) ValueFromString(_ context.Context, in basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return sizeValue{StringValue: in}, nil
}

func (t sizeType) ValueFromTerraform(ctx context.Context, in tftypes.Value) (attr.Value, error) {
	v, err := t.StringType.ValueFromTerraform(ctx, in)
	if err != nil {
		return nil, err
	}
	s, ok := v.(basetypes.StringValue)
	if !ok {
		return nil, fmt.Errorf("unexpected value type %T", v)
	}
	return sizeValue{StringValue: s}, nil
}

// sizeValue is a value of sizeType.
type sizeValue struct{ basetypes.StringValue }

func (v sizeValue) Type(context.Context) attr.Type { return sizeType{} }

func (v sizeValue) Equal(o attr.Value) bool {
	other, ok := o.(sizeValue)
	return ok && v.StringValue.Equal(other.StringValue)
}

// StringSemanticEquals compares by bytes.
func (v sizeValue) StringSemanticEquals(_ context.Context, o basetypes.StringValuable) (bool, diag.Diagnostics) {
	other, ok := o.(sizeValue)
	if !ok {
		return false, nil
	}
	a, errA := profile.ParseSize(v.ValueString())
	b, errB := profile.ParseSize(other.ValueString())
	return errA == nil && errB == nil && a == b, nil
}

func (v sizeValue) ValidateAttribute(_ context.Context, req xattr.ValidateAttributeRequest, resp *xattr.ValidateAttributeResponse) {
	if v.IsNull() || v.IsUnknown() {
		return
	}
	if _, err := profile.ParseSize(v.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid disk size", sentence(err.Error()))
	}
}
