//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/debtest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// bench is what all workspaces of a test run share: the installer, its package proxy, the provider and the store.
type bench struct {
	cli     string // tofu or terraform
	config  string // config_dir
	data    string // data_dir, or the work_dir of the machine that builds
	env     []string
	kit     *debtest.Kit
	machine *hosttest.Machine // that builds, nil for this one
	own     string            // data_dir when a machine builds

	installed []string // the files of the image's install layer, and of earlier runs'
}

// newBench prepares the x86_64 installer and a store that holds at most the layers of an earlier run.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := benchFor(t, host.X86_64)
	for _, stale := range []string{"builds", "cache", "refs", "registry.yml"} {
		must(t, os.RemoveAll(filepath.Join(b.data, stale)))
	}
	return b
}

// benchFor prepares the installer of an architecture, and a store that holds what earlier runs left in it.
func benchFor(t *testing.T, arch host.Arch) *bench {
	t.Helper()
	cli := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if cli == "" {
		t.Fatal("TF_ACC_TERRAFORM_PATH must name tofu or terraform; `make e2e` sets it")
	}
	dir := os.Getenv("PIM_E2E_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	kit, err := debtest.Prepare(t.Context(), dir, arch, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatalf("cannot prepare the installer: %v", err)
	}
	proxy, err := kit.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{kit: kit, cli: cli, config: filepath.Join(t.TempDir(), "pim"), data: filepath.Join(dir, "e2e")}
	if arch != host.X86_64 {
		b.data = filepath.Join(dir, string(arch)) // a store of its own, so that both can be tested at once
	}
	must(t, os.CopyFS(b.config, os.DirFS("../../examples/demo/pim")))
	must(t, os.MkdirAll(filepath.Join(b.config, "isos.d"), 0o755))
	must(t, os.WriteFile(filepath.Join(b.config, "isos.d", "debian.yml"), []byte(
		"debian:\n  url: file://"+kit.ISO+"\n  checksum: sha256:"+kit.SHA256+"\n  architecture: "+string(arch)+"\n"), 0o644))
	args, err := json.Marshal(append([]string{}, kit.BootArgs()...))
	must(t, err)
	b.env = append(os.Environ(),
		"TF_CLI_CONFIG_FILE="+b.provider(t), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0", "TF_CLI_ARGS=-no-color",
		"PIM_CONFIG_DIR="+b.config, "PIM_DATA_DIR="+b.data, "PIM_CACHE_DIR="+filepath.Join(dir, "e2e-cache"),
		"PIM_HTTP_PROXY="+proxy.GuestURL, "TF_VAR_boot_args="+string(args))
	return b
}

// provider builds the provider and returns a CLI configuration that uses it.
func (b *bench) provider(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", dir, "../..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the provider: %v\n%s", err, out)
	}
	rc := filepath.Join(dir, "cli.tfrc")
	must(t, os.WriteFile(rc, []byte("provider_installation {\n  dev_overrides { \"pim-tools/pim\" = \""+dir+"\" }\n  direct {}\n}\n"), 0o644))
	return rc
}

// script writes a provisioning script.
func (b *bench) script(t *testing.T, name, body string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(b.config, "scripts.d", name+".sh"), []byte("#!/bin/sh\nset -eu\n"+body+"\n"), 0o755))
}

// files lists what is in a directory of the store.
func (b *bench) files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(b.data, dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// workspace is one person's working directory and state.
type workspace struct {
	*bench
	dir  string
	vars []string
}

func (b *bench) workspace(t *testing.T) *workspace { return b.workspaceOf(t, "testdata/main.tf") }

// workspaceOf is a working directory with a configuration.
func (b *bench) workspaceOf(t *testing.T, config string) *workspace {
	t.Helper()
	w := &workspace{bench: b, dir: t.TempDir()}
	main, err := os.ReadFile(config)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.dir, "main.tf"), main, 0o644))
	return w
}

// with is the same workspace with other variables, each "name=value".
func (w *workspace) with(vars ...string) *workspace {
	return &workspace{w.bench, w.dir, vars}
}

// run is one run of the CLI.
type run struct {
	cmd *exec.Cmd
	out *output
}

// start starts the CLI in a process group of its own. Its output goes to the test's log.
func (w *workspace) start(t *testing.T, args ...string) *run {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &run{cmd: exec.CommandContext(ctx, w.cli, args...), out: &output{t: t}}
	if verb := args[0]; verb == "plan" || verb == "apply" || verb == "destroy" {
		for _, v := range w.vars {
			r.cmd.Args = append(r.cmd.Args, "-var="+v)
		}
	}
	r.cmd.Dir, r.cmd.Env = w.dir, w.env
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.out.quiet = args[0] == "show" // a plan in JSON is not for people
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(os.Interrupt) } // the provider tidies up
	r.cmd.WaitDelay = 2 * time.Minute
	t.Logf("$ %s", strings.Join(r.cmd.Args, " "))
	must(t, r.cmd.Start())
	t.Cleanup(cancel)
	return r
}

// wait returns the exit status.
func (r *run) wait(t *testing.T) int {
	t.Helper()
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", r.cmd.Path, err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// cli runs the CLI to its end and requires an exit status.
func (w *workspace) do(t *testing.T, status int, args ...string) string {
	t.Helper()
	r := w.start(t, args...)
	if got := r.wait(t); got != status {
		t.Fatalf("%s: exit status %d, want %d", strings.Join(args, " "), got, status)
	}
	return r.out.String()
}

func (w *workspace) apply(t *testing.T) string {
	t.Helper()
	return w.do(t, 0, "apply", "-auto-approve")
}

// value is an output of the module.
func (w *workspace) value(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(w.do(t, 0, "output", "-raw", name))
}

// output collects what the CLI prints and shows it as it comes, but for the lines that only count seconds.
type output struct {
	t     *testing.T
	quiet bool
	mu    sync.Mutex
	all   bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(string(p)) {
		if line = strings.TrimRight(line, "\n"); line != "" && !o.quiet && !strings.Contains(line, "Still creating...") {
			o.t.Log(line)
		}
	}
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
