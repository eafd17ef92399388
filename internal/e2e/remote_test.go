//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// remoteBuild builds the image once more, on this machine as a remote one with a store of its own, into which only the
// install layer is put. The connection is lost while the first script runs, which the build outlives.
func remoteBuild(t *testing.T, w *workspace) {
	server := hosttest.StartSSHD(t)
	local := w.manifest(t).Steps
	r := w.remote(t, server).workspace(t)

	applied := r.start(t, "apply", "-auto-approve")
	ended := make(chan int, 1)
	go func() { ended <- applied.wait(t) }()
	r.await(t, ended, "script base", "begin")
	t.Log("the connection is lost")
	server.Cut()
	if status := <-ended; status != 0 {
		t.Fatalf("exit status %d after a connection that came back", status)
	}
	if !r.logged(t, "connection", "lost") || !r.logged(t, "connection", "back") || !r.logged(t, "script base", "end") {
		t.Error("the build's log does not tell that the connection was lost and came back")
	}
	m := r.manifest(t)
	if at := r.value(t, "path"); m.Builder != "lab" || m.Verify == nil || !strings.HasPrefix(at, r.data) {
		t.Errorf("built by %q in %s, verified as %+v", m.Builder, at, m.Verify)
	}
	if !r.logged(t, "install", "reuse") {
		t.Error("the build did not start from the installed layer")
	}
	r.nothingLeft(t)
	here, there := sinceLayer(local), sinceLayer(m.Steps)
	t.Logf("from the layer: %s here, %s over SSH, %.2f times as long", here, there, there.Seconds()/here.Seconds())

	r.do(t, 0, "plan", "-detailed-exitcode") // nothing is left to do
	r.do(t, 0, "destroy", "-auto-approve")
	if left := append(r.files(t, "cache/images"), r.files(t, "refs")...); len(left) > 0 {
		t.Errorf("destroy left %v", left)
	}
}

// remote is the bench with a remote named lab that builds everything. data is the remote's store, of which the install
// layer is the only content; the store on this side is empty.
func (b *bench) remote(t *testing.T, server *hosttest.SSHD) *bench {
	t.Helper()
	r := &bench{cli: b.cli, config: filepath.Join(t.TempDir(), "pim"), data: filepath.Join(filepath.Dir(b.data), "e2e-remote")}
	must(t, os.RemoveAll(r.data))
	t.Cleanup(func() { must(t, os.RemoveAll(r.data)) })
	layers := filepath.Join(r.data, "layers")
	must(t, os.MkdirAll(layers, 0o700))
	for _, name := range b.installed {
		must(t, os.Link(filepath.Join(b.data, "layers", name), filepath.Join(layers, name))) // nobody writes to one
	}
	must(t, os.CopyFS(r.config, os.DirFS(b.config)))
	r.buildOn(t, server.Login, r.data)
	r.env = slices.Concat(b.env, []string{"PIM_CONFIG_DIR=" + r.config, "PIM_DATA_DIR=" + t.TempDir()})
	return r
}

// buildOn makes a remote named lab build everything. more are settings of it.
func (b *bench) buildOn(t *testing.T, l hosttest.Login, workDir string, more ...string) {
	t.Helper()
	settings := append([]string{
		"type: ssh", "host: " + l.Host, fmt.Sprint("port: ", l.Port), "user: " + l.User, "identity_file: " + l.Identity,
		"known_hosts: " + l.KnownHosts, "work_dir: " + workDir,
	}, more...)
	text := "build:\n  builders: {x86_64: lab}\n  remotes:\n    lab: {" + strings.Join(settings, ", ") + "}\n"
	must(t, os.WriteFile(filepath.Join(b.config, "pim.yml"), []byte(text), 0o644))
}

// sinceLayer is how long the steps after the installation took.
func sinceLayer(steps []cache.Step) (total time.Duration) {
	for _, s := range steps {
		switch s.Name {
		case "boot", "scripts", "finalize", "compact", "verify":
			total += time.Duration(s.Seconds * float64(time.Second))
		}
	}
	return total
}
