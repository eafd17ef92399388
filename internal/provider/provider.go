// Package provider is the OpenTofu and Terraform face of the product: schemas, models, plan modification and
// diagnostics. It is the only package that knows terraform-plugin-*.
package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

var _ provider.Provider = (*pimProvider)(nil)

// pimProvider is the provider before it is configured.
type pimProvider struct {
	version string
	env     environment
	host    host.Host
	builder func(h host.Host, s *cache.Store, slots int) imageBuilder
	dial    func(context.Context, host.SSHConfig) (remoteHost, error)
	kinds   kinds
	work    *Work
}

// Option changes what New assembles.
type Option func(*pimProvider)

// WithWork registers builds with w, so that the caller can end them.
func WithWork(w *Work) Option { return func(p *pimProvider) { p.work = w } }

// New returns a constructor of the provider. version is the provider's own, for manifests.
func New(version string, options ...Option) func() provider.Provider {
	return func() provider.Provider {
		p := &pimProvider{version: version, env: systemEnvironment(), host: host.NewLocal(), kinds: targetKinds(deploy.Pace{}), dial: dialSSH}
		p.builder = func(h host.Host, s *cache.Store, slots int) imageBuilder { return newBuilder(h, s, slots, version) }
		for _, o := range options {
			o(p)
		}
		if p.work == nil {
			p.work = NewWork(context.Background())
		}
		return p
	}
}

func (p *pimProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "pim"
	resp.Version = p.version
}

// providerModel is the provider block.
type providerModel struct {
	ConfigDir  types.String `tfsdk:"config_dir"`
	ProjectDir types.String `tfsdk:"project_dir"`
	DataDir    types.String `tfsdk:"data_dir"`
	CacheDir   types.String `tfsdk:"cache_dir"`
	HTTPProxy  types.String `tfsdk:"http_proxy"`
	Proxmox    types.Object `tfsdk:"proxmox"`
	Builders   types.Map    `tfsdk:"builders"`
	Remotes    types.Map    `tfsdk:"remotes"`
}

func (p *pimProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	folder := func(d directory, what string) schema.StringAttribute {
		text := what
		if d.env != "" {
			text += " Environment variable `" + d.env + "`; default `" + d.fallback + "`."
		}
		return schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: text + " A leading `~` is your home directory.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Makes golden VM images from an installer ISO and shell scripts, and keeps them current: " +
			"the `id` of an image is derived from everything that goes into it, so a plan names what made it stale.",
		Attributes: map[string]schema.Attribute{
			configDir.attribute: folder(configDir, "Folder of your own profiles, ISO catalogue, preseed templates and scripts. "+
				"It may be empty or missing: the provider brings a Debian preseed and a few scripts along."),
			projectDir.attribute: folder(projectDir, "Folder laid out like `config_dir` whose files override those of "+
				"`config_dir`, one file at a time; usually `\"${path.root}/pim\"`, so that a project carries its own."),
			dataDir.attribute: folder(dataDir, "Folder of the finished images, their manifests and the build logs. "+
				"Configurations that name the same folder share images."),
			cacheDir.attribute: folder(cacheDir, "Folder of downloads that can be fetched again, ISOs above all."),
			"http_proxy": schema.StringAttribute{
				Optional: true, Sensitive: true, // it may hold credentials
				MarkdownDescription: "HTTP proxy that guests use during a build, as the guest sees it; it overrides the profile's. " +
					"Neither the image nor its key keeps it. Environment variable `" + envHTTPProxy + "`.",
			},
			"proxmox":         clusterAttribute(),
			buildersAttribute: buildersSchema(),
			remotesAttribute:  remotesSchema(),
		},
	}
}

// Configure resolves the folders and the builders. It reads no file but pim.yml, and a broken one is no error yet: it
// must not keep unrelated resources from being planned or destroyed.
func (p *pimProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resolve := func(d directory, v types.String) string {
		dir, diags := p.directory(d, v)
		resp.Diagnostics.Append(diags...)
		return dir
	}
	config := resolve(configDir, m.ConfigDir)
	project := resolve(projectDir, m.ProjectDir)
	data := resolve(dataDir, m.DataDir)
	downloads := resolve(cacheDir, m.CacheDir)
	lenders, diags := p.env.lenders(m.Proxmox)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	builders, diags := p.builders(ctx, &m, profile.Options{ConfigDir: config, ProjectDir: project})
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	proxy := m.HTTPProxy.ValueString() // a proxy not known yet is no matter to a plan
	if m.HTTPProxy.IsNull() {
		proxy = p.env.getenv(envHTTPProxy)
	}
	store := cache.NewStore(p.host, data, downloads)
	rt := &runtime{
		host:       p.host,
		store:      store,
		machines:   newMachines(p.host, store, builders, p),
		builders:   builders,
		kinds:      p.kinds,
		lenders:    lenders,
		work:       p.work,
		env:        p.env,
		configDir:  config,
		projectDir: project,
		httpProxy:  proxy,
	}
	p.work.atEnd(rt.machines.close)
	resp.DataSourceData = rt
	resp.ResourceData = rt
}

// directory resolves one folder. A value that is not known yet is an error: read as "" it would stand for another
// folder, and so for other images and other keys.
func (p *pimProvider) directory(d directory, v types.String) (string, diag.Diagnostics) {
	var diags diag.Diagnostics
	if v.IsUnknown() {
		diags.AddAttributeError(path.Root(d.attribute), "Folder is not known yet",
			"The provider needs "+d.attribute+" to plan, but its value is only known after an apply. "+
				"Give it a value that does not depend on resources, or apply those first with -target.")
		return "", diags
	}
	dir, err := d.resolve(v.ValueString(), p.env)
	if err != nil {
		diags.AddAttributeError(path.Root(d.attribute), "Invalid folder", capitalize(err.Error())+".")
	}
	return dir, diags
}

func (p *pimProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newImageResource, newDeploymentResource}
}

func (p *pimProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newImagesDataSource, newProfileDataSource}
}
