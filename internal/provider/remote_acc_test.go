package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

const fetched = `
resource "pim_image" "dev" {
  profile = "dev"
  fetch   = true
}
`

// builtBy makes remotes of the architecture of "dev" that build it, in this order.
func (w *world) builtBy(names ...string) (remotes []*fakeRemote) {
	text := "build:\n  builders: {x86_64: [" + strings.Join(names, ", ") + "]}\n  remotes:\n"
	for _, name := range names {
		text += fmt.Sprintf("    %s: {host: %s.example.test}\n", name, name)
		remotes = append(remotes, w.remote(name, host.X86_64))
	}
	w.write("pim.yml", text)
	return remotes
}

// imageIs expects the image to be kept by a builder, with its file below a folder.
func imageIs(builder, folder string) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		a := s.RootModule().Resources[dev].Primary.Attributes
		if a["builder"] != builder || !strings.HasPrefix(a["path"], folder+"/") || filepath.Dir(a["manifest_path"]) != filepath.Dir(a["path"]) {
			return fmt.Errorf("builder %s, path %s, manifest %s; want %s and %s", a["builder"], a["path"], a["manifest_path"], builder, folder)
		}
		if _, err := os.Stat(a["path"]); err != nil {
			return err
		}
		return nil
	}
}

// nothingOn expects remotes and this machine to keep nothing.
func (w *world) nothingOn(remotes ...*fakeRemote) resource.TestCheckFunc {
	return check(func() error {
		left := append(w.stored(), w.references()...)
		for _, r := range remotes {
			left = append(left, r.keeps()...)
		}
		if len(left) > 0 {
			return fmt.Errorf("left behind: %v", left)
		}
		return nil
	})
}

func TestAccImage_onARemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pve := w.builtBy("pve")[0]
	w.host.noQEMU = true // it is not needed here
	w.test(t, resource.TestCase{
		CheckDestroy: w.nothingOn(pve),
		Steps: []resource.TestStep{
			{
				Config: w.hcl(devImage), ConfigPlanChecks: emptyAfter,
				Check: resource.ComposeTestCheckFunc(w.expect(1, 0), imageIs("pve", pve.home), check(func() error {
					if n := len(pve.images()); n != 1 {
						return fmt.Errorf("%d images on the remote", n)
					}
					return nil
				})),
			},
			{ // another builder is no reason to build again
				PreConfig: func() { w.remove("pim.yml"); w.builtBy("other", "pve") }, Config: w.hcl(devImage),
				ConfigPlanChecks: before(plancheck.ResourceActionNoop), Check: imageIs("pve", pve.home),
			},
			{ // what is gone there is built anew, where the configuration says now
				PreConfig: func() { w.builtBy("pve"); removeAll(t, pve.images()) }, Config: w.hcl(devImage),
				ConfigPlanChecks: before(plancheck.ResourceActionReplace, replacedFor("[status]")), Check: w.expect(2, 0),
			},
		},
	})
}

func removeAll(t *testing.T, files []string) {
	t.Helper()
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAccImage_fetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pve := w.builtBy("pve")[0]
	away := func(is bool) func() { return func() { pve.away.Store(is) } }
	listed := func(lists bool) resource.TestCheckFunc {
		return check(func() error {
			text, err := os.ReadFile(filepath.Join(w.data, "registry.yml"))
			if strings.Contains(string(text), w.data) != lists {
				return fmt.Errorf("registry.yml: %s %w", text, err)
			}
			return nil
		})
	}
	w.test(t, resource.TestCase{
		CheckDestroy: w.nothingOn(pve),
		Steps: []resource.TestStep{
			{Config: w.hcl(fetched), ConfigPlanChecks: emptyAfter, Check: resource.ComposeTestCheckFunc(w.expect(1, 1), imageIs("pve", w.data), listed(true))},
			{ // while the copy is there, its builder is not asked
				PreConfig: away(true), Config: w.hcl(fetched), ConfigPlanChecks: before(plancheck.ResourceActionNoop),
			},
			{ // a copy that is lost is fetched again, and nothing is built
				PreConfig: func() { away(false)(); removeAll(t, w.images()) }, Config: w.hcl(fetched),
				ConfigPlanChecks: before(plancheck.ResourceActionUpdate), Check: resource.ComposeTestCheckFunc(w.expect(1, 1), imageIs("pve", w.data)),
			},
			{
				Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionUpdate),
				Check: resource.ComposeTestCheckFunc(w.expect(1, 0), imageIs("pve", pve.home), listed(false)),
			},
			{
				Config: w.hcl(fetched), ConfigPlanChecks: before(plancheck.ResourceActionUpdate),
				Check: resource.ComposeTestCheckFunc(w.expect(1, 1), imageIs("pve", w.data)),
			},
		},
	})
}

