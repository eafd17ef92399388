package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
)

func TestSchemas(t *testing.T) {
	ctx := t.Context()

	var p provider.SchemaResponse
	New("test")().Schema(ctx, provider.SchemaRequest{}, &p)
	if diags := p.Schema.ValidateImplementation(ctx); diags.HasError() {
		t.Error(diags)
	}
	for _, source := range New("test")().DataSources(ctx) {
		var d datasource.SchemaResponse
		source().Schema(ctx, datasource.SchemaRequest{}, &d)
		if diags := d.Schema.ValidateImplementation(ctx); diags.HasError() {
			t.Error(diags)
		}
	}
	var i resource.IdentitySchemaResponse
	(&imageResource{}).IdentitySchema(ctx, resource.IdentitySchemaRequest{}, &i)
	if diags := i.IdentitySchema.ValidateImplementation(ctx); diags.HasError() {
		t.Error(diags)
	}
	s := imageSchema(t)
	if diags := s.ValidateImplementation(ctx); diags.HasError() {
		t.Error(diags)
	}
}

func imageSchema(t *testing.T) schema.Schema {
	t.Helper()
	var r resource.SchemaResponse
	(&imageResource{}).Schema(t.Context(), resource.SchemaRequest{}, &r)
	return r.Schema
}

func TestImageModelFitsItsSchema(t *testing.T) {
	ctx := t.Context()
	s := imageSchema(t)
	state := tfsdk.State{Schema: s, Raw: nullObject(ctx, s)}
	var m imageModel
	if diags := state.Get(ctx, &m); diags.HasError() {
		t.Fatal(diags)
	}
	if diags := state.Set(ctx, &m); diags.HasError() {
		t.Fatal(diags)
	}
}

// No configured attribute forces a replacement: ModifyPlan does, for the inputs that changed.
func TestNoAttributeHasAPlanModifier(t *testing.T) {
	for name, a := range imageSchema(t).Attributes {
		if a.IsWriteOnly() != strings.HasSuffix(name, "_wo") {
			t.Errorf("%s: write-only is %v", name, a.IsWriteOnly())
		}
		if a.GetMarkdownDescription() == "" {
			t.Errorf("%s has no description", name)
		}
		if s, ok := a.(schema.StringAttribute); ok && len(s.PlanModifiers) > 0 {
			t.Errorf("%s has a plan modifier", name)
		}
	}
}

func TestSettingsOfProfileAndImageAreDescribedOnce(t *testing.T) {
	for name, text := range settingDocs {
		if _, ok := imageSchema(t).Attributes[name]; !ok {
			t.Errorf("%s is described but no attribute", name)
		}
		if !strings.HasSuffix(strings.TrimSpace(text), ".") {
			t.Errorf("%s: %q is no sentence", name, text)
		}
	}
}
