package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// attributes says where in a configuration a fault belongs.
type attributes struct {
	profile path.Path         // the attribute that names the profile
	own     func(string) bool // whether the configuration itself gives this setting
}

// resolveDiagnostics tells why a configuration cannot be resolved, each fault at the attribute that causes it:
// the setting when it is given inline, the profile's name otherwise.
func resolveDiagnostics(err error, at attributes) diag.Diagnostics {
	var diags diag.Diagnostics
	var faults profile.Errors
	var fault *profile.Error
	var iso *isoError
	var base *baseError
	var answers *preseedError
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			diags.AddAttributeError(at.of(f), "Invalid image configuration", sentence(f.Error()))
		}
	case errors.As(err, &fault):
		diags.AddAttributeError(at.of(fault), "Invalid image configuration", sentence(fault.Error()))
	case errors.As(err, &iso):
		diags.AddAttributeError(at.setting("iso"), "Cannot tell the ISO's digest", sentence(iso.err.Error())+"\n\n"+
			"The digest is part of the image's key, so a plan needs it. Give sha256, or make the file or its SHA256SUMS readable.")
	case errors.As(err, &base):
		diags.AddAttributeError(at.setting("base"), "Cannot tell the base image's digest", sentence(base.err.Error())+"\n\n"+
			"The digest is part of the image's key, so a plan needs it. Give sha256, or make the file or its SHA256SUMS readable.")
	case errors.As(err, &answers):
		diags.AddAttributeError(at.setting(answers.setting), "Cannot render the installer's answers", sentence(answers.err.Error()))
	default:
		diags.AddError("Cannot resolve the image's configuration", sentence(err.Error()))
	}
	return diags
}

var requestField = regexp.MustCompile(`^(?:[a-z_]+\.)*([a-z0-9_]+)(?:\[(\d+)\])?$`)

// of is the attribute that a fault of a profile belongs to.
func (a attributes) of(f *profile.Error) path.Path {
	if f.Of != "" {
		return a.setting(f.Of)
	}
	m := requestField.FindStringSubmatch(f.Field)
	if f.File != "" || m == nil || m[1] == "name" {
		return a.profile
	}
	p := a.setting(m[1])
	if i, err := strconv.Atoi(m[2]); err == nil && !p.Equal(a.profile) {
		p = p.AtListIndex(i)
	}
	return p
}

// setting is the attribute of a setting where the configuration gives it, the profile's name where it does not.
func (a attributes) setting(name string) path.Path {
	if name == "password_version" {
		name = "password_wo_version" // as the image calls it
	}
	if a.own != nil && a.own(name) {
		return path.Root(name)
	}
	return a.profile
}

// buildDiagnostic tells why a build failed. One that the user ended is no failure of the image.
func buildDiagnostic(ctx context.Context, name string, err error) diag.Diagnostic {
	summary := fmt.Sprintf("Cannot build image %q", name)
	detail := err.Error()
	var failed *build.Error
	if errors.As(err, &failed) {
		summary += ": " + failed.Step + " failed"
		detail = failed.Detail()
	}
	if ctx.Err() != nil {
		summary = fmt.Sprintf("The build of image %q was cancelled", name)
	}
	if errors.Is(err, build.ErrNotAccelerated) {
		return diag.NewAttributeErrorDiagnostic(path.Root("emulation"), summary, sentence(detail))
	}
	return diag.NewErrorDiagnostic(summary, sentence(detail))
}

// sentence makes an error's text the text of a diagnostic.
func sentence(s string) string {
	s = capitalize(strings.TrimSpace(s))
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".!?)") || strings.Contains(s, "\n") {
		return s
	}
	return s + "."
}

func capitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	// A path or a quoted name stays as it is.
	if !unicode.IsLower(r) || strings.ContainsAny(firstWord(s), "/.:_=") {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
