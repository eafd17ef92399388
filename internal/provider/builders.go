package provider

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// builderConfig says which machines build images, by pim.yml and the provider block together. Every builder is
// profile.Local or one of the remotes.
type builderConfig struct {
	Builders    map[host.Arch][]string // in the order they were named
	Remotes     map[string]profile.Remote
	MaxParallel int   // builds at a time on this machine, 0 for no limit
	Err         error // pim.yml cannot be read, so nothing is known of builders; this machine is always one
}

// The provider's attributes of the same names as pim.yml's.
const (
	buildersAttribute = "builders"
	remotesAttribute  = "remotes"
)

// remoteModel is one of the provider's remotes.
type remoteModel struct {
	Type              types.String `tfsdk:"type"`
	Host              types.String `tfsdk:"host"`
	Port              types.Int64  `tfsdk:"port"`
	User              types.String `tfsdk:"user"`
	IdentityFile      types.String `tfsdk:"identity_file"`
	JumpHost          types.String `tfsdk:"jump_host"`
	KnownHosts        types.String `tfsdk:"known_hosts"`
	WorkDir           types.String `tfsdk:"work_dir"`
	MaxParallelBuilds types.Int64  `tfsdk:"max_parallel_builds"`
	ReconnectTimeout  types.String `tfsdk:"reconnect_timeout"`
}

var (
	remoteTypes = choices{{value: "ssh"}}
	remoteName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	remotePath  = regexp.MustCompile(`^~?/.*[^/]`)
)

func buildersSchema() schema.Attribute {
	return schema.MapAttribute{
		Optional: true, ElementType: types.ListType{ElemType: types.StringType},
		MarkdownDescription: "Which machines build the images of an architecture (`x86_64`, `arm64`): `local` for this one, or names of " +
			"`remotes`. Of several, the one with the most free build slots is taken, then the one with the most free memory. Without an " +
			"entry, this machine builds images of its own architecture, and others by emulation where that is allowed. An entry replaces " +
			"the one of `build.builders` in `pim.yml`.",
		Validators: []validator.Map{
			mapvalidator.KeysAre(architectures.validator()),
			mapvalidator.ValueListsAre(listvalidator.SizeAtLeast(1), listvalidator.NoNullValues()),
		},
	}
}

func remotesSchema() schema.Attribute {
	return schema.MapNestedAttribute{
		Optional: true,
		MarkdownDescription: "Other machines that build images, by the names that `builders` uses. They need an SSH server, QEMU and " +
			"`qemu-img`, and nothing of the provider's. What is left out comes from `~/.ssh/config`, as for the `ssh` command, but for " +
			"blocks of a `Match` by anything other than hosts, and included files that have one; a key with a passphrase " +
			"must be in the ssh-agent. The machine's host key must be known. An entry replaces the one of `build.remotes` in " +
			"`pim.yml`.",
		Validators: []validator.Map{mapvalidator.KeysAre(
			stringvalidator.RegexMatches(remoteName, "must be letters, digits, '.', '-' and '_', beginning with a letter or digit"),
			stringvalidator.NoneOf(profile.Local),
		)},
		NestedObject: schema.NestedAttributeObject{Attributes: remoteAttributes()},
	}
}

func remoteAttributes() map[string]schema.Attribute {
	text := func(description string, rules ...validator.String) schema.StringAttribute {
		rules = append(rules, stringvalidator.LengthAtLeast(1))
		return schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: rules}
	}
	name := text("Name or address of the machine, or an alias of `~/.ssh/config`.")
	name.Optional, name.Required = false, true
	return map[string]schema.Attribute{
		"type": text("How it is reached. "+remoteTypes.markdown()+" Default `ssh`.", remoteTypes.validator()),
		"host": name,
		"port": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "Port of its SSH server.", Validators: []validator.Int64{int64validator.Between(1, 65535)},
		},
		"user":          text("User to log in as."),
		"identity_file": text("File of the private key to log in with. A leading `~` is your home directory."),
		"jump_host":     text("SSH server to go through, `user@host:port`; several separated by commas; `none` for none."),
		"known_hosts":   text("File of known host keys instead of the usual ones. A leading `~` is your home directory."),
		"work_dir": text("Folder on that machine for images, install layers, ISOs and logs: absolute, or below `~/`. Default `"+
			profile.DefaultWorkDir+"`.", stringvalidator.RegexMatches(remotePath, "must be absolute, or begin with ~/")),
		"max_parallel_builds": schema.Int64Attribute{
			Optional: true,
			MarkdownDescription: "How many builds may run there at a time, whoever starts them; others wait. Default `0`: any number. For " +
				"this machine say `build.max_parallel_builds` in `pim.yml`.",
			Validators: []validator.Int64{int64validator.AtLeast(0)},
		},
		"reconnect_timeout": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "How long a build waits for a lost connection to come back, such as `5m`; meanwhile its guest " +
				"goes on there. So long may this machine sleep, too. Default `2m`; `0s` to fail at once. The locks of a provider that was killed are free after a little longer.",
			Validators: []validator.String{durationOrNone{}},
		},
	}
}