func TestAccImage_unreachableRemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pve := w.builtBy("pve")[0]
	away := func(is bool) func() { return func() { pve.away.Store(is) } }
	w.test(t, resource.TestCase{
		CheckDestroy: w.nothingOn(pve),
		Steps: []resource.TestStep{
			{PreConfig: away(true), Config: w.hcl(devImage), ExpectError: says(`(?s)cannot be built yet.*cannot reach pve by SSH`)},
			{PreConfig: away(false), Config: w.hcl(devImage)},
			{PreConfig: away(true), Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionNoop)},
			{Config: w.hcl(devImage), Destroy: true, ExpectError: says(`(?s)Cannot reach the image's builder.*state rm`)},
			{PreConfig: away(false), Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionNoop), Check: w.expect(1, 0)},
			{PreConfig: func() { w.remove("pim.yml") }, Config: w.hcl(devImage), Destroy: true, ExpectError: says(`"pve" is none of the remotes`)},
			{PreConfig: func() { w.builtBy("pve") }, Config: w.hcl(devImage), ConfigPlanChecks: before(plancheck.ResourceActionNoop)},
		},
	})
}

func TestAccImage_severalRemotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.builtBy("away", "busy", "free", "last")
	r[0].away.Store(true)
	w.write("pim.yml", `build:
  builders: {x86_64: [away, busy, free, last]}
  remotes:
    away: {host: a.example.test}
    busy: {host: b.example.test, max_parallel_builds: 2}
    free: {host: c.example.test, max_parallel_builds: 3}
    last: {host: d.example.test, max_parallel_builds: 1}
`)
	w.builds.free = map[string]int{"busy": 1, "free": 3, "last": 1}
	stale := func(text string) func() {
		return func() { w.write("scripts.d/developer.sh", "#!/bin/sh\necho "+text+"\n") }
	}
	w.test(t, resource.TestCase{
		CheckDestroy: w.nothingOn(r...),
		Steps: []resource.TestStep{
			{Config: w.hcl(devImage), ConfigPlanChecks: emptyAfter, Check: imageIs("free", r[2].home)},
			{ // a new image does not have to be where the old one was
				PreConfig: func() { w.builds.free = map[string]int{"busy": 2, "free": 1, "last": 1}; stale("2")() },
				Config:    w.hcl(devImage), Check: imageIs("busy", r[1].home),
			},
		},
	})
}

// What another configuration built is used: here, or on any of the builders.
func TestAccImage_foundOnARemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.builtBy("one", "two")
	away := func(is bool) func() { return func() { r[0].away.Store(is) } }
	w.test(t, resource.TestCase{
		CheckDestroy: w.nothingOn(r...),
		Steps: []resource.TestStep{
			{PreConfig: away(true), Config: w.hcl(devImage), Check: imageIs("two", r[1].home)},
			{
				PreConfig: away(false), Config: w.hcl(devImage + `
resource "pim_image" "again" {
  profile = "dev"
}
`), Check: resource.ComposeTestCheckFunc(w.expect(1, 0), resource.TestCheckResourceAttr("pim_image.again", "builder", "two")),
			},
			{ResourceName: dev, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: []string{"reference", "timeouts"}},
		},
	})
}

