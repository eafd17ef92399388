package provider

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

func TestAccImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pve("")
	const data = "data.pim_images.all"
	empty := knownvalue.ListSizeExact(0)
	list := func(filter string) string { return "data \"pim_images\" \"all\" {\n" + filter + "\n}\n" }
	lists := func(images, deployments knownvalue.Check) []statecheck.StateCheck {
		return []statecheck.StateCheck{
			statecheck.ExpectKnownValue(data, tfjsonpath.New("images"), images),
			statecheck.ExpectKnownValue(data, tfjsonpath.New("deployments"), deployments),
		}
	}
	image := knownvalue.ListExact([]knownvalue.Check{knownvalue.ObjectPartial(map[string]knownvalue.Check{
		"name": knownvalue.StringExact("dev"), "arch": knownvalue.StringExact("x86_64"), "profile": knownvalue.StringExact("dev"),
		"exists": knownvalue.Bool(true), "key": knownvalue.NotNull(), "built_at": knownvalue.NotNull(), "iso": knownvalue.Null(),
	})})
	template := knownvalue.ListExact([]knownvalue.Check{knownvalue.ObjectPartial(map[string]knownvalue.Check{
		"name": knownvalue.StringExact("dev"), "target": knownvalue.StringExact("pve"), "type": knownvalue.StringExact("template"),
		"template_id": knownvalue.Int64Exact(9000), "ami_id": knownvalue.Null(), "image_key": knownvalue.NotNull(),
	})})
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: w.hcl(list("")), ConfigStateChecks: lists(empty, empty)},
		{Config: w.onCluster("")},
		{Config: w.onCluster("") + list(""), ConfigStateChecks: lists(image, template)},
		{Config: w.onCluster("") + list("name = \"dev\"\narch = \"x86_64\"\nprofile = \"dev\""), ConfigStateChecks: lists(image, template)},
		{Config: w.onCluster("") + list(`arch = "arm64"`), ConfigStateChecks: lists(empty, template)},
		{Config: w.onCluster("") + list(`profile = "web"`), ConfigStateChecks: lists(empty, template)},
		{Config: w.onCluster("") + list(`name = "web"`), ConfigStateChecks: lists(empty, empty)},
	}})
}

func TestAccImages_brokenRegistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config = filepath.Dir(w.config) // so that write reaches the data folder
	w.write("data/registry.yml", "images:\n  dev: 7\n")
	w.test(t, resource.TestCase{Steps: []resource.TestStep{{
		Config: w.hcl("data \"pim_images\" \"all\" {}\n"), ExpectError: says(`(?s)registry\.yml: line 2: expected a mapping.*Mend the file`),
	}}})
}
