package provider

import (
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// Parts of the key of an image with a base, as build.Spec names them.
const (
	partBase = "base"
	partSeed = "seed"
)

func baseAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "A disk image to begin with, instead of an installation and of the profile's `iso` or `base`: a distribution's cloud " +
			"image, or the image of another `pim_image`. It needs cloud-init and openssh-server, for `locale` the package locales, and " +
			"for `keyboard` console-setup. cloud-init grows its root file system to `disk_size` and puts into effect `hostname`, `domain`, " +
			"`packages`, `timezone`, `locale`, `keyboard`, `username` with its password, and `authorized_keys_url`, of these only what is " +
			"set; everything else stays as the image has it. Settings that only an installer knows are an error beside it.",
		Validators: []validator.Object{objectvalidator.ConflictsWith(path.MatchRoot("iso"))},
		Attributes: map[string]schema.Attribute{
			"source": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "URL, `https` or `http`, or the path of a file: relative to the working directory, absolute, or beginning with " +
					"`~/`. A standalone qcow2, or a raw disk. An image that is kept by another machine, where it was built, can only be used " +
					"by builds there, unless its `pim_image` has `fetch = true`.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"sha256": schema.StringAttribute{
				Optional: true, MarkdownDescription: "SHA-256 of the image, 64 hexadecimal digits. A URL needs this or `checksum_url`; a local file is " +
					"read for it when neither is given.",
				Validators: []validator.String{
					stringvalidator.RegexMatches(regexp.MustCompile(`^[0-9a-f]{64}$`), "must be 64 lower-case hexadecimal digits, without a prefix"),
					stringvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName("checksum_url")),
				},
			},
			"checksum_url": schema.StringAttribute{
				Optional: true, MarkdownDescription: "URL of a `SHA256SUMS` file that lists the image; it is read at each plan.",
				Validators: []validator.String{webAddress},
			},
			"filename": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Name of the image in the file at `checksum_url`, and of its downloaded copy; the last part of `source` by default.",
				Validators:          []validator.String{stringvalidator.RegexMatches(regexp.MustCompile(`^[^/]+$`), "must be a file's name, without a folder")},
			},
		},
	}
}

// baseWish is a base given inline.
type baseWish struct{ source, sha256, checksumURL, filename string }

// placeholderBase stands for a base that is not known yet, so that the rest can be resolved without one.
var placeholderBase = baseWish{source: "https://unknown.invalid/unknown.qcow2", sha256: strings.Repeat("0", 64)}

// inlineBase is the base given inline, nil for none. Whether there is one decides which parts the key has.
func inlineBase(v types.Object, u *unknowns) *baseWish {
	if v.IsNull() {
		return nil
	}
	if v.IsUnknown() {
		u.opaque = true
		return nil
	}
	text := func(name string) types.String {
		s, _ := v.Attributes()[name].(types.String)
		return s
	}
	source, sum, sums, name := text("source"), text("sha256"), text("checksum_url"), text("filename")
	elsewhere := source.IsUnknown() || sums.IsUnknown() || name.IsUnknown()
	if sum.IsUnknown() || sum.IsNull() && elsewhere {
		u.mark(partBase)
		base := placeholderBase
		return &base
	}
	base := baseWish{source.ValueString(), sum.ValueString(), sums.ValueString(), name.ValueString()}
	if source.IsUnknown() { // the digest is known, only the place is not
		base.source = placeholderBase.source
	}
	return &base
}

// locate finds the file or address that is meant. Errors: *profile.Error.
func (b *baseWish) locate() (*profile.ISO, error) {
	return profile.NewBase(b.source, b.sha256, b.checksumURL, b.filename, "")
}

// forBase are the unknowns of an image with a base: what an installer would be told, cloud-init is.
func (u unknowns) forBase() unknowns {
	var out unknowns
	for part := range u.parts {
		switch part {
		case partPreseed:
			out.mark(partSeed)
		case partISO, partInstall, partBootArgs:
		default:
			out.mark(part)
		}
	}
	out.opaque = u.opaque
	return out
}

// baseError is a base image whose digest cannot be told.
type baseError struct{ err error }

func (e *baseError) Error() string { return e.err.Error() }
func (e *baseError) Unwrap() error { return e.err }

// baseFor is a base image for the build; the zero one for none.
func baseFor(b profile.ISO) cache.ISO {
	if b == (profile.ISO{}) {
		return cache.ISO{}
	}
	source := isoFor(b)
	source.Kind = "base image"
	return source
}
