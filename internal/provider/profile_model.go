package provider

import (
	"cmp"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// profileModel is a pim_profile.
type profileModel struct {
	Name          types.String  `tfsdk:"name"`
	Arch          types.String  `tfsdk:"arch"`
	Architectures types.List    `tfsdk:"architectures"`
	ISO           *profileISO   `tfsdk:"iso"`
	Base          *profileBase  `tfsdk:"base"`
	Scripts       []scriptModel `tfsdk:"scripts"`
	Install       *scriptModel  `tfsdk:"install"`
	sharedSettings

	RenderedPreseed     types.String `tfsdk:"rendered_preseed"`
	RenderedAutoinstall types.String `tfsdk:"rendered_autoinstall"`
	PasswordVersion     types.Int64  `tfsdk:"password_version"`
	HTTPProxy           types.String `tfsdk:"http_proxy"`
	Inputs              types.Map    `tfsdk:"inputs"`
}

// profileISO is the ISO of a profile.
type profileISO struct {
	Name     types.String `tfsdk:"name"`
	URL      types.String `tfsdk:"url"`
	Path     types.String `tfsdk:"path"`
	SHA256   types.String `tfsdk:"sha256"`
	Filename types.String `tfsdk:"filename"`
}

// profileBase is the base image of a profile.
type profileBase struct {
	Source   types.String `tfsdk:"source"`
	SHA256   types.String `tfsdk:"sha256"`
	Filename types.String `tfsdk:"filename"`
}

// scriptModel is a script of a profile.
type scriptModel struct {
	Name   types.String `tfsdk:"name"`
	Path   types.String `tfsdk:"path"`
	SHA256 types.String `tfsdk:"sha256"`
}

// fill describes what a profile resolves to.
func (m *profileModel) fill(got *resolution) {
	p, s := got.profile, got.spec
	m.Arch = types.StringValue(string(p.Arch))
	m.Architectures = stringList(p.Architectures)
	if p.ISO != (profile.ISO{}) {
		m.ISO = &profileISO{
			Name: orNull(p.ISO.Name), URL: orNull(p.ISO.URL), Path: orNull(p.ISO.Path),
			SHA256: types.StringValue(s.ISO.SHA256), Filename: orNull(p.ISO.Filename),
		}
	}
	if s.FromBase() {
		m.Base = &profileBase{
			Source: types.StringValue(cmp.Or(p.Base.URL, p.Base.Path)), SHA256: types.StringValue(s.Base.SHA256), Filename: orNull(p.Base.Filename),
		}
	}
	m.Scripts = make([]scriptModel, len(p.Scripts))
	for i, sc := range p.Scripts {
		m.Scripts[i] = describeScript(sc)
	}
	if !s.FromBase() {
		install := describeScript(p.Install)
		m.Install = &install
	}
	m.sharedSettings = settingsOf(p)
	switch p.Installer {
	case profile.Debian:
		m.RenderedPreseed = types.StringValue(got.answers)
	case profile.Ubuntu:
		m.RenderedAutoinstall = types.StringValue(got.answers)
	}
	m.PasswordVersion = types.Int64Value(p.PasswordVersion)
	m.HTTPProxy = orNull(p.HTTPProxy)
	m.Inputs = plannedInputs(got.digests)
}

func settingsOf(p *profile.Resolved) sharedSettings {
	return sharedSettings{
		Firmware: types.StringValue(p.Firmware), TPM: types.BoolValue(p.TPM),
		Installer: orNull(p.Installer), Autoinstall: orNull(p.Autoinstall.Name), Answers: orNull(p.Answers),
		Preseed: orNull(p.PreseedTemplate), BootArgs: stringList(p.BootArgs), imageAnswers: answersOf(p),
		DiskSize: sizeValue{basetypes.NewStringValue(formatSize(p.DiskSize))}, Memory: types.Int64Value(p.Memory), CPUs: types.Int64Value(p.CPUs),
		Verify: types.BoolValue(p.Verify), OnError: types.StringValue(p.OnError),
		InstallTimeout: types.StringValue(p.InstallTimeout.String()), SSHTimeout: types.StringValue(p.SSHTimeout.String()),
		ScriptTimeout: types.StringValue(p.ScriptTimeout.String()), StallTimeout: types.StringValue(p.StallTimeout.String()),
	}
}

func answersOf(p *profile.Resolved) imageAnswers {
	return imageAnswers{
		Packages: stringList(p.Packages),
		Hostname: orNull(p.Hostname), Domain: orNull(p.Domain), Username: orNull(p.Username), Fullname: orNull(p.Fullname),
		Timezone: orNull(p.Timezone), Locale: orNull(p.Locale), Keyboard: orNull(p.Keyboard),
		MirrorHost: orNull(p.MirrorHost), MirrorPath: orNull(p.MirrorPath),
		PartitioningMethod: orNull(p.PartitioningMethod), PartitioningRecipe: orNull(p.PartitioningRecipe),
		Tasksel: orNull(p.Tasksel), GrubDevice: orNull(p.GrubDevice), AuthorizedKeysURL: orNull(p.AuthorizedKeysURL),
	}
}

func describeScript(s profile.Script) scriptModel {
	return scriptModel{Name: types.StringValue(s.Name), Path: types.StringValue(s.Path), SHA256: types.StringValue(s.SHA256)}
}

// orNull is null for a setting that is not set, so that it can be told from one set to "".
func orNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

func stringList[S ~string](in []S) types.List {
	elements := make([]attr.Value, len(in))
	for i, s := range in {
		elements[i] = types.StringValue(string(s))
	}
	return types.ListValueMust(types.StringType, elements)
}
