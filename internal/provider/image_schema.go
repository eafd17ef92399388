package provider

import (
	"context"
	"maps"
	"regexp"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// defaultCreateTimeout leaves room for an untrimmed installation by emulation.
const defaultCreateTimeout = 4 * time.Hour

const imageDescription = "A golden image: an operating system installed from its installer ISO, or a cloud image (`base`), provisioned by shell scripts, " +
	"made generic for cloud-init, and stored as one standalone qcow2 file.\n\n" +
	"The `id` is derived from everything that goes into the image. When one of those inputs changes, also when only the text of " +
	"a script does, the plan replaces the image and names the input. An image with the same inputs that is already stored is " +
	"used as it is.\n\n" +
	"Settings come from the profile, when one is named, over the defaults; each setting given here overrides the profile's. " +
	"An image can be declared with no profile at all."

func (r *imageResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := contentAttributes()
	maps.Copy(attributes, answerAttributes())
	maps.Copy(attributes, buildAttributes())
	maps.Copy(attributes, resultAttributes())
	resp.Schema = schema.Schema{
		MarkdownDescription: imageDescription,
		Attributes:          attributes,
		Blocks: map[string]schema.Block{
			"timeouts": timeouts.Block(ctx, timeouts.Opts{
				Create: true,
				CreateDescription: "Longest time a build may take, such as \"90m\"; default " + defaultCreateTimeout.String() +
					". Waiting for another build of the same image does not count.",
			}),
		},
	}
}

func (r *imageResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{
		Attributes: map[string]identityschema.Attribute{
			"id": identityschema.StringAttribute{
				RequiredForImport: true,
				Description:       "Cache key of the image.",
			},
		},
	}
}

// contentAttributes say what the image is made of.
func contentAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"profile": text("Name of the profile in `profiles.d` that the image is made from."),
		"arch": schema.StringAttribute{
			Optional: true, Computed: true,
			MarkdownDescription: settingDocs["arch"] + " The default is the profile's only architecture, or this machine's.",
			Validators:          []validator.String{architectures.validator()},
		},
		"firmware":  enum("firmware", firmwares),
		"tpm":       schema.BoolAttribute{Optional: true, MarkdownDescription: settingDocs["tpm"]},
		"installer": enum("installer", installers),
		"iso":       isoAttribute(),
		"base":      baseAttribute(),
		"scripts":   list("scripts"),
		"disk_size": schema.StringAttribute{Optional: true, CustomType: sizeType{}, MarkdownDescription: settingDocs["disk_size"]},
		"triggers": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Values of your own that are part of the key, each under its name: a change of one rebuilds the image.",
		},
		"inputs_lock": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Inputs the image must have, by name, as in `inputs`: usually `data.pim_profile.example.inputs`. " +
				"The data source is not read again during an apply, so a file that changes between a saved plan and its apply is " +
				"an error of its own instead of an inconsistent plan. Settings given inline change inputs too; lock only the names " +
				"that they leave alone.",
		},
	}
}

// answerAttributes are the answers to the installer's questions.
func answerAttributes() map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{
		"packages":  list("packages"),
		"boot_args": list("boot_args"),
		"answers":   enum("answers", deliveries),
		"password_wo": schema.StringAttribute{
			Optional: true, Sensitive: true, WriteOnly: true,
			MarkdownDescription: "Password of the account the installer makes, instead of the profile's. It is only ever hashed, is in " +
				"neither plan nor state, and is not part of the key: raise `password_wo_version` with it.",
			Validators: []validator.String{
				stringvalidator.LengthAtLeast(1),
				stringvalidator.AlsoRequires(path.MatchRoot("password_wo_version")),
			},
		},
		"password_wo_version": schema.Int64Attribute{
			Optional: true,
			MarkdownDescription: "Version of the password, counted by you from 1: a change rebuilds the image with the password given then. " +
				"It overrides the profile's `password_version`.",
			Validators: []validator.Int64{int64validator.AtLeast(1)},
		},
	}
	for _, name := range []string{
		"preseed", "autoinstall", "install", "hostname", "domain", "username", "fullname", "timezone", "locale", "keyboard", "mirror_host",
		"mirror_path", "partitioning_method", "partitioning_recipe", "tasksel", "grub_device", "authorized_keys_url",
	} {
		attributes[name] = text(settingDocs[name])
	}
	return attributes
}

