package provider

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func TestMain(m *testing.M) {
	if os.Getenv("TF_CLI_CONFIG_FILE") == "" { // a developer's own settings must not reach a test
		setenv("TF_CLI_CONFIG_FILE", os.DevNull)
	}
	for name, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": awstest.AccessKey, "AWS_SECRET_ACCESS_KEY": awstest.SecretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "",
	} {
		setenv(name, v)
	}
	m.Run()
}

func setenv(name, v string) {
	if err := os.Setenv(name, v); err != nil {
		panic(err)
	}
}

// world is what an acceptance test acts in: the folders of a user, and a machine that builds images in no time.
type world struct {
	t                                *testing.T
	config, project, data, downloads string
	builds                           *fakeBuilds
	host                             *fakeHost
	remotes                          map[string]*fakeRemote // reached by their names; any other by SSH
	work                             *Work
	cluster                          *fakeCluster // stands for every Proxmox cluster, unless kinds says otherwise
	kinds                            kinds
	env                              map[string]string // the environment's variables
}

const profilePassword = "from-the-profile"

// newWorld holds one profile, "dev", with two scripts.
func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		t: t, config: filepath.Join(dir, "config"), project: filepath.Join(dir, "project"), data: filepath.Join(dir, "data"),
		downloads: filepath.Join(dir, "cache"), builds: &fakeBuilds{},
		host:    &fakeHost{Host: host.NewLocal(), arch: host.X86_64},
		remotes: map[string]*fakeRemote{}, work: NewWork(t.Context()),
		cluster: &fakeCluster{}, env: map[string]string{},
	}
	w.kinds = w.cluster.kinds()
	t.Cleanup(func() {
		if err := w.work.Close(); err != nil {
			t.Error(err)
		}
	})
	w.write("isos.d/tiny.yml", `
tiny:
  url: https://example.test/tiny.iso
  checksum: sha256:`+strings.Repeat("a", 64)+`
  architecture: x86_64
`)
	w.write("profiles.d/dev.yml", `
dev:
  hostname: dev
  password: `+profilePassword+`
  architectures: [x86_64]
  iso: tiny
  scripts: [base, developer]
  build:
    disk_size: 1G
`)
	w.write("scripts.d/base.sh", "#!/bin/sh\necho base\n")
	w.write("scripts.d/developer.sh", "#!/bin/sh\necho developer\n")
	return w
}

// write puts a file into the user's folder.
func (w *world) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.config, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.config, name)); err != nil {
		w.t.Fatal(err)
	}
}

// hcl is a configuration with its provider block.
func (w *world) hcl(body string) string {
	return fmt.Sprintf(`
provider "pim" {
  config_dir  = %q
  project_dir = %q
  data_dir    = %q
  cache_dir   = %q
}
`, w.config, w.project, w.data, w.downloads) + body
}

// providers are the factories of the provider under test.
func (w *world) providers() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"pim": func() (tfprotov6.ProviderServer, error) {
			p := New("test", WithWork(w.work), withHost(w.host), withEnvironment(w.environment()), withKinds(w.kinds), withBuilder(w.builder),
				withDial(w.dial))
			return providerserver.NewProtocol6WithError(p())()
		},
	}
}

func withHost(h host.Host) Option { return func(p *pimProvider) { p.host = h } }

func withEnvironment(e environment) Option { return func(p *pimProvider) { p.env = e } }

func withKinds(ks kinds) Option { return func(p *pimProvider) { p.kinds = ks } }

func withBuilder(b func(host.Host, *cache.Store, int) imageBuilder) Option {
	return func(p *pimProvider) { p.builder = b }
}

func withDial(d func(context.Context, host.SSHConfig) (remoteHost, error)) Option {
	return func(p *pimProvider) { p.dial = d }
}

func (w *world) builder(h host.Host, s *cache.Store, _ int) imageBuilder {
	return &fakeBuilder{fakeBuilds: w.builds, host: h, store: s}
}

func (w *world) environment() environment {
	return environment{getenv: func(name string) string { return w.env[name] }, home: os.UserHomeDir}
}

// stored are the files of images in the store: a qcow2 and a manifest each.
func (w *world) stored() []string {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.data, "cache", "images", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// images are the image files in the store.
func (w *world) images() []string {
	w.t.Helper()
	return slices.DeleteFunc(w.stored(), func(f string) bool { return filepath.Ext(f) != ".qcow2" })
}

// references are the references to images in the store.
func (w *world) references() []string {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.data, "refs", "*", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// runtime is the configured provider without a CLI.
func (w *world) runtime() *runtime {
	w.t.Helper()
	p := &pimProvider{env: w.environment(), builder: w.builder, dial: w.dial}
	builders, diags := p.builders(w.t.Context(), noneGiven(), profile.Options{ConfigDir: w.config, ProjectDir: w.project})
	if diags.HasError() {
		w.t.Fatal(diags)
	}
	store := cache.NewStore(w.host, w.data, w.downloads)
	return &runtime{
		host: w.host, store: store, machines: newMachines(w.host, store, builders, p), work: NewWork(context.Background()),
		env: w.environment(), kinds: w.kinds, builders: builders,
		configDir: w.config, projectDir: w.project,
	}
}