// builders is what pim.yml and the provider block say of builders. A pim.yml that cannot be read is no error of the
// provider block: it is kept for those who need a builder.
func (p *pimProvider) builders(ctx context.Context, m *providerModel, o profile.Options) (builderConfig, diag.Diagnostics) {
	s, err := profile.LoadSettings(o)
	if err != nil {
		return builderConfig{Err: err}, nil
	}
	return mergeBuilders(ctx, s, m, p.env)
}

// route chooses the machines that may build an image for an architecture.
func (r *runtime) route(arch host.Arch, emulation bool) (build.Route, error) {
	if r.builders.Err != nil {
		return build.Route{}, r.builders.Err
	}
	return build.ChooseRoute(build.RouteInput{
		Host: r.host.Arch(), Target: arch, Named: r.builders.Builders[arch], Emulation: emulation,
	})
}

// mergeBuilders puts what the provider block says over what pim.yml says, entry by entry.
func mergeBuilders(ctx context.Context, s profile.Settings, m *providerModel, env environment) (builderConfig, diag.Diagnostics) {
	c := builderConfig{Builders: map[host.Arch][]string{}, Remotes: map[string]profile.Remote{}, MaxParallel: int(s.MaxParallelBuilds)}
	maps.Copy(c.Builders, s.Builders)
	maps.Copy(c.Remotes, s.Remotes)
	diags := unknownEntries(ctx, buildersAttribute, m.Builders)
	diags.Append(unknownEntries(ctx, remotesAttribute, m.Remotes)...)
	if diags.HasError() {
		return c, diags
	}
	builders, remotes := map[string][]string{}, map[string]remoteModel{}
	diags.Append(m.Builders.ElementsAs(ctx, &builders, false)...)
	diags.Append(m.Remotes.ElementsAs(ctx, &remotes, false)...)
	for name, r := range remotes {
		remote, d := r.remote(path.Root(remotesAttribute).AtMapKey(name), env)
		diags.Append(d...)
		c.Remotes[name] = remote
	}
	known := append([]string{profile.Local}, slices.Sorted(maps.Keys(c.Remotes))...)
	for arch, names := range builders {
		c.Builders[host.Arch(arch)] = names
		for _, name := range names {
			if !slices.Contains(known, name) { // a path into the list would show no line of the configuration
				diags.AddAttributeError(path.Root(buildersAttribute).AtMapKey(arch), "Unknown builder",
					fmt.Sprintf("%q is no machine that builds. Name one of %s, or add it to remotes.", name, strings.Join(known, ", ")))
			}
		}
	}
	return c, diags
}

// unknownEntries refuses what is not known yet: read as "" it would stand for another machine.
func unknownEntries(ctx context.Context, attribute string, v types.Map) diag.Diagnostics {
	var diags diag.Diagnostics
	refuse := func(p path.Path, v attr.Value) {
		if raw, err := v.ToTerraformValue(ctx); err == nil && raw.IsFullyKnown() {
			return
		}
		diags.AddAttributeError(p, "Builder is not known yet",
			"The provider needs "+p.String()+" to plan, but its value is only known after an apply. "+
				"Give it a value that does not depend on resources, or apply those first with -target.")
	}
	if v.IsUnknown() {
		refuse(path.Root(attribute), v)
	}
	for _, key := range slices.Sorted(maps.Keys(v.Elements())) {
		refuse(path.Root(attribute).AtMapKey(key), v.Elements()[key])
	}
	return diags
}

// remote is what the model says, its files' paths made absolute.
func (m remoteModel) remote(at path.Path, env environment) (profile.Remote, diag.Diagnostics) {
	var diags diag.Diagnostics
	file := func(name string, v types.String) string {
		if v.ValueString() == "" {
			return ""
		}
		file, err := absolute(v.ValueString(), env.home)
		if err != nil {
			diags.AddAttributeError(at, "Invalid "+name, sentence(err.Error()))
		}
		return file
	}
	r := profile.Remote{
		Type: m.Type.ValueString(), Host: m.Host.ValueString(), Port: m.Port.ValueInt64(), User: m.User.ValueString(),
		IdentityFile: file("identity_file", m.IdentityFile), JumpHost: m.JumpHost.ValueString(),
		KnownHosts: file("known_hosts", m.KnownHosts), WorkDir: m.WorkDir.ValueString(),
		MaxParallelBuilds: m.MaxParallelBuilds.ValueInt64(),
	}
	if patience, err := time.ParseDuration(m.ReconnectTimeout.ValueString()); err == nil {
		r.ReconnectTimeout = &patience
	}
	if r.Type == "" {
		r.Type = remoteTypes[0].value
	}
	if r.WorkDir == "" {
		r.WorkDir = profile.DefaultWorkDir
	}
	return r, diags
}