// A fetch that fails leaves an image that the next apply takes.
func TestAccImage_failedFetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pve := w.builtBy("pve")[0]
	blocker := filepath.Join(w.data, "fetches")
	w.test(t, resource.TestCase{
		CheckDestroy: w.nothingOn(pve),
		Steps: []resource.TestStep{
			{
				PreConfig: func() {
					if err := errors.Join(os.MkdirAll(w.data, 0o755), os.WriteFile(blocker, nil, 0o600)); err != nil {
						t.Fatal(err)
					}
				},
				Config: w.hcl(fetched), ExpectError: says(`(?s)Cannot fetch image "dev" from pve.*is not built again`),
			},
			{
				PreConfig: func() {
					if refs := append(pve.files("refs/*/*"), w.references()...); len(refs) > 0 || len(pve.images()) != 1 {
						t.Errorf("references %v, images %v", refs, pve.images())
					}
					removeAll(t, []string{blocker})
				},
				Config: w.hcl(fetched), ConfigPlanChecks: emptyAfter, Check: resource.ComposeTestCheckFunc(w.expect(1, 1), imageIs("pve", w.data)),
			},
		},
	})
}

// An image that is not fetched is deployed from where it is.
func TestAccDeployment_ofARemoteImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pve := w.builtBy("pve")[0]
	w.test(t, resource.TestCase{
		CheckDestroy: w.nothingOn(pve),
		Steps: []resource.TestStep{
			{Config: w.toFile("dev.qcow2", ""), ConfigPlanChecks: deploying(plancheck.ResourceActionCreate), Check: resource.ComposeTestCheckFunc(
				w.deployed("dev.qcow2"), w.expect(1, 0), imageIs("pve", pve.home))},
			{
				PreConfig: newImage(w, "2"), Config: w.toFile("dev.qcow2", ""), ConfigPlanChecks: deploying(plancheck.ResourceActionUpdate),
				Check: resource.ComposeTestCheckFunc(w.deployed("dev.qcow2"), w.expect(2, 0)),
			},
			{ // nothing is done with the image, so it need not be at hand
				PreConfig: func() { pve.away.Store(true) }, Config: w.toFile("dev.qcow2", ""),
				ConfigPlanChecks: deploying(plancheck.ResourceActionNoop),
			},
			{PreConfig: func() { pve.away.Store(false) }, Config: w.toFile("dev.qcow2", "")},
		},
	})
}

// All of it by a real SSH server, with the remote given by the provider block.
func TestAccImage_overSSH(t *testing.T) {
	t.Parallel()
	s := hosttest.StartSSHD(t)
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "work")
	config := func(body string) string {
		return strings.Replace(w.hcl(body), `provider "pim" {`, fmt.Sprintf(`provider "pim" {
  builders = { x86_64 = ["pve"] }
  remotes = {
    pve = {
      host          = "127.0.0.1"
      port          = %d
      user          = %q
      identity_file = %q
      known_hosts   = %q
      work_dir      = %q
    }
  }`, s.Port, s.User, s.Identity, s.KnownHosts, dir), 1)
	}
	if own := host.NewLocal().Arch(); own != host.X86_64 {
		t.Skipf("a remote that is %s does not build x86_64 images", own)
	}
	if err := tools(t.Context(), host.NewLocal(), build.Spec{Arch: host.X86_64, Firmware: "bios"}); err != nil {
		t.Skip(err)
	}
	w.test(t, resource.TestCase{
		CheckDestroy: check(func() error {
			left, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.qcow2"))
			if left = append(left, w.stored()...); err != nil || len(left) > 0 {
				return fmt.Errorf("left behind: %v %w", left, err)
			}
			return nil
		}),
		Steps: []resource.TestStep{
			{Config: config(devImage), ConfigPlanChecks: emptyAfter, Check: resource.ComposeTestCheckFunc(w.expect(1, 0), imageIs("pve", dir))},
			{
				PreConfig: s.Cut, Config: config(fetched), ConfigPlanChecks: before(plancheck.ResourceActionUpdate),
				Check: resource.ComposeTestCheckFunc(w.expect(1, 1), imageIs("pve", w.data)),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(dev, tfjsonpath.New("status"), knownvalue.StringExact(statusOK)),
				},
			},
		},
	})
}
