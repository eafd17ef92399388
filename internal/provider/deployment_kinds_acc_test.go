package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

// forgotten takes the deployment out of the state and leaves it where it is.
const forgotten = "removed {\nfrom = pim_deployment.dev\nlifecycle {\ndestroy = false\n}\n}\n"

func importing(id string) string {
	return fmt.Sprintf("import {\nto = pim_deployment.dev\nid = %q\n}\n", id)
}

// An AMI with a copy, and what an aws_instance takes of it.
func TestAccDeployment_aws(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := awstest.New(t, awstest.Options{})
	to := func(more string) string {
		return w.deploys(fmt.Sprintf("aws {\nregion = \"eu-central-1\"\nendpoints = { ec2 = %[1]q, ebs = %[1]q, sts = %[1]q }\n%[2]s\n}\n", server.URL, more))
	}
	ami := tfjsonpath.New("ami_id")
	same, differs := statecheck.CompareValue(compare.ValuesSame()), statecheck.CompareValue(compare.ValuesDiffer())
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: to(""), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate, plannedUnknown("ami_id"), planned("path", knownvalue.Null())),
			ConfigStateChecks: []statecheck.StateCheck{
				same.AddStateValue(deployment, ami), has("amis", knownvalue.MapSizeExact(1)), has("snapshot_id", knownvalue.NotNull()),
				statecheck.CompareValuePairs(deployment, ami, deployment, tfjsonpath.New("amis").AtMapKey("eu-central-1"), compare.ValuesSame()),
			},
			Check: w.registryHas("    aws-eu-central-1:\n      type: ami\n      ami_id: ami-"),
		},
		{ // a copy more leaves the first AMI, and all that was made from it, alone
			Config: to(`regions = ["us-east-1"]`),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("ami_id", knownvalue.NotNull()),
				plancheck.ExpectKnownValue(deployment, tfjsonpath.New("amis").AtMapKey("eu-central-1"), knownvalue.NotNull()),
				plancheck.ExpectUnknownValue(deployment, tfjsonpath.New("amis").AtMapKey("us-east-1"))),
			ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(deployment, ami), has("amis", knownvalue.MapSizeExact(2)), differs.AddStateValue(deployment, ami)},
		},
		{ // tags touch nothing that others refer to
			Config: to("regions = [\"us-east-1\"]\ntags = { team = \"web\" }"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("amis", knownvalue.MapPartial(map[string]knownvalue.Check{
				"eu-central-1": knownvalue.NotNull(), "us-east-1": knownvalue.NotNull(),
			}))),
		},
		{ // a copy that somebody removed is made anew, and what is at home stays
			PreConfig: func() { removeImage(server, "us-east-1") }, Config: to("regions = [\"us-east-1\"]\ntags = { team = \"web\" }"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate,
				plancheck.ExpectKnownValue(deployment, tfjsonpath.New("amis").AtMapKey("eu-central-1"), knownvalue.NotNull()),
				plancheck.ExpectKnownValue(deployment, tfjsonpath.New("snapshots").AtMapKey("eu-central-1"), knownvalue.NotNull()),
				plancheck.ExpectUnknownValue(deployment, tfjsonpath.New("amis").AtMapKey("us-east-1")),
				plancheck.ExpectUnknownValue(deployment, tfjsonpath.New("snapshots").AtMapKey("us-east-1"))),
			ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(deployment, ami), has("amis", knownvalue.MapSizeExact(2)), has("status", knownvalue.StringExact("ok"))},
		},
		{Config: w.hcl(devImage + forgotten)},
		{
			Config:            strings.Replace(to("regions = [\"us-east-1\"]\ntags = { team = \"web\" }"), "image_id =", "adopt = true\nimage_id =", 1),
			ConfigPlanChecks:  deploying(plancheck.ResourceActionCreate),
			ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(deployment, ami)},
		},
		{
			PreConfig: newImage(w, "second"), Config: to(""),
			ConfigPlanChecks:  deploying(plancheck.ResourceActionUpdate, plannedUnknown("ami_id")),
			ConfigStateChecks: []statecheck.StateCheck{differs.AddStateValue(deployment, ami), has("amis", knownvalue.MapSizeExact(1))},
		},
	}})
	if left := server.Inventory(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// removeImage removes what a region has by way of AMIs, by hand.
func removeImage(server *awstest.Server, region string) {
	for _, line := range server.Inventory() {
		if id, ok := strings.CutPrefix(line, region+" "); ok && strings.HasPrefix(id, "ami-") {
			server.Remove(id)
		}
	}
}

// An AMI of a named target is imported as it is.
func TestAccDeployment_awsImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := awstest.New(t, awstest.Options{})
	w.write("targets.d/sg.yml", fmt.Sprintf("sg: {type: aws, region: eu-central-1, endpoints: {ec2: %[1]q, ebs: %[1]q, sts: %[1]q}}\n", server.URL))
	config := w.deploys(`target = "sg"`)
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: config},
		{
			ResourceName: deployment, ImportState: true, ImportStateVerify: true,
			ImportStateIdFunc: func(s *terraform.State) (string, error) {
				return "sg:" + s.RootModule().Resources[deployment].Primary.Attributes["ami_id"], nil
			},
		},
	}})
}

