package provider

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var _ datasource.DataSourceWithConfigure = (*profileDataSource)(nil)

// profileDataSource is pim_profile.
type profileDataSource struct{ rt *runtime }

func newProfileDataSource() datasource.DataSource { return &profileDataSource{} }

func (d *profileDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_profile"
}

func (d *profileDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.rt = fromProvider(req.ProviderData, &resp.Diagnostics)
}

func (d *profileDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := map[string]schema.Attribute{
		"name": schema.StringAttribute{Required: true, MarkdownDescription: "Name of the profile in `profiles.d`."},
		"arch": schema.StringAttribute{
			Optional: true, Computed: true,
			MarkdownDescription: settingDocs["arch"] + " The default is the profile's only architecture, or this machine's.",
			Validators:          []validator.String{architectures.validator()},
		},
		"architectures": computedList("Every architecture the profile allows."),
		"iso": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "The installer ISO; null when the catalogue has none for the architecture.",
			Attributes: map[string]schema.Attribute{
				"name":     computedText("Name in the catalogue, `isos.d`."),
				"url":      computedText("URL it is downloaded from."),
				"path":     computedText("Path, when it is a local file."),
				"sha256":   computedText("SHA-256 of the ISO, in hexadecimal."),
				"filename": computedText("Name of the file."),
			},
		},
		"base": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "The base image, for a profile that begins with one instead of an installation; null else.",
			Attributes: map[string]schema.Attribute{
				"source":   computedText("URL it is downloaded from, or path of a local file."),
				"sha256":   computedText("SHA-256 of the image, in hexadecimal."),
				"filename": computedText("Name of the file."),
			},
		},
		"scripts": schema.ListNestedAttribute{
			Computed: true, MarkdownDescription: "Provisioning scripts, in the order they run in.",
			NestedObject: schema.NestedAttributeObject{Attributes: scriptAttributes()},
		},
		"install": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "Post-install script, run by the installer in the new system; null with a `base`.",
			Attributes: scriptAttributes(),
		},
		"rendered_preseed": schema.StringAttribute{
			Computed: true, Sensitive: true,
			MarkdownDescription: "The answers to Debian's installer as they go into the key: without the password and what differs from build " +
				"to build. Null for another installer, and with a `base`.",
		},
		"rendered_autoinstall": schema.StringAttribute{
			Computed: true, Sensitive: true,
			MarkdownDescription: "The answers to Ubuntu's installer as they go into the key: the cloud-config with what `autoinstall` merges " +
				"over it, without secrets and what differs from build to build. Null for another installer, and with a `base`.",
		},
		"password_version": schema.Int64Attribute{
			Computed: true, MarkdownDescription: "Version of the profile's password, `0` when it is not counted. The password itself is never shown.",
		},
		"http_proxy": schema.StringAttribute{
			Computed: true, Sensitive: true, // it may hold credentials
			MarkdownDescription: "HTTP proxy that guests use during a build, where the provider's `http_proxy` does not override it.",
		},
		"inputs": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Every input of the profile's image by name, as in `pim_image`, for its `inputs_lock`. " +
				"Without an ISO there is none named `iso`: the image has to give its ISO inline.",
		},
	}
	maps.Copy(attributes, computedSettings())
	resp.Schema = schema.Schema{
		MarkdownDescription: "A profile as the provider resolves it: the defaults, the profile over them, and every reference followed. " +
			"Reading it never downloads an ISO.",
		Attributes: attributes,
	}
}

// computedSettings are the settings that go by the same names in pim_image.
func computedSettings() map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{
		"packages":  computedList(settingDocs["packages"]),
		"boot_args": computedList(settingDocs["boot_args"]),
		"disk_size": schema.StringAttribute{Computed: true, CustomType: sizeType{}, MarkdownDescription: settingDocs["disk_size"]},
		"memory":    schema.Int64Attribute{Computed: true, MarkdownDescription: settingDocs["memory"]},
		"cpus":      schema.Int64Attribute{Computed: true, MarkdownDescription: settingDocs["cpus"]},
		"tpm":       schema.BoolAttribute{Computed: true, MarkdownDescription: settingDocs["tpm"]},
		"verify":    schema.BoolAttribute{Computed: true, MarkdownDescription: settingDocs["verify"]},
	}
	for _, name := range []string{
		"firmware", "installer", "autoinstall", "answers", "preseed", "hostname", "domain", "username", "fullname", "timezone", "locale", "keyboard", "mirror_host",
		"mirror_path", "partitioning_method", "partitioning_recipe", "tasksel", "grub_device", "authorized_keys_url", "on_error",
		"install_timeout", "ssh_timeout", "script_timeout", "stall_timeout",
	} {
		attributes[name] = computedText(settingDocs[name])
	}
	return attributes
}

func scriptAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"name":   computedText("Name, as in the profile."),
		"path":   computedText("Path of the file; one that the provider brings along begins with `embedded:`."),
		"sha256": computedText("SHA-256 of the script, in hexadecimal."),
	}
}

func computedText(description string) schema.StringAttribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}

func computedList(description string) schema.ListAttribute {
	return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
}

// Read resolves the profile.
func (d *profileDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m profileModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	w := wish{request: profile.Request{Name: m.Name.ValueString(), Arch: host.Arch(m.Arch.ValueString()), NoISO: true}}
	at := attributes{profile: path.Root("name"), own: func(name string) bool { return name == "arch" }}
	got, err := d.rt.resolve(ctx, w)
	if err != nil {
		resp.Diagnostics.Append(resolveDiagnostics(err, at)...)
		return
	}
	m.fill(got)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
