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
	imageAnswers

	Firmware types.String `tfsdk:"firmware"`
	TPM      types.Bool   `tfsdk:"tpm"`
	installerSettings
	RenderedAutoinstall types.String `tfsdk:"rendered_autoinstall"`

	Preseed         types.String `tfsdk:"preseed"`
	RenderedPreseed types.String `tfsdk:"rendered_preseed"`
	BootArgs        types.List   `tfsdk:"boot_args"`
	PasswordVersion types.Int64  `tfsdk:"password_version"`
	HTTPProxy       types.String `tfsdk:"http_proxy"`

	DiskSize       sizeValue    `tfsdk:"disk_size"`
	Memory         types.Int64  `tfsdk:"memory"`
	CPUs           types.Int64  `tfsdk:"cpus"`
	Verify         types.Bool   `tfsdk:"verify"`
	OnError        types.String `tfsdk:"on_error"`
	InstallTimeout types.String `tfsdk:"install_timeout"`
	SSHTimeout     types.String `tfsdk:"ssh_timeout"`
	ScriptTimeout  types.String `tfsdk:"script_timeout"`
	StallTimeout   types.String `tfsdk:"stall_timeout"`

	Inputs types.Map `tfsdk:"inputs"`
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
	m.imageAnswers = answersOf(p)

	m.Firmware = types.StringValue(p.Firmware)
	m.TPM = types.BoolValue(p.TPM)
	m.installerSettings = installerSettings{orNull(p.Installer), orNull(p.Autoinstall.Name), orNull(p.Answers)}
	m.Preseed = orNull(p.PreseedTemplate)
	switch p.Installer {
	case profile.Debian:
		m.RenderedPreseed = types.StringValue(got.answers)
	case profile.Ubuntu:
		m.RenderedAutoinstall = types.StringValue(got.answers)
	}
	m.BootArgs = stringList(p.BootArgs)
	m.PasswordVersion = types.Int64Value(p.PasswordVersion)
	m.HTTPProxy = orNull(p.HTTPProxy)

	m.DiskSize = sizeValue{basetypes.NewStringValue(formatSize(p.DiskSize))}
	m.Memory = types.Int64Value(p.Memory)
	m.CPUs = types.Int64Value(p.CPUs)
	m.Verify = types.BoolValue(p.Verify)
	m.OnError = types.StringValue(p.OnError)
	m.InstallTimeout = types.StringValue(p.InstallTimeout.String())
	m.SSHTimeout = types.StringValue(p.SSHTimeout.String())
	m.ScriptTimeout = types.StringValue(p.ScriptTimeout.String())
	m.StallTimeout = types.StringValue(p.StallTimeout.String())

	m.Inputs = plannedInputs(got.digests)
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
