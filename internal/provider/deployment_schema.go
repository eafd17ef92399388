package provider

import (
	"context"
	"maps"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/boolvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Default time-outs. A deployment that makes no progress is given up long before.
const (
	defaultDeployTimeout  = time.Hour
	defaultReadTimeout    = 5 * time.Minute
	defaultDestroyTimeout = 20 * time.Minute
)

const deploymentDescription = "An image at the place where machines are made from it: a Proxmox VE template, an AMI, a UTM bundle or a " +
	"file.\n\n" +
	"The target is one of `targets.d` or a block. A new image is deployed first, and only then does the old deployment go, or stays " +
	"as one of `keep`. So the resource is updated in place, and its ids are known after the apply: what uses them follows. A setting " +
	"that can be changed where it is leaves the ids as they are; a change of the place itself replaces the resource.\n\n" +
	"Refresh looks at the target. What was changed there by hand is in `drift`, and the next apply puts it back. A target that cannot be " +
	"reached is a warning then, and what the state says stays."

func (r *deploymentResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := deploymentAttributes()
	maps.Copy(attributes, generationAttributes())
	maps.Copy(attributes, statusAttributes())
	blocks := map[string]schema.Block{
		"timeouts": timeouts.Block(ctx, timeouts.Opts{
			Create: true, Update: true, Read: true, Delete: true,
			CreateDescription: "Longest time a deployment may take, such as \"90m\"; default " + defaultDeployTimeout.String() + ".",
			UpdateDescription: "Longest time a new image or another change may take; default " + defaultDeployTimeout.String() + ".",
			ReadDescription:   "Longest time a look at the target may take; default " + defaultReadTimeout.String() + ".",
			DeleteDescription: "Longest time a destroy may take; default " + defaultDestroyTimeout.String() + ".",
		}),
	}
	for name, k := range targetKinds(deploy.Pace{}) {
		blocks[name] = k.block(blockDocs[name])
	}
	resp.Schema = schema.Schema{MarkdownDescription: deploymentDescription, Attributes: attributes, Blocks: blocks}
}

var blockDocs = map[string]string{
	kindAWS: "Makes an AMI. Credentials come from the AWS SDK's usual places: environment, `~/.aws`, SSO, an instance's role.",
	kindProxmox: "Makes a template on a Proxmox VE cluster, 8.0 or later. Secrets come from the provider's `proxmox`, the environment, " +
		"files, or `targets.d`.",
	kindUTM:  "Makes a bundle for UTM's QEMU back end, on macOS.",
	kindFile: "Makes a file on this machine, for any hypervisor.",
}

// deploymentAttributes say what goes where.
func deploymentAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"image_id": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Image to deploy: the `id` of a `pim_image`, or the key of any stored image, 64 hexadecimal digits or at least the " +
				"first 12. It need not be stored before the apply. Either this or `image_path`.",
			Validators: []validator.String{
				stringvalidator.RegexMatches(imageKey, "must be a key: 12 to 64 lower-case hexadecimal digits"),
				stringvalidator.ExactlyOneOf(path.MatchRoot("image_path")),
			},
		},
		"image_path": text("Path of a qcow2 from elsewhere, relative to the working directory or absolute; it must not have a backing file. Its key is " +
			"its SHA-256. A leading `~` is your home directory."),
		"arch": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "CPU architecture of the image at `image_path`; this machine's by default. " + architectures.markdown(),
			Validators:          []validator.String{architectures.validator(), stringvalidator.AlsoRequires(path.MatchRoot("image_path"))},
		},
		"firmware": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Firmware that the image at `image_path` boots with. " + firmwares.markdown() + " By default the target goes by the disk.",
			Validators:          []validator.String{firmwares.validator(), stringvalidator.AlsoRequires(path.MatchRoot("image_path"))},
		},
		"tpm": schema.BoolAttribute{
			Optional:            true,
			MarkdownDescription: "Whether machines made from the image at `image_path` get a TPM 2.0; default `false`. A `pim_image` knows it itself.",
			Validators:          []validator.Bool{boolvalidator.AlsoRequires(path.MatchRoot("image_path"))},
		},
		"name": schema.StringAttribute{
			Optional: true, Computed: true,
			MarkdownDescription: "Name of the deployment: what the template or bundle is called, and what an AMI's name begins with. The default is " +
				"the name of the first image. A change makes a new deployment before the old one goes.",
			Validators: []validator.String{deploymentName{}},
		},
		"target": text("Name of a target in `targets.d`. Either this or one of the blocks `aws`, `file`, `proxmox` and `utm`, which have the same fields."),
		"keep": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "How many old generations stay when a new image is deployed; default `0`. They are in `previous`.",
			Validators: []validator.Int64{int64validator.Between(0, 100)},
		},
		"adopt": schema.BoolAttribute{
			Optional: true,
			MarkdownDescription: "Whether a create takes over a deployment of the same name and image that is already there, as when a state was lost, " +
				"instead of making another; default `false`.",
		},
	}
}

