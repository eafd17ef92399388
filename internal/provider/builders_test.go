package provider

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var builderLists = types.ListType{ElemType: types.StringType}

// noneGiven is a provider block without builders.
func noneGiven() *providerModel {
	return &providerModel{Builders: types.MapNull(builderLists), Remotes: types.MapNull(remotesSchema().GetType().(types.MapType).ElemType)}
}

// named is the provider's attribute builders: names of builders, with blanks between them.
func named(byArch map[string]string) types.Map {
	lists := map[string]attr.Value{}
	for arch, names := range byArch {
		var list []attr.Value
		for _, name := range strings.Fields(names) {
			list = append(list, types.StringValue(name))
		}
		lists[arch] = types.ListValueMust(types.StringType, list)
	}
	return types.MapValueMust(builderLists, lists)
}

// remotesOf is the provider's attribute remotes, with fields as they are given.
func remotesOf(t *testing.T, remotes map[string]map[string]attr.Value) types.Map {
	t.Helper()
	object := remotesSchema().(schema.MapNestedAttribute).NestedObject.Type().(types.ObjectType)
	all := map[string]attr.Value{}
	for name, given := range remotes {
		fields := map[string]attr.Value{}
		for field, typ := range object.AttrTypes {
			v, err := typ.ValueFromTerraform(t.Context(), tftypes.NewValue(typ.TerraformType(t.Context()), nil))
			if err != nil {
				t.Fatal(err)
			}
			fields[field] = v
		}
		maps.Copy(fields, given)
		all[name] = types.ObjectValueMust(object.AttrTypes, fields)
	}
	return types.MapValueMust(object, all)
}

func TestMergeBuilders(t *testing.T) {
	s := profile.Settings{
		Builders:          map[host.Arch][]string{host.X86_64: {"pve"}, host.ARM64: {"mac"}},
		Remotes:           map[string]profile.Remote{"pve": {Host: "old", User: "root"}, "mac": {Host: "mac"}},
		MaxParallelBuilds: 3,
	}
	home := t.TempDir()
	env := environment{home: func() (string, error) { return home, nil }}
	m := &providerModel{
		Builders: named(map[string]string{"x86_64": "lab local pve"}),
		Remotes: remotesOf(t, map[string]map[string]attr.Value{
			"pve": {"host": types.StringValue("new")},
			"lab": {
				"type": types.StringValue("ssh"), "host": types.StringValue("lab"), "port": types.Int64Value(2222), "user": types.StringValue("me"),
				"identity_file": types.StringValue("~/.ssh/lab"), "jump_host": types.StringValue("jump"), "known_hosts": types.StringValue("/etc/hosts"),
				"work_dir": types.StringValue("/srv/pim"), "max_parallel_builds": types.Int64Value(2), "reconnect_timeout": types.StringValue("0s"),
			},
		}),
	}
	got, diags := mergeBuilders(t.Context(), s, m, env)
	if diags.HasError() {
		t.Fatal(diags)
	}
	want := builderConfig{
		Builders: map[host.Arch][]string{host.X86_64: {"lab", "local", "pve"}, host.ARM64: {"mac"}},
		Remotes: map[string]profile.Remote{
			"mac": {Host: "mac"},
			"pve": {Type: "ssh", Host: "new", WorkDir: profile.DefaultWorkDir}, // the whole entry is replaced
			"lab": {
				Type: "ssh", Host: "lab", Port: 2222, User: "me", IdentityFile: filepath.Join(home, ".ssh/lab"), JumpHost: "jump",
				KnownHosts: "/etc/hosts", WorkDir: "/srv/pim", MaxParallelBuilds: 2, ReconnectTimeout: new(time.Duration),
			},
		},
		MaxParallel: 3,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if s.Builders[host.X86_64][0] != "pve" || s.Remotes["pve"].Host != "old" {
		t.Errorf("pim.yml's settings are now %+v", s)
	}
}

func TestMergeBuildersFaults(t *testing.T) {
	remotes := remotesOf(t, nil)
	object := remotes.ElementType(t.Context())
	for name, tc := range map[string]struct {
		builders, remotes types.Map
		at, want          string
	}{
		"unknown remote": {
			named(map[string]string{"x86_64": "local pvee"}), remotes,
			`builders["x86_64"]`, "Name one of local, pve, or add it to remotes",
		},
		"builders not known yet":  {types.MapUnknown(builderLists), remotes, "builders", "only known after an apply"},
		"names not known yet":     {types.MapValueMust(builderLists, map[string]attr.Value{"arm64": types.ListUnknown(types.StringType)}), remotes, `builders["arm64"]`, "only known"},
		"remotes not known yet":   {types.MapNull(builderLists), types.MapUnknown(object), "remotes", "only known after an apply"},
		"a remote's host unknown": {types.MapNull(builderLists), remotesOf(t, map[string]map[string]attr.Value{"a": {"host": types.StringUnknown()}}), `remotes["a"]`, "only known"},
		"another's home": {
			types.MapNull(builderLists), remotesOf(t, map[string]map[string]attr.Value{"a": {"host": types.StringValue("a"), "known_hosts": types.StringValue("~b/x")}}),
			`remotes["a"]`, "only your own home directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := profile.Settings{Remotes: map[string]profile.Remote{"pve": {Host: "pve"}}}
			_, diags := mergeBuilders(t.Context(), s, &providerModel{Builders: tc.builders, Remotes: tc.remotes}, systemEnvironment())
			if len(diags) != 1 {
				t.Fatalf("got %v", diags)
			}
			d, ok := diags[0].(diag.DiagnosticWithPath)
			if !ok || d.Path().String() != tc.at || !strings.Contains(d.Detail(), tc.want) {
				t.Errorf("got %v, want %q at %s", diags, tc.want, tc.at)
			}
		})
	}
}

// A broken pim.yml is told to who needs a builder.
func TestBuildersOfABrokenFile(t *testing.T) {
	w := newWorld(t)
	w.write("pim.yml", "build: {bilders: {}}\n")
	rt := w.runtime()
	if _, err := rt.route(host.X86_64, false); err == nil || !strings.Contains(err.Error(), "pim.yml:1:9: build.bilders: unknown field") {
		t.Errorf("got %v", err)
	}
}

// The provider's remotes have the fields that pim.yml's have.
func TestRemoteFields(t *testing.T) {
	var text strings.Builder
	text.WriteString("build:\n  remotes:\n    pve:\n")
	for _, name := range slices.Sorted(maps.Keys(remoteAttributes())) {
		value := map[string]string{"type": "ssh", "port": "1", "max_parallel_builds": "1", "reconnect_timeout": "1m"}[name]
		if value == "" {
			value = "/x"
		}
		text.WriteString("      " + name + ": " + value + "\n")
	}
	w := newWorld(t)
	w.write("pim.yml", text.String())
	if _, err := profile.LoadSettings(profile.Options{ConfigDir: w.config}); err != nil {
		t.Error(err)
	}
	fields := reflect.TypeFor[profile.Remote]().NumField()
	if got := len(remoteAttributes()); got != fields {
		t.Errorf("%d attributes for %d fields", got, fields)
	}
}