// buildAttributes say how to build; none of them changes the image.
func buildAttributes() map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{
		"memory": schema.Int64Attribute{
			Optional: true, MarkdownDescription: settingDocs["memory"],
			Validators: []validator.Int64{int64validator.AtLeast(128)},
		},
		"cpus": schema.Int64Attribute{
			Optional: true, MarkdownDescription: settingDocs["cpus"],
			Validators: []validator.Int64{int64validator.Between(1, 255)},
		},
		"verify":   schema.BoolAttribute{Optional: true, MarkdownDescription: settingDocs["verify"]},
		"on_error": enum("on_error", onErrors),
		"emulation": schema.BoolAttribute{
			Optional: true,
			MarkdownDescription: "Whether the build may emulate the CPU when this machine cannot accelerate the image's architecture; " +
				"default `false`. An emulated installation takes about an hour.",
		},
		"fetch": schema.BoolAttribute{
			Optional: true,
			MarkdownDescription: "Whether an image that another machine built is copied into this machine's `data_dir`; default `false`. " +
				"A `pim_deployment` does not need it: it reads the image where it is.",
		},
		"keep_on_destroy": schema.BoolAttribute{
			Optional: true,
			MarkdownDescription: "Whether the stored file outlives the resource; default `false`: the file goes with the last resource " +
				"that uses it. Like any setting, it must have been applied before the destroy to have an effect on it.",
		},
	}
	for _, name := range []string{"install_timeout", "ssh_timeout", "script_timeout", "stall_timeout"} {
		attributes[name] = schema.StringAttribute{
			Optional: true, MarkdownDescription: settingDocs[name] + " It does not change the image.",
			Validators: []validator.String{positiveDuration{}},
		}
	}
	return attributes
}

// resultAttributes are what a build gives.
func resultAttributes() map[string]schema.Attribute {
	computed := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"name": computed("Name of the image in its file's name and in `registry.yml`: the profile's name, or the host name when there is no " +
			"profile."),
		"id": computed("Cache key of the image: 64 hexadecimal digits, derived from `inputs` alone."),
		"inputs": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Every input of the image by name, each as a short value or a SHA-256 digest: `iso`, `preseed` or `autoinstall`, " +
				"`script:NAME`, `trigger:NAME` … The plan's own difference of this map shows what made an image stale.",
		},
		"path":       computed("Path of the image's file: on this machine if `builder` is `local` or the image was fetched, else on the `builder`."),
		"sha256":     computed("SHA-256 of the image's file, in hexadecimal."),
		"size_bytes": schema.Int64Attribute{Computed: true, MarkdownDescription: "Size of the image's file in bytes."},
		"virtual_size_bytes": schema.Int64Attribute{
			Computed: true, MarkdownDescription: "Size of the disk that a guest sees, in bytes.",
		},
		"format":   computed("Format of the file, `qcow2`."),
		"built_at": computed("When the image was built, in RFC 3339 and UTC."),
		"builder":  computed("Machine that built the image and keeps it: `local` for this one, or the name of a remote."),
		"accelerator": computed("What ran the build's guest: `kvm`, `hvf`, or `tcg` for emulation. When it is `tcg`, the build's " +
			"warning and the manifest say why."),
		"status": computed("State of the stored file as of the last refresh: `" + statusOK + "`, `" + statusMissing + "` or `" +
			statusCorrupt + "`. Anything but `" + statusOK + "` replaces the resource, with the same `id`."),
		"log_path":      computed("Path of the build's log, on the `builder`. It grows while the build runs."),
		"reference":     computed("This resource's entry in the store's list of who uses the file. An imported image has none."),
		"manifest_path": computed("Path of the manifest, a JSON file: inputs, packages with their versions, durations, and how it was built."),
	}
}

var webAddress = stringvalidator.RegexMatches(regexp.MustCompile(`^https?://[^/]`), "must begin with https:// or http://")

func isoAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The installer ISO, instead of the profile's: one of `name`, `url` and `path`. A plan never downloads an ISO; " +
			"its digest comes from `sha256`, from the file at `checksum_url`, or from the local file.",
		Validators: []validator.Object{isoSource{}},
		Attributes: map[string]schema.Attribute{
			"name": text("Name of an ISO in the catalogue, `isos.d`."),
			"url": schema.StringAttribute{
				Optional: true, MarkdownDescription: "URL of the ISO, `https` or `http`. Needs `sha256` or `checksum_url`.",
				Validators: []validator.String{webAddress},
			},
			"path": text("Path of a local ISO file, relative to the working directory or absolute, which is used where it is. A leading `~` is your home directory."),
			"sha256": schema.StringAttribute{
				Optional: true, MarkdownDescription: "SHA-256 of the ISO, 64 hexadecimal digits.",
				Validators: []validator.String{stringvalidator.RegexMatches(regexp.MustCompile(`^[0-9a-f]{64}$`),
					"must be 64 lower-case hexadecimal digits, without a prefix")},
			},
			"checksum_url": schema.StringAttribute{
				Optional: true, MarkdownDescription: "URL of a `SHA256SUMS` file that lists the ISO; it is read at each plan.",
				Validators: []validator.String{webAddress},
			},
			"filename": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Name of the ISO in the file at `checksum_url`, and of its downloaded copy; the last part of `url` by default.",
				Validators:          []validator.String{stringvalidator.RegexMatches(regexp.MustCompile(`^[^/]+$`), "must be a file's name, without a folder")},
			},
		},
	}
}

// text is an optional string that overrides a setting of the profile.
func text(description string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, MarkdownDescription: description,
		Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
	}
}

func enum(setting string, c choices) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, MarkdownDescription: settingDocs[setting],
		Validators: []validator.String{c.validator()},
	}
}

func list(setting string) schema.ListAttribute {
	return schema.ListAttribute{
		Optional: true, ElementType: types.StringType,
		MarkdownDescription: settingDocs[setting] + " It replaces the profile's list.",
		Validators:          []validator.List{listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1)), listvalidator.UniqueValues()},
	}
}
