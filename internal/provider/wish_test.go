package provider

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func ptr[T any](v T) *T { return &v }

// isoAttributeTypes is the type of the iso object.
func isoAttributeTypes() map[string]attr.Type {
	types := map[string]attr.Type{}
	for _, name := range []string{"name", "url", "path", "sha256", "checksum_url", "filename"} {
		types[name] = basetypes.StringType{}
	}
	return types
}

// isoObject is an iso attribute with the given fields; the others are null.
func isoObject(fields map[string]attr.Value) types.Object {
	all := map[string]attr.Value{}
	for name := range isoAttributeTypes() {
		all[name] = types.StringNull()
	}
	maps.Copy(all, fields)
	return types.ObjectValueMust(isoAttributeTypes(), all)
}

func words(in ...string) types.List { return stringList(in) }

func TestWishOfSettings(t *testing.T) {
	m := imageModel{
		Profile:           types.StringValue("developer"),
		Arch:              types.StringValue("arm64"),
		Emulation:         types.BoolValue(true),
		PasswordWOVersion: types.Int64Value(2),
		Triggers:          types.MapValueMust(types.StringType, map[string]attr.Value{"week": types.StringValue("7"), "none": types.StringNull()}),
		imageSettings: imageSettings{
			Scripts: words("base", "./x.sh"),
			sharedSettings: sharedSettings{
				Firmware: types.StringValue("uefi"), BootArgs: words(),
				imageAnswers: imageAnswers{Hostname: types.StringValue("dev"), Packages: words("git")},
				DiskSize:     sizeValue{basetypes.NewStringValue("8G")}, Memory: types.Int64Value(4096), Verify: types.BoolValue(false),
				TPM: types.BoolValue(true), OnError: types.StringValue("keep"), StallTimeout: types.StringValue("5m"),
			},
		},
	}
	w := m.wish()
	want := profile.Request{
		Name: "developer", Arch: host.ARM64,
		Override: profile.Profile{
			Firmware: ptr("uefi"), Scripts: []string{"base", "./x.sh"}, BootArgs: []string{}, Packages: []string{"git"}, Hostname: ptr("dev"),
			TPM: ptr(true), DiskSize: ptr(int64(8 << 30)), Memory: ptr(int64(4096)), Verify: ptr(false), OnError: ptr("keep"),
			StallTimeout: ptr(5 * time.Minute), PasswordVersion: ptr(int64(2)),
		},
	}
	if !reflect.DeepEqual(w.request, want) {
		t.Errorf("got  %+v\nwant %+v", w.request, want)
	}
	if !w.emulation || !maps.Equal(w.triggers, map[string]string{"week": "7", "none": ""}) {
		t.Errorf("emulation %v, triggers %v", w.emulation, w.triggers)
	}
	if w.unknown.opaque || len(w.unknown.parts) > 0 {
		t.Errorf("something is unknown: %+v", w.unknown)
	}
}

func TestWishOfNothing(t *testing.T) {
	if w := (&imageModel{}).wish(); !reflect.DeepEqual(w.request, profile.Request{}) {
		t.Errorf("nothing said becomes %+v", w.request)
	}
}

