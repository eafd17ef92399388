package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func TestResolveDiagnosticsPointAtTheirAttribute(t *testing.T) {
	at := attributes{profile: path.Root("profile"), own: func(n string) bool { return n == "scripts" || n == "memory" || n == "iso" }}
	for _, tc := range []struct {
		name string
		err  error
		want path.Path
	}{
		{"a script given inline", profile.Errors{{Field: "scripts[1]", Msg: "no such script"}}, path.Root("scripts").AtListIndex(1)},
		{"a script of the profile", profile.Errors{{File: "p.yml", Line: 3, Field: "dev.scripts[1]", Msg: "no such script"}}, path.Root("profile")},
		{"the profile's name", profile.Errors{{Field: "name", Msg: "no such profile"}}, path.Root("profile")},
		{"a nested field", profile.Errors{{Field: "build.memory", Msg: "too small"}}, path.Root("memory")},
		{"a setting that is not given inline", profile.Errors{{Field: "hostname", Msg: "bad"}}, path.Root("profile")},
		{"a single fault", fmt.Errorf("wrapped: %w", &profile.Error{Field: "memory", Msg: "too small"}), path.Root("memory")},
		{"an ISO", &isoError{errors.New("404")}, path.Root("iso")},
		{"a preseed", &preseedError{"preseed", errors.New("no field")}, path.Root("profile")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			diags := resolveDiagnostics(tc.err, at)
			if len(diags) != 1 {
				t.Fatal(diags)
			}
			d, ok := diags[0].(diag.DiagnosticWithPath)
			if !ok || !d.Path().Equal(tc.want) {
				t.Errorf("%v, want it at %s", diags[0], tc.want)
			}
		})
	}
}

func TestEveryFaultIsReported(t *testing.T) {
	diags := resolveDiagnostics(profile.Errors{{File: "a.yml", Msg: "one"}, {File: "b.yml", Msg: "two"}}, attributes{profile: path.Root("profile")})
	if len(diags) != 2 {
		t.Errorf("%v", diags)
	}
}

func TestBuildDiagnostic(t *testing.T) {
	failed := fmt.Errorf("wrapped: %w", &build.Error{Step: "scripts", Err: errors.New("script x: exit status 3"), Output: []string{"boom"}, Hint: "Mend it."})
	d := buildDiagnostic(t.Context(), "dev", failed)
	if d.Summary() != `Cannot build image "dev": scripts failed` {
		t.Error(d.Summary())
	}
	for _, want := range []string{"exit status 3", "  boom", "Mend it."} {
		if !strings.Contains(d.Detail(), want) {
			t.Errorf("%q is not in %q", want, d.Detail())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d := buildDiagnostic(ctx, "dev", failed); d.Summary() != `The build of image "dev" was cancelled` {
		t.Error(d.Summary())
	}
}

func TestBuildDiagnosticOfMissingAcceleration(t *testing.T) {
	failed := &build.Error{Step: "accelerator", Err: fmt.Errorf("this host %w x86_64 guests: no", build.ErrNotAccelerated)}
	d, ok := buildDiagnostic(t.Context(), "dev", failed).(diag.DiagnosticWithPath)
	if !ok || !d.Path().Equal(path.Root("emulation")) {
		t.Errorf("%v is not at emulation", d)
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"cannot open it":        "Cannot open it.",
		"/etc/x: no such file":  "/etc/x: no such file.",
		"a.yml:3:1: wrong":      "a.yml:3:1: wrong.",
		"scripts[1]: not there": "scripts[1]: not there.",
		"Done.":                 "Done.",
		"what?":                 "What?",
		"":                      "",
	} {
		if got := sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}
