package provider

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

func deploymentSchema(t *testing.T) schema.Schema {
	t.Helper()
	var r resource.SchemaResponse
	(&deploymentResource{}).Schema(t.Context(), resource.SchemaRequest{}, &r)
	return r.Schema
}

func TestDeploymentModelFitsItsSchema(t *testing.T) {
	ctx := t.Context()
	s := deploymentSchema(t)
	if diags := s.ValidateImplementation(ctx); diags.HasError() {
		t.Error(diags)
	}
	state := tfsdk.State{Schema: s, Raw: nullObject(ctx, s)}
	var m deploymentModel
	if diags := state.Get(ctx, &m); diags.HasError() {
		t.Fatal(diags)
	}
	if diags := state.Set(ctx, &m); diags.HasError() {
		t.Fatal(diags)
	}
}

// A block has the fields of targets.d but for the secrets, and each is described.
func TestBlocksHaveTheFieldsOfTargets(t *testing.T) {
	ctx := t.Context()
	for name, k := range targetKinds(deploy.Pace{}) {
		block := deploymentSchema(t).Blocks[name].(schema.SingleNestedBlock)
		var want, described []string
		for _, field := range deploy.Fields(k.blank()) {
			if !slices.Contains(k.secrets(), field) {
				want = append(want, field)
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(block.Attributes)); !slices.Equal(got, want) {
			t.Errorf("%s: the block has %v, want %v", name, got, want)
		}
		var look func(prefix string, attributes map[string]schema.Attribute)
		look = func(prefix string, attributes map[string]schema.Attribute) {
			for field, a := range attributes {
				described = append(described, prefix+field)
				if a.GetMarkdownDescription() == "" || !a.IsOptional() {
					t.Errorf("%s: %s%s is not described, or not optional", name, prefix, field)
				}
				if nested, ok := a.(schema.SingleNestedAttribute); ok {
					look(prefix+field+".", nested.Attributes)
				}
			}
		}
		look("", block.Attributes)
		slices.Sort(described)
		if docs := slices.Sorted(maps.Keys(fieldDocs[name])); !slices.Equal(docs, described) {
			t.Errorf("%s: described are %v, want %v", name, docs, described)
		}
		if diags := block.Type().ValueType(ctx); diags == nil {
			t.Errorf("%s has no type", name)
		}
	}
}

func TestFieldsOf(t *testing.T) {
	value := func(attributes map[string]attr.Value) types.Object {
		kinds := map[string]attr.Type{}
		for name, v := range attributes {
			kinds[name] = v.Type(t.Context())
		}
		return types.ObjectValueMust(kinds, attributes)
	}
	list := func(elements ...attr.Value) types.List { return types.ListValueMust(types.StringType, elements) }
	got := fieldsOf(value(map[string]attr.Value{
		"text": types.StringValue("a"), "number": types.Int64Value(7), "flag": types.BoolValue(false), "none": types.StringNull(),
		"list": list(types.StringValue("a")), "map": stringMap(map[string]string{"a": "b"}, nil),
		"object": value(map[string]attr.Value{"a": types.StringValue("b"), "none": types.StringNull()}),
		"later":  types.StringUnknown(), "part": list(types.StringValue("a"), types.StringUnknown()),
		"within": value(map[string]attr.Value{"a": stringMap(nil, map[string]bool{"x": true})}),
	}))
	want := map[string]any{
		"text": "a", "number": int64(7), "flag": false, "list": []any{"a"}, "map": map[string]any{"a": "b"}, "object": map[string]any{"a": "b"},
		"later": notYet{}, "part": notYet{}, "within": notYet{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// What belongs together comes from one place.
func TestLend(t *testing.T) {
	block := map[string]any{"endpoint": "https://block", "username": "u@pam", "password": "p", "fingerprint": "f"}
	env := map[string]any{"endpoint": "https://env", "api_token": "t", "insecure": true}
	for name, tc := range map[string]struct {
		given   map[string]any
		lenders []map[string]any
		want    map[string]any
		lent    []string
	}{
		"all of the block's": {
			given: map[string]any{}, lenders: []map[string]any{block, env}, want: block, lent: []string{"fingerprint", "password", "username"},
		},
		"all of the environment's": {given: map[string]any{}, lenders: []map[string]any{{}, env}, want: env, lent: []string{"api_token", "insecure"}},
		"own login": {
			given: map[string]any{"api_token_file": "x"}, lenders: []map[string]any{block, env},
			want: map[string]any{"api_token_file": "x", "endpoint": "https://block", "fingerprint": "f"}, lent: []string{"fingerprint"},
		},
		"own host": {
			given: map[string]any{"host": "x"}, lenders: []map[string]any{{}, env},
			want: map[string]any{"host": "x", "api_token": "t", "insecure": true}, lent: []string{"api_token", "insecure"},
		},
		"nobody's": {given: map[string]any{"node": "x"}, want: map[string]any{"node": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &runtime{lenders: tc.lenders, kinds: targetKinds(deploy.Pace{})}
			got, lent := r.lend(r.kinds[kindProxmox], tc.given)
			slices.Sort(lent)
			if !maps.Equal(got, tc.want) || !slices.Equal(lent, tc.lent) {
				t.Errorf("got %v, lent %v", got, lent)
			}
			if got, lent := r.lend(r.kinds[kindAWS], tc.given); !maps.Equal(got, tc.given) || lent != nil {
				t.Errorf("another type got %v, lent %v", got, lent)
			}
		})
	}
}

func TestLenders(t *testing.T) {
	env := func(vars map[string]string) environment {
		return environment{getenv: func(name string) string { return vars[name] }}
	}
	kinds := map[string]attr.Type{"endpoint": types.StringType, "insecure": types.BoolType}
	block := types.ObjectValueMust(kinds, map[string]attr.Value{"endpoint": types.StringUnknown(), "insecure": types.BoolNull()})
	got, diags := env(map[string]string{"PROXMOX_VE_INSECURE": "1", "PROXMOX_VE_USERNAME": "root@pam"}).lenders(block)
	want := []map[string]any{{"endpoint": notYet{}}, {"insecure": true, "username": "root@pam"}}
	if diags.HasError() || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, diags)
	}
	if _, diags := env(map[string]string{"PROXMOX_VE_INSECURE": "perhaps"}).lenders(types.ObjectNull(kinds)); !diags.HasError() {
		t.Error("PROXMOX_VE_INSECURE=perhaps was taken")
	}
	if got, _ := env(nil).lenders(types.ObjectUnknown(kinds)); got[0]["api_token"] != (notYet{}) {
		t.Errorf("of an unknown block came %v", got)
	}
}

// A login that is not known yet is no reason not to know the settings.
func TestPlaceWithAnUnknownLogin(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	rt.lenders = []map[string]any{{"endpoint": "https://pve.example.test", "api_token": notYet{}}}
	p := &place{kind: rt.kinds[kindProxmox]}
	diags := rt.complete(p, map[string]any{"node": "pve1", "storage": "lvm"})
	if diags.HasError() || !p.sealed || len(p.unknown) > 0 || p.stored["endpoint"] != "https://pve.example.test:8006" {
		t.Errorf("got %+v, %v", p, diags)
	}
	p = &place{kind: rt.kinds[kindProxmox]}
	diags = rt.complete(p, map[string]any{"node": notYet{}, "api_token": "t"})
	if diags.HasError() || !slices.Equal(p.unknown, []string{"node"}) || p.stored != nil {
		t.Errorf("got %+v, %v", p, diags)
	}
}

func TestPathsAreResolved(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	rt.env.home = func() (string, error) { return "/home/me", nil }
	s, err := rt.decode(rt.kinds[kindUTM], map[string]any{"output_dir": "~/utm"})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := deploy.Encode(s)
	if err != nil || stored["output_dir"] != "/home/me/utm" {
		t.Errorf("got %v, %v", stored, err)
	}
	for name, k := range rt.kinds {
		for _, field := range k.paths {
			if !slices.Contains(deploy.Fields(k.blank()), field) {
				t.Errorf("%s has no field %s", name, field)
			}
		}
		for _, field := range deploy.Fields(k.blank()) {
			if strings.HasSuffix(field, "_file") && !slices.Contains(k.paths, field) {
				t.Errorf("%s: %s is not resolved", name, field)
			}
		}
	}
}
