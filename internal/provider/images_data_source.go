package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

var _ datasource.DataSourceWithConfigure = (*imagesDataSource)(nil)

// imagesDataSource is pim_images.
type imagesDataSource struct{ rt *runtime }

func newImagesDataSource() datasource.DataSource { return &imagesDataSource{} }

func (d *imagesDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_images"
}

func (d *imagesDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.rt = fromProvider(req.ProviderData, &resp.Diagnostics)
}

func (d *imagesDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The images and deployments that `registry.yml` in the `data_dir` lists: the current one of each name and architecture, " +
			"and of each name and target. Without the file both lists are empty.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{Optional: true, MarkdownDescription: "Only images and deployments of this name."},
			"arch": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Only images of this architecture. " + architectures.markdown(),
				Validators: []validator.String{architectures.validator()},
			},
			"profile": schema.StringAttribute{Optional: true, MarkdownDescription: "Only images of this profile."},
			"images": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "Images, in the file's order.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":     computedText("Name of the image."),
					"arch":     computedText("CPU architecture."),
					"key":      computedText("Cache key: the `id` of its `pim_image`, and an `image_id` of a `pim_deployment`."),
					"path":     computedText("Path of the file."),
					"profile":  computedText("Profile it was made from; null for none."),
					"iso":      computedText("Name of the installer ISO in the catalogue; null for one that is not in it."),
					"built_at": computedText("When it was built, in RFC 3339 and UTC."),
					"exists":   schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the file is there."},
				}},
			},
			"deployments": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "Deployments, in the file's order. They are as recorded; their targets are not asked.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":        computedText("Name of the deployment."),
					"target":      computedText("Name of the target in `targets.d`; for a block its type, and region or node."),
					"type":        computedText("`template`, `ami`, `utm` or `file`."),
					"template_id": schema.Int64Attribute{Computed: true, MarkdownDescription: "VM id of a template."},
					"ami_id":      computedText("Id of an AMI in the target's own region."),
					"path":        computedText("Path of a file or bundle."),
					"deployed_at": computedText("When it was deployed, in RFC 3339 and UTC."),
					"image_key":   computedText("Key of the deployed image."),
				}},
			},
		},
	}
}

// imagesModel is a pim_images.
type imagesModel struct {
	Name        types.String      `tfsdk:"name"`
	Arch        types.String      `tfsdk:"arch"`
	Profile     types.String      `tfsdk:"profile"`
	Images      []registeredImage `tfsdk:"images"`
	Deployments []registered      `tfsdk:"deployments"`
}

type registeredImage struct {
	Name    types.String `tfsdk:"name"`
	Arch    types.String `tfsdk:"arch"`
	Key     types.String `tfsdk:"key"`
	Path    types.String `tfsdk:"path"`
	Profile types.String `tfsdk:"profile"`
	ISO     types.String `tfsdk:"iso"`
	BuiltAt types.String `tfsdk:"built_at"`
	Exists  types.Bool   `tfsdk:"exists"`
}

// registered is a deployment.
type registered struct {
	Name       types.String `tfsdk:"name"`
	Target     types.String `tfsdk:"target"`
	Type       types.String `tfsdk:"type"`
	TemplateID types.Int64  `tfsdk:"template_id"`
	AMIID      types.String `tfsdk:"ami_id"`
	Path       types.String `tfsdk:"path"`
	DeployedAt types.String `tfsdk:"deployed_at"`
	ImageKey   types.String `tfsdk:"image_key"`
}

// Read lists the registry.
func (d *imagesDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m imagesModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	r, err := d.rt.store.Registry(ctx)
	if err != nil {
		resp.Diagnostics.AddError("Cannot list the images", sentence(err.Error())+"\n\nMend the file, or move it away: the next build or deployment makes a "+
			"new one.")
		return
	}
	m.fill(r)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (m *imagesModel) fill(r cache.Registry) {
	m.Images, m.Deployments = []registeredImage{}, []registered{}
	wants := func(filter types.String, v string) bool { return filter.IsNull() || filter.ValueString() == v }
	for _, i := range r.Images {
		if wants(m.Name, i.Name) && wants(m.Arch, string(i.Arch)) && wants(m.Profile, i.Profile) {
			m.Images = append(m.Images, registeredImage{
				Name: types.StringValue(i.Name), Arch: types.StringValue(string(i.Arch)), Key: textOrNull(i.Key), Path: textOrNull(i.Path),
				Profile: textOrNull(i.Profile), ISO: textOrNull(i.ISO), BuiltAt: timeOrNull(i.BuiltAt), Exists: types.BoolValue(i.Exists),
			})
		}
	}
	for _, e := range r.Deployments {
		if wants(m.Name, e.Name) {
			m.Deployments = append(m.Deployments, registered{
				Name: types.StringValue(e.Name), Target: types.StringValue(e.Target), Type: textOrNull(e.Type), TemplateID: numberOrNull(e.TemplateID),
				AMIID: textOrNull(e.AMIID), Path: textOrNull(e.Path), DeployedAt: timeOrNull(e.DeployedAt), ImageKey: textOrNull(e.ImageKey),
			})
		}
	}
}

func timeOrNull(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339))
}