// generationAttributes tell where the image is.
func generationAttributes() map[string]schema.Attribute {
	attributes := locationAttributes()
	computed := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	maps.Copy(attributes, map[string]schema.Attribute{
		"id": computed("The target's own name for the deployment: an AMI's id, `NODE/VMID`, or a path."),
		"template_id": schema.Int64Attribute{
			Computed: true, MarkdownDescription: "Proxmox: VM id of the template, for clones. The same as `vmid`.",
		},
		"ami_id":      computed("AWS: id of the AMI in the target's own region."),
		"snapshot_id": computed("AWS: id of the snapshot in the target's own region."),
	})
	return attributes
}

// locationAttributes are those that the previous generations have, too.
func locationAttributes() map[string]schema.Attribute {
	computed := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	perRegion := func(description string) schema.MapAttribute {
		return schema.MapAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"image_key":     computed("Key of the deployed image."),
		"deployed_at":   computed("When it was deployed, in RFC 3339 and UTC."),
		"deployed_name": computed("Name that it has at the target: the deployment's, and for an AMI the image's key after it."),
		"node":          computed("Proxmox: node of the template."),
		"vmid":          schema.Int64Attribute{Computed: true, MarkdownDescription: "Proxmox: VM id of the template."},
		"uuid":          computed("Proxmox: SMBIOS UUID of the template, by which it is told from another one with the same id."),
		"amis":          perRegion("AWS: id of the AMI in each region."),
		"snapshots":     perRegion("AWS: id of the snapshot in each region."),
		"path":          computed("File and UTM: path of the file or bundle."),
		"sha256":        computed("File and UTM: SHA-256 of the file, or of the bundle's disk, in hexadecimal."),
	}
}

// statusAttributes tell how it is there.
func statusAttributes() map[string]schema.Attribute {
	previous := locationAttributes()
	previous["id"] = schema.StringAttribute{Computed: true, MarkdownDescription: "The target's own name for it."}
	previous["broken"] = schema.BoolAttribute{
		Computed: true, MarkdownDescription: "Whether it is what a failure left; the next apply tries to delete it.",
	}
	return map[string]schema.Attribute{
		"type": schema.StringAttribute{Computed: true, MarkdownDescription: "Type of the target: `aws`, `file`, `proxmox` or `utm`."},
		"settings": schema.MapAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The target's settings, those of `targets.d` and defaults included and secrets left out: text as it is, everything else as " +
				"JSON. A plan shows here what changed.",
		},
		"status": schema.StringAttribute{
			Computed: true,
			MarkdownDescription: "State of the deployment as of the last refresh: `ok`, `changed` (by hand), `missing`, `broken` (what a failed deployment left) " +
				"or `imported` (with settings nobody knows yet). The next apply puts right whatever is not `ok`.",
		},
		"drift": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "What was changed by hand, a line each. Empty when nothing was.",
		},
		"previous": schema.ListNestedAttribute{
			Computed:            true,
			MarkdownDescription: "Older generations that still exist, newest first: those of `keep`, and those that could not be deleted.",
			NestedObject:        schema.NestedAttributeObject{Attributes: previous},
		},
	}
}
