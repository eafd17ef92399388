package profile_test

import (
	"errors"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func TestLoadTargets(t *testing.T) {
	user := write(t, map[string]string{
		"targets.d/a.yml": `
pve: {type: proxmox, host: pve.example.test, password: "007"}
aws-sg:
  type: aws
  region: &r ap-southeast-1
  regions: [*r, eu-central-1]
  share_with: [012345678901]
  s3_bucket:
`,
		"profiles.d/broken.yml": "no: [profile", // no concern of a deployment's
	})
	project := write(t, map[string]string{"targets.d/b.yml": "pve: {type: file}\n"})
	all, err := profile.LoadTargets(profile.Options{ConfigDir: user, ProjectDir: project})
	if err != nil {
		t.Fatal(err)
	}
	if pve := all["pve"]; pve.Type != "file" || len(pve.Fields) != 0 {
		t.Errorf("the project's entry must replace the user's: %+v", pve)
	}
	sg, err := all.Find("aws-sg")
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.Marshal(sg.Fields)
	if err != nil {
		t.Fatal(err)
	}
	want := "region: ap-southeast-1\nregions: [ap-southeast-1, eu-central-1]\nshare_with: [012345678901]\n"
	if sg.Type != "aws" || string(data) != want {
		t.Errorf("a target of type %q with\n%swant\n%s", sg.Type, data, want)
	}
}

func TestTargetFaults(t *testing.T) {
	dir := write(t, map[string]string{"targets.d/a.yml": "\naws-sg:\n  type: aws\n  region: mars\n"})
	all, err := profile.LoadTargets(profile.Options{ConfigDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"region": "targets.d/a.yml:4:11: aws-sg.region: no such region",
		"method": "targets.d/a.yml:3:3: aws-sg.method: no such region",
		"":       "targets.d/a.yml:3:3: aws-sg: no such region",
	} {
		if got := complaint(all["aws-sg"].Fault(field, "no such region"), dir); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for name, want := range map[string]string{
		"aws-gs": `target "aws-gs": not in targets.d (did you mean "aws-sg"?)`,
		"pve":    `target "pve": not in targets.d (known: aws-sg)`,
	} {
		if _, err := all.Find(name); !errors.Is(err, profile.ErrNoTarget) || err.Error() != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := (profile.Targets{}).Find("pve"); err == nil || !strings.Contains(err.Error(), "(add it to a file") {
		t.Errorf("got %v", err)
	}
}

func TestLoadTargetsFaults(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"no map":         {"pve: yes\n", `targets.d/a.yml:1:6: pve: must be a map of fields, not "yes"`},
		"no type":        {"pve:\n  host: x\n", `targets.d/a.yml:2:3: pve: has no type (add type: aws, proxmox, utm or file)`},
		"twice":          {"pve:\n  type: file\n  path: /a\n  path: /b\n", `targets.d/a.yml:4:3: pve.path: given twice, first in line 3`},
		"two of a name":  {"pve: {type: a}\npve: {type: b}\n", `targets.d/a.yml:2:1: pve: given twice, first in line 1`},
		"broken YAML":    {"pve: [\n", `targets.d/a.yml:1:1: cannot parse YAML: did not find expected node content`},
		"unusable value": {"pve: {type: file, n: !!int x}\n", `targets.d/a.yml:1:22: pve.n: cannot parse YAML: yaml: cannot decode !!str ` + "`x`" + ` as a !!int`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"targets.d/a.yml": tt.body})
			_, err := profile.LoadTargets(profile.Options{ConfigDir: dir})
			if got := complaint(err, dir); got != tt.want {
				t.Errorf("got\n  %s\nwant\n  %s", got, tt.want)
			}
		})
	}
}