func TestUnknownValuesMakeTheirPartsUnknown(t *testing.T) {
	unknown := types.StringUnknown()
	for _, tc := range []struct {
		name   string
		set    func(*imageModel)
		parts  string
		opaque bool
	}{
		{name: "profile", set: func(m *imageModel) { m.Profile = unknown }, opaque: true},
		{name: "arch", set: func(m *imageModel) { m.Arch = unknown }, opaque: true},
		{name: "scripts", set: func(m *imageModel) { m.Scripts = types.ListUnknown(types.StringType) }, opaque: true},
		{name: "one script", opaque: true, set: func(m *imageModel) {
			m.Scripts = types.ListValueMust(types.StringType, []attr.Value{types.StringValue("base"), unknown})
		}},
		{name: "triggers", set: func(m *imageModel) { m.Triggers = types.MapUnknown(types.StringType) }, opaque: true},
		{name: "password version", set: func(m *imageModel) { m.PasswordWOVersion = types.Int64Unknown() }, opaque: true},
		{name: "tpm", set: func(m *imageModel) { m.TPM = types.BoolUnknown() }, opaque: true}, // a part only when it is true
		{name: "one trigger", parts: "trigger:x", set: func(m *imageModel) {
			m.Triggers = types.MapValueMust(types.StringType, map[string]attr.Value{"x": unknown, "y": types.StringValue("1")})
		}},
		{name: "hostname", set: func(m *imageModel) { m.Hostname = unknown }, parts: "preseed"},
		{name: "firmware", set: func(m *imageModel) { m.Firmware = unknown }, parts: "firmware preseed"},
		{name: "disk size", set: func(m *imageModel) { m.DiskSize = sizeValue{basetypes.NewStringUnknown()} }, parts: "disk_size"},
		{name: "a package", parts: "preseed", set: func(m *imageModel) {
			m.Packages = types.ListValueMust(types.StringType, []attr.Value{unknown})
		}},
		{name: "memory is not in the key", set: func(m *imageModel) { m.Memory = types.Int64Unknown() }},
		{name: "the password is not in the key", set: func(m *imageModel) { m.PasswordWO = unknown }},
		{name: "iso", set: func(m *imageModel) { m.ISO = types.ObjectUnknown(isoAttributeTypes()) }, parts: "iso"},
		{name: "iso path", set: func(m *imageModel) { m.ISO = isoObject(map[string]attr.Value{"path": unknown}) }, parts: "iso"},
		{name: "iso digest", parts: "iso", set: func(m *imageModel) {
			m.ISO = isoObject(map[string]attr.Value{"url": types.StringValue("https://example.test/a.iso"), "sha256": unknown})
		}},
		{name: "iso url with its digest", set: func(m *imageModel) {
			m.ISO = isoObject(map[string]attr.Value{"url": unknown, "sha256": types.StringValue(strings.Repeat("a", 64))})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := imageModel{Profile: types.StringValue("p")}
			tc.set(&m)
			w := m.wish()
			if w.unknown.opaque != tc.opaque {
				t.Errorf("opaque is %v", w.unknown.opaque)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(w.unknown.parts)), " "); got != tc.parts {
				t.Errorf("unknown parts %q, want %q", got, tc.parts)
			}
		})
	}
}

func TestInlineISO(t *testing.T) {
	sum := strings.Repeat("a", 64)
	text := func(s string) attr.Value { return types.StringValue(s) }
	for _, tc := range []struct {
		name    string
		fields  map[string]attr.Value
		want    *profile.ISO
		catalog *string
	}{
		{name: "catalogue", fields: map[string]attr.Value{"name": text("debian")}, catalog: ptr("debian")},
		{
			name: "url", fields: map[string]attr.Value{"url": text("https://example.test/a.iso"), "sha256": text(sum)},
			want: &profile.ISO{URL: "https://example.test/a.iso", SHA256: sum},
		},
		{
			name:   "checksum url and file name",
			fields: map[string]attr.Value{"url": text("https://example.test/get"), "checksum_url": text("https://example.test/S"), "filename": text("b.iso")},
			want:   &profile.ISO{URL: "https://example.test/get", ChecksumURL: "https://example.test/S", Filename: "b.iso"},
		},
		{name: "path", fields: map[string]attr.Value{"path": text("/srv/c.iso")}, want: &profile.ISO{Path: "/srv/c.iso"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := (&imageModel{ISO: isoObject(tc.fields)}).wish()
			if !reflect.DeepEqual(w.request.ISO, tc.want) || !reflect.DeepEqual(w.request.Override.ISO, tc.catalog) {
				t.Errorf("got %+v and %v", w.request.ISO, w.request.Override.ISO)
			}
		})
	}
}

func TestISOFaults(t *testing.T) {
	text, sum := types.StringValue, types.StringValue(strings.Repeat("a", 64))
	for _, tc := range []struct {
		name string
		iso  isoModel
		want string // a word of the fault, "" for none
	}{
		{name: "empty", want: "one of"},
		{name: "name", iso: isoModel{Name: text("debian")}},
		{name: "name and digest", iso: isoModel{Name: text("debian"), SHA256: sum}, want: "name alone"},
		{name: "url and path", iso: isoModel{URL: text("https://example.test/a"), Path: text("/a")}, want: "one of"},
		{name: "url without digest", iso: isoModel{URL: text("https://example.test/a")}, want: "verified"},
		{name: "url", iso: isoModel{URL: text("https://example.test/a"), SHA256: sum}},
		{name: "two digests", iso: isoModel{URL: text("https://example.test/a"), SHA256: sum, ChecksumURL: text("https://example.test/S")}, want: "not both"},
		{name: "path", iso: isoModel{Path: text("/a")}},
		{name: "path and checksum url", iso: isoModel{Path: text("/a"), ChecksumURL: text("https://example.test/S")}, want: "with a url"},
		{name: "unknown url", iso: isoModel{URL: types.StringUnknown()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.iso.fault()
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
