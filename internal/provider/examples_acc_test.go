package provider

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// TestAccExamples validates the examples with the real CLI and the real schemas of this provider. Other providers cannot
// be had everywhere, so their resources become terraform_data whose input is what was said about them: every expression
// is still checked, above all what it takes from pim's resources.
func TestAccExamples(t *testing.T) {
	cli := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if os.Getenv("TF_ACC") == "" || cli == "" {
		t.Skip("`make acc` runs it")
	}
	bin := t.TempDir()
	run(t, ".", "go", "build", "-buildvcs=false", "-o", bin, "../..")
	rc := filepath.Join(bin, "cli.tfrc")
	if err := os.WriteFile(rc, []byte("provider_installation {\n  dev_overrides { \"pim-tools/pim\" = \""+bin+"\" }\n  direct {}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_CLI_CONFIG_FILE", rc)
	mains, err := filepath.Glob("../../examples/*/main.tf")
	if err != nil || len(mains) < 5 {
		t.Fatalf("examples: %v, %v", mains, err)
	}
	for _, main := range mains {
		t.Run(filepath.Base(filepath.Dir(main)), func(t *testing.T) {
			data, err := os.ReadFile(main)
			if err != nil {
				t.Fatal(err)
			}
			run(t, filepath.Dir(main), cli, "fmt", "-check", "-diff", "main.tf")
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "main.tf"), withoutOthers(t, data), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, dir, cli, "validate")
		})
	}
}

func run(t *testing.T, dir string, argv ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// withoutOthers rewrites a configuration so that it needs no provider but ours.
func withoutOthers(t *testing.T, src []byte) []byte {
	t.Helper()
	f, diags := hclwrite.ParseConfig(src, "main.tf", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var others, standIns []string // addresses, and what stands for them
	for _, b := range f.Body().Blocks() {
		switch labels := b.Labels(); {
		case b.Type() == "terraform":
			for _, required := range b.Body().Blocks() {
				for name := range required.Body().Attributes() {
					if name != "pim" {
						required.Body().RemoveAttribute(name)
					}
				}
			}
		case b.Type() == "provider" && labels[0] != "pim":
			f.Body().RemoveBlock(b)
		case b.Type() == "resource" && !strings.HasPrefix(labels[0], "pim_"):
			others = append(others, labels[0]+"."+labels[1])
			f.Body().RemoveBlock(b)
			standIns = append(standIns, standIn(b))
		}
	}
	out := string(f.Bytes()) + strings.Join(standIns, "")
	for _, address := range others {
		out = strings.ReplaceAll(out, address+".", "terraform_data."+strings.ReplaceAll(address, ".", "_")+".output.")
	}
	return []byte(out)
}

// standIn is the terraform_data for a resource of another provider.
func standIn(b *hclwrite.Block) string {
	var meta, lifecycle string
	if count := b.Body().GetAttribute("count"); count != nil {
		meta = "count = " + string(count.Expr().BuildTokens(nil).Bytes())
		b.Body().RemoveAttribute("count")
	}
	if l := b.Body().FirstMatchingBlock("lifecycle", nil); l != nil {
		lifecycle = string(l.BuildTokens(nil).Bytes())
		b.Body().RemoveBlock(l)
	}
	return fmt.Sprintf("\nresource \"terraform_data\" %q {\n%s\n%s\ninput = %s\n}\n",
		strings.Join(b.Labels(), "_"), meta, lifecycle, object(b.Body()))
}

// object writes a body as an object: nested blocks become lists of objects.
func object(body *hclwrite.Body) string {
	var lines []string
	attributes := body.Attributes()
	var names []string
	for name := range attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, name+" = "+strings.TrimLeft(string(attributes[name].Expr().BuildTokens(nil).Bytes()), " "))
	}
	for _, b := range body.Blocks() {
		lines = append(lines, b.Type()+" = ["+object(b.Body())+"]")
	}
	return "{\n" + strings.Join(lines, "\n") + "\n}"
}
