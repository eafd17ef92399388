package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// positiveDuration accepts what time.ParseDuration does, above zero.
type positiveDuration struct{}

func (positiveDuration) Description(context.Context) string {
	return `must be a duration above zero, such as "30s" or "2h45m"`
}

func (v positiveDuration) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v positiveDuration) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if d, err := time.ParseDuration(req.ConfigValue.ValueString()); err != nil || d <= 0 {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid duration",
			fmt.Sprintf("%s is %q; it %s.", req.Path, req.ConfigValue.ValueString(), v.Description(ctx)))
	}
}

// durationOrNone accepts what time.ParseDuration does, unless it is negative.
type durationOrNone struct{}

func (durationOrNone) Description(context.Context) string {
	return `must be a duration such as "30s" or "2h45m", or "0s"`
}

func (v durationOrNone) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v durationOrNone) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if d, err := time.ParseDuration(req.ConfigValue.ValueString()); err != nil || d < 0 {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid duration",
			fmt.Sprintf("%s is %q; it %s.", req.Path, req.ConfigValue.ValueString(), v.Description(ctx)))
	}
}

// isoSource checks that an iso says where it comes from, once, and how its digest is known.
type isoSource struct{}

func (isoSource) Description(context.Context) string {
	return "one of name, url and path; a url needs sha256 or checksum_url"
}

func (v isoSource) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (v isoSource) ValidateObject(_ context.Context, req validator.ObjectRequest, resp *validator.ObjectResponse) {
	m, ok := isoOf(req.ConfigValue)
	if req.ConfigValue.IsNull() || !ok {
		return
	}
	if text := m.fault(); text != "" {
		resp.Diagnostics.AddAttributeError(req.Path, "Incomplete ISO", text)
	}
}

// fault says what is wrong with the combination of fields, "" for nothing. What is not known yet may turn out
// either way, so it is given the benefit of the doubt.
func (m isoModel) fault() string {
	given := 0
	for _, f := range []value{m.Name, m.URL, m.Path} {
		if f.IsUnknown() {
			return ""
		}
		if !f.IsNull() {
			given++
		}
	}
	digests := !m.SHA256.IsNull() || !m.ChecksumURL.IsNull()
	switch {
	case given != 1:
		return "Give one of name (an ISO of the catalogue), url and path."
	case !m.Name.IsNull() && (digests || !m.Filename.IsNull()):
		return "An ISO of the catalogue brings its own digest and file name: give name alone."
	case !m.SHA256.IsNull() && !m.ChecksumURL.IsNull():
		return "Give sha256 or checksum_url, not both."
	case !m.URL.IsNull() && !digests:
		return "A downloaded ISO must be verified: give sha256, or checksum_url of the SHA256SUMS file beside it."
	case !m.Path.IsNull() && (!m.ChecksumURL.IsNull() || !m.Filename.IsNull()):
		return "checksum_url and filename are for an ISO with a url."
	}
	return ""
}

// deploymentName accepts what can name a deployment.
type deploymentName struct{}

func (deploymentName) Description(context.Context) string {
	return "letters, digits, '.', '-' and '_', beginning with a letter or digit"
}

func (v deploymentName) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (deploymentName) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := cache.CheckName(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid name", sentence(err.Error()))
	}
}
