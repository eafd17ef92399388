package provider

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// imageModel is a pim_image in configuration, plan and state.
type imageModel struct {
	Profile    types.String `tfsdk:"profile"`
	Arch       types.String `tfsdk:"arch"`
	ISO        types.Object `tfsdk:"iso"`
	Base       types.Object `tfsdk:"base"`
	Triggers   types.Map    `tfsdk:"triggers"`
	InputsLock types.Map    `tfsdk:"inputs_lock"`
	imageSettings

	PasswordWO        types.String `tfsdk:"password_wo"`
	PasswordWOVersion types.Int64  `tfsdk:"password_wo_version"`

	Emulation     types.Bool     `tfsdk:"emulation"`
	KeepOnDestroy types.Bool     `tfsdk:"keep_on_destroy"`
	Fetch         types.Bool     `tfsdk:"fetch"`
	Timeouts      timeouts.Value `tfsdk:"timeouts"`
	Reference     types.String   `tfsdk:"reference"`

	imageResult
}

// imageSettings are the settings that override the profile's.
type imageSettings struct {
	sharedSettings
	Install types.String `tfsdk:"install"`
	Scripts types.List   `tfsdk:"scripts"`
}

// sharedSettings are the settings that a pim_profile reports as a pim_image has them.
type sharedSettings struct {
	Firmware types.String `tfsdk:"firmware"`
	TPM      types.Bool   `tfsdk:"tpm"`

	Installer   types.String `tfsdk:"installer"`
	Autoinstall types.String `tfsdk:"autoinstall"`
	Answers     types.String `tfsdk:"answers"`
	Preseed     types.String `tfsdk:"preseed"`
	BootArgs    types.List   `tfsdk:"boot_args"`
	imageAnswers

	DiskSize sizeValue    `tfsdk:"disk_size"`
	Memory   types.Int64  `tfsdk:"memory"`
	CPUs     types.Int64  `tfsdk:"cpus"`
	Verify   types.Bool   `tfsdk:"verify"`
	OnError  types.String `tfsdk:"on_error"`

	InstallTimeout types.String `tfsdk:"install_timeout"`
	SSHTimeout     types.String `tfsdk:"ssh_timeout"`
	ScriptTimeout  types.String `tfsdk:"script_timeout"`
	StallTimeout   types.String `tfsdk:"stall_timeout"`
}

// imageAnswers are the answers to the installer's questions.
type imageAnswers struct {
	Packages types.List `tfsdk:"packages"`

	Hostname types.String `tfsdk:"hostname"`
	Domain   types.String `tfsdk:"domain"`
	Username types.String `tfsdk:"username"`
	Fullname types.String `tfsdk:"fullname"`
	Timezone types.String `tfsdk:"timezone"`
	Locale   types.String `tfsdk:"locale"`
	Keyboard types.String `tfsdk:"keyboard"`

	MirrorHost         types.String `tfsdk:"mirror_host"`
	MirrorPath         types.String `tfsdk:"mirror_path"`
	PartitioningMethod types.String `tfsdk:"partitioning_method"`
	PartitioningRecipe types.String `tfsdk:"partitioning_recipe"`
	Tasksel            types.String `tfsdk:"tasksel"`
	GrubDevice         types.String `tfsdk:"grub_device"`
	AuthorizedKeysURL  types.String `tfsdk:"authorized_keys_url"`
}

// imageResult is what only a build can tell.
type imageResult struct {
	ID           types.String `tfsdk:"id"`
	Name         types.String `tfsdk:"name"`
	Inputs       types.Map    `tfsdk:"inputs"`
	Path         types.String `tfsdk:"path"`
	SHA256       types.String `tfsdk:"sha256"`
	SizeBytes    types.Int64  `tfsdk:"size_bytes"`
	VirtualBytes types.Int64  `tfsdk:"virtual_size_bytes"`
	Format       types.String `tfsdk:"format"`
	BuiltAt      types.String `tfsdk:"built_at"`
	Builder      types.String `tfsdk:"builder"`
	Accelerator  types.String `tfsdk:"accelerator"`
	Status       types.String `tfsdk:"status"`
	LogPath      types.String `tfsdk:"log_path"`
	ManifestPath types.String `tfsdk:"manifest_path"`
}

// isoModel is the iso attribute.
type isoModel struct {
	Name        types.String `tfsdk:"name"`
	URL         types.String `tfsdk:"url"`
	Path        types.String `tfsdk:"path"`
	SHA256      types.String `tfsdk:"sha256"`
	ChecksumURL types.String `tfsdk:"checksum_url"`
	Filename    types.String `tfsdk:"filename"`
}

// unknownResult is the result of a build that has yet to run.
func unknownResult() imageResult {
	return imageResult{
		ID:           types.StringUnknown(),
		Name:         types.StringUnknown(),
		Inputs:       types.MapUnknown(types.StringType),
		Path:         types.StringUnknown(),
		SHA256:       types.StringUnknown(),
		SizeBytes:    types.Int64Unknown(),
		VirtualBytes: types.Int64Unknown(),
		Format:       types.StringUnknown(),
		BuiltAt:      types.StringUnknown(),
		Builder:      types.StringUnknown(),
		Accelerator:  types.StringUnknown(),
		Status:       types.StringUnknown(),
		LogPath:      types.StringUnknown(),
		ManifestPath: types.StringUnknown(),
	}
}

// resultOf describes an image that builder keeps.
func resultOf(img *cache.Image, builder, logPath string) imageResult {
	m := img.Manifest
	return imageResult{
		ID:           types.StringValue(m.Key),
		Name:         types.StringValue(m.Name),
		Inputs:       stringMap(m.Inputs, nil),
		Path:         types.StringValue(img.Path),
		SHA256:       types.StringValue(m.SHA256),
		SizeBytes:    types.Int64Value(m.SizeBytes),
		VirtualBytes: types.Int64Value(m.VirtualSizeBytes),
		Format:       types.StringValue(m.Format),
		BuiltAt:      types.StringValue(m.BuiltAt.UTC().Format(time.RFC3339)),
		Builder:      types.StringValue(builder),
		Accelerator:  types.StringValue(m.Accelerator),
		Status:       types.StringValue(statusOK),
		LogPath:      types.StringValue(logPath),
		ManifestPath: types.StringValue(img.ManifestPath),
	}
}

// plannedInputs is the inputs attribute of a plan: unknown element by element.
func plannedInputs(d digests) types.Map {
	if d.opaque {
		return types.MapUnknown(types.StringType)
	}
	return stringMap(d.parts, d.unknown)
}

func stringMap(m map[string]string, unknown map[string]bool) types.Map {
	elements := make(map[string]attr.Value, len(m))
	for k, v := range m {
		elements[k] = types.StringValue(v)
	}
	for k := range unknown {
		elements[k] = types.StringUnknown()
	}
	return types.MapValueMust(types.StringType, elements)
}

// knownStrings returns the known, non-null elements of a map of strings.
func knownStrings(m types.Map) map[string]string {
	out := map[string]string{}
	for k, v := range m.Elements() {
		if s, ok := v.(types.String); ok && !s.IsNull() && !s.IsUnknown() {
			out[k] = s.ValueString()
		}
	}
	return out
}

// storedIn is what a state says of its image, nil for no state.
func storedIn(m *imageModel) *stored {
	if m == nil {
		return nil
	}
	status := m.Status.ValueString()
	if status == "" { // a state that was saved by a Create that failed
		status = statusMissing
	}
	return &stored{key: m.ID.ValueString(), inputs: knownStrings(m.Inputs), status: status}
}