// A template on a server that checks every request, and what a clone takes of it.
func TestAccDeployment_proxmox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.kinds = targetKinds(deploytest.Pace())
	server := pvetest.New(t, pvetest.Options{})
	w.env["PROXMOX_VE_API_TOKEN"] = server.Token(pvetest.TokenID)
	to := func(more string) string {
		return w.deploys(fmt.Sprintf("proxmox {\nendpoint = %q\nca_file = %q\nstorage = \"local-lvm\"\n%s\n}\n", server.URL, server.CAFile, more))
	}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: to(""), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate, plannedUnknown("template_id")),
			ConfigStateChecks: []statecheck.StateCheck{
				has("template_id", knownvalue.Int64Exact(9000)), has("node", knownvalue.StringExact("pve1")), has("uuid", knownvalue.NotNull()),
			},
			Check: w.registryHas("    proxmox-pve1:\n      type: template\n      template_id: 9000\n"),
		},
		{
			Config: to("memory = 4096"), ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000))),
		},
		{
			PreConfig: func() { server.SetConfig(t, 9000, map[string]string{"memory": "1024"}) }, Config: to("memory = 4096"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9000))),
		},
		{
			PreConfig: newImage(w, "second"), Config: to("memory = 4096"),
			ConfigPlanChecks:  deploying(plancheck.ResourceActionUpdate, plannedUnknown("template_id")),
			ConfigStateChecks: []statecheck.StateCheck{has("template_id", knownvalue.Int64Exact(9001))},
		},
		{Config: w.hcl(devImage + forgotten)},
		{
			Config: to("memory = 4096") + importing("proxmox:pve1:9001"),
			PreConfig: func() {
				w.env["PROXMOX_VE_ENDPOINT"], w.env["PROXMOX_VE_INSECURE"] = server.URL, "true" // the block is not read at an import
			},
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("template_id", knownvalue.Int64Exact(9001))),
		},
	}})
	if left := server.Inventory(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAccDeployment_utm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Dir(w.file("x"))
	to := func(more string) string { return w.deploys(fmt.Sprintf("utm {\noutput_dir = %q\n%s\n}\n", dir, more)) }
	bundle := func() error {
		_, err := os.Stat(filepath.Join(dir, "dev.utm", "config.plist"))
		return err
	}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{
			Config: to(""), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate), Check: resource.ComposeTestCheckFunc(check(bundle), w.registryHas("    utm:\n      type: utm\n")),
			ConfigStateChecks: []statecheck.StateCheck{has("path", knownvalue.StringExact(filepath.Join(dir, "dev.utm")))},
		},
		{Config: to("memory = 4096"), ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("path", knownvalue.NotNull()))},
		{PreConfig: newImage(w, "second"), Config: to("memory = 4096"), ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate), Check: check(bundle)},
		{Config: w.hcl(devImage + forgotten)},
		{
			Config: to("memory = 4096") + importing("utm:"+filepath.Join(dir, "dev.utm")), Check: check(bundle),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("path", knownvalue.NotNull())),
		},
		{ // another name makes another bundle, and then the old one goes
			Config:            strings.Replace(to("memory = 4096"), "image_id =", "name = \"web\"\nimage_id =", 1),
			ConfigPlanChecks:  deploying(plancheck.ResourceActionUpdate, plannedUnknown("path")),
			ConfigStateChecks: []statecheck.StateCheck{has("path", knownvalue.StringExact(filepath.Join(dir, "web.utm")))},
			Check: check(func() error {
				if bundle() == nil {
					return fmt.Errorf("dev.utm is still there")
				}
				return nil
			}),
		},
	}})
}

