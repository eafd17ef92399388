package proxmox

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// request asks for a deployment of a small image with a content of its own.
func request(t *testing.T, name, content string) deploy.Request {
	t.Helper()
	qemutest.Need(t)
	disk := make([]byte, 4<<20)
	copy(disk[1<<20:], strings.Repeat(content+"\n", 10000))
	raw, path := filepath.Join(t.TempDir(), "disk.raw"), filepath.Join(t.TempDir(), "disk.qcow2")
	if err := os.WriteFile(raw, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	convert(t, "convert", "-c", "-f", "raw", "-O", "qcow2", raw, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum, key := sha256.Sum256(data), sha256.Sum256([]byte(content))
	return deploy.Request{Name: name, Image: deploy.Image{
		Host: host.NewLocal(), Path: path, Name: name, Profile: "developer", Key: hex.EncodeToString(key[:]), Arch: host.X86_64,
		Firmware: qemu.BIOS, SHA256: hex.EncodeToString(sum[:]), SizeBytes: int64(len(data)), VirtualBytes: int64(len(disk)),
	}}
}

// mustDeploy deploys, and wants the template's disk to be the image.
func mustDeploy(t *testing.T, w *world, target deploy.Target, r deploy.Request) *deploy.Result {
	t.Helper()
	made, err := target.Deploy(t.Context(), r)
	if err != nil {
		t.Fatalf("cannot deploy: %v", err)
	}
	convert(t, "compare", "-f", "raw", "-F", "qcow2", w.Disk(t, *made), r.Image.Path)
	return made
}

// empty wants nothing to be at the server.
func empty(t *testing.T, w *world) {
	t.Helper()
	if have := w.Server.Inventory(); len(have) > 0 {
		t.Errorf("left: %q", have)
	}
}

// notes collects what a deployment reports.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) report(step string, _, _ int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, step)
}

func (n *notes) has(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(strings.Join(n.lines, "\n"), text)
}

var allVersions = []string{"8.2", "8.3", "8.4", "9.2"}

// grants are a token's, with Role everywhere but on one path.
func grants(path string, privileges ...string) map[string]map[string][]string {
	return map[string]map[string][]string{pvetest.TokenID: {"/": pvetest.Role, path: privileges}}
}
