package profile_test

import (
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func TestTemplateChoice(t *testing.T) {
	const lean = `{{ template "debian.cfg.tmpl" . }}` + "\nd-i a/b string c\n"
	dir := write(t, map[string]string{
		"preseeds.d/lean.cfg.tmpl":  lean,
		"preseeds.d/plain.cfg":      "d-i a/b string {{ }}\n",
		"preseeds.d/empty.cfg.tmpl": "",
		"mine/lean.cfg.tmpl":        lean,
	})
	hiding := write(t, map[string]string{"preseeds.d/debian.cfg": "d-i a/b string mine\n"})
	for ref, want := range map[string]struct{ name, body string }{
		"lean":                 {"lean.cfg.tmpl", lean},
		"lean.cfg":             {"lean.cfg.tmpl", lean},
		"lean.cfg.tmpl":        {"lean.cfg.tmpl", lean},
		"plain":                {"plain.cfg", "d-i a/b string {{\"{{\"}} }}\n"},
		"empty":                {"empty.cfg.tmpl", ""},
		"./mine/lean.cfg.tmpl": {"./mine/lean.cfg.tmpl", lean},
		"debian":               {"debian.cfg", "d-i a/b string mine\n"},
	} {
		c, err := profile.Load(profile.Options{ConfigDir: dir, ProjectDir: hiding, WorkDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		res := resolve(t, c, profile.Request{Override: profile.Profile{Preseed: &ref}})
		if res.PreseedTemplate != want.name || res.Templates[want.name] != want.body {
			t.Errorf("%s: %q %q, want %q %q", ref, res.PreseedTemplate, res.Templates[res.PreseedTemplate], want.name, want.body)
		}
		if res.Templates["debian.cfg.tmpl"] == "" {
			t.Errorf("%s: the embedded template is not there to be included", ref)
		}
	}
}

func TestTemplateFaults(t *testing.T) {
	tests := map[string]struct {
		name, body string
		want       string
	}{
		"syntax": {
			"preseeds.d/mine.cfg.tmpl", "a\n{{ if }}\n",
			`preseeds.d/mine.cfg.tmpl:2:1: cannot parse the template: missing value for if`,
		},
		"missing": {
			"preseeds.d/mine.cfg.tmpl", "a\n{{ if .X }}{{ template \"debain.cfg.tmpl\" . }}{{ end }}\n",
			`preseeds.d/mine.cfg.tmpl:2:1: no template "debain.cfg.tmpl" (did you mean "debian.cfg.tmpl"?)`,
		},
		"hides what it includes": {
			"preseeds.d/debian.cfg.tmpl", "{{ range .X }}{{ else }}{{ template \"debian.cfg.tmpl\" . }}{{ end }}\n",
			`preseeds.d/debian.cfg.tmpl:1:1: includes itself: debian.cfg.tmpl → debian.cfg.tmpl (a template that extends an embedded one needs a name of its own)`,
		},
		"cycle by way of a definition": {
			"preseeds.d/mine.cfg.tmpl", "{{ define \"x\" }}{{ with .X }}{{ template \"mine.cfg.tmpl\" . }}{{ end }}{{ end }}\n{{ template \"x\" . }}{{ template \"x\" . }}",
			`preseeds.d/mine.cfg.tmpl:1:1: includes itself: mine.cfg.tmpl → x → mine.cfg.tmpl (a template that extends an embedded one needs a name of its own)`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{tt.name: tt.body, "profiles.d/a.yml": "mine: {preseed: mine}\ndebian: {}\n"})
			c, err := profile.Load(profile.Options{ConfigDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			profileName := "mine"
			if tt.name == "preseeds.d/debian.cfg.tmpl" {
				profileName = "debian"
			}
			_, err = c.Resolve(profile.Request{Name: profileName, Arch: host.X86_64, ISO: someISO})
			if got := complaint(err, dir); got != tt.want {
				t.Errorf("got\n  %s\nwant\n  %s", got, tt.want)
			}
		})
	}
}