func TestAccDeployment_fileByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.toFile("dev.img", "")
	edit := func(do func(path string) error) func() {
		return func() {
			if err := do(w.file("dev.img")); err != nil {
				t.Error(err)
			}
		}
	}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: config, Check: w.deployed("dev.img")},
		{
			PreConfig: edit(func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) }), Config: config, Check: w.deployed("dev.img"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate),
		},
		{
			PreConfig: edit(os.Remove), Config: config, Check: w.deployed("dev.img"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("path")),
		},
		{Config: w.hcl(devImage + forgotten)},
		{
			Config: config + importing("file:"+w.file("dev.img")), Check: w.deployed("dev.img"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, planned("path", knownvalue.NotNull())),
		},
		{Config: w.hcl(devImage + forgotten)},
		{Config: strings.Replace(config, "image_id =", "adopt = true\nimage_id =", 1), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate)},
		{ // another name at the same path
			Config: strings.Replace(config, "image_id =", "name = \"web\"\nimage_id =", 1), Check: w.deployed("dev.img"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("id")),
		},
	}})
}

// An image that pim did not make is known by its content.
func TestAccDeployment_imageFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image := filepath.Join(filepath.Dir(w.data), "cloud.qcow2")
	put := func(size int64) func() {
		return func() {
			if err := os.WriteFile(image, emptyDisk(size), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	config := func(more string) string {
		return w.hcl(fmt.Sprintf("resource \"pim_deployment\" \"dev\" {\nimage_path = %q\n%s\nfile {\npath = %q\n}\n}\n", image, more, w.file("dev.qcow2")))
	}
	w.test(t, resource.TestCase{Steps: []resource.TestStep{
		{Config: config(""), ExpectError: says(`Cannot use the image`)},
		{
			PreConfig: put(1 << 30), Config: config(""), Check: w.deployed("dev.qcow2"),
			ConfigPlanChecks: deploying(plancheck.ResourceActionCreate, planned("image_key", knownvalue.NotNull()), planned("name", knownvalue.StringExact("cloud"))),
		},
		{PreConfig: put(2 << 30), Config: config(""), Check: w.deployed("dev.qcow2"), ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("id"))},
		{ // taken for another architecture it is another deployment
			Config: config(`arch = "arm64"`), Check: w.deployed("dev.qcow2"), ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate, plannedUnknown("id")),
		},
		{
			PreConfig: func() {
				if err := os.WriteFile(image, []byte("no disk"), 0o600); err != nil {
					t.Error(err)
				}
			},
			Config: config(`arch = "arm64"`), ExpectError: says(`(?s)Cannot use the image.*not a qcow2`),
		},
		{PreConfig: put(2 << 30), Config: config(`arch = "arm64"`), ConfigPlanChecks: emptyAfter},
	}})
}
