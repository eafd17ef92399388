package provider

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// fakeBuilds is what the fake builders of one test have in common: terraform starts a provider for each command.
type fakeBuilds struct {
	mu    sync.Mutex
	specs []build.Spec // what was really built, in order

	fail  error // returned instead of an image
	after error // returned together with an image
	tcg   bool  // pretend to emulate
	hook  func()

	free map[string]int // build slots by machine

	begun chan struct{} // when not nil, builds report here and last until they are cancelled
}

func (f *fakeBuilds) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.specs)
}

func (f *fakeBuilds) last() build.Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.specs[len(f.specs)-1]
}

// fakeBuilder keeps the contract of build.Builder with the real store, but makes an empty disk in no time.
type fakeBuilder struct {
	*fakeBuilds
	host  host.Host
	store *cache.Store
}

func (b *fakeBuilder) FreeSlots(context.Context) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free[b.host.Name()], nil
}

func (b *fakeBuilder) Build(ctx context.Context, s build.Spec) (_ *cache.Image, err error) {
	inputs, err := s.Inputs()
	if err != nil {
		return nil, err
	}
	key := inputs.Key()
	unlock, err := b.store.Lock(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if img, err := b.store.Image(ctx, s.Name, s.Arch, key); err == nil && b.store.Verify(ctx, img) == nil {
		return img, nil
	}
	if b.begun != nil {
		b.begun <- struct{}{}
		<-ctx.Done()
		return nil, &build.Error{Step: "install", Err: context.Cause(ctx)}
	}
	if b.hook != nil {
		b.hook()
	}
	if b.fail != nil {
		return nil, b.fail
	}
	begun := time.Now()
	tmp := b.store.TempPath(key, "disk")
	if err := host.WriteFile(b.host, tmp, emptyDisk(s.DiskSize), 0o644); err != nil {
		return nil, err
	}
	m := cache.Manifest{
		Key: key, Name: s.Name, Profile: s.Profile, Arch: s.Arch, Format: build.Format, Firmware: s.Firmware, TPM: s.TPM, Inputs: inputs.Map(),
		VirtualSizeBytes: s.DiskSize, Builder: b.host.Name(), Accelerator: "kvm", Recipe: build.Recipe, StartedAt: begun, BuiltAt: time.Now(),
	}
	if b.tcg {
		m.Accelerator, m.AcceleratorReason = "tcg", "the probe guest did not answer"
	}
	b.mu.Lock()
	b.specs = append(b.specs, s)
	b.mu.Unlock()
	img, err := b.store.PublishImage(ctx, tmp, m)
	if err != nil {
		return nil, err
	}
	return img, errors.Join(b.store.RegisterImage(ctx, img), b.after)
}

// emptyDisk is a qcow2 of version 2 without data: header, refcount table, one refcount block, and L1 table, each in
// a cluster of its own. Source: QEMU's docs/interop/qcow2.txt.
func emptyDisk(size int64) []byte {
	const cluster = 1 << 16
	l1 := (size + cluster*cluster/8 - 1) / (cluster * cluster / 8) // an L2 table maps 8192 clusters
	disk := make([]byte, 4*cluster)
	be := binary.BigEndian
	be.PutUint32(disk[0:], 0x514649fb) // "QFI\xfb"
	be.PutUint32(disk[4:], 2)
	be.PutUint32(disk[20:], 16) // cluster bits
	be.PutUint64(disk[24:], uint64(size))
	be.PutUint32(disk[36:], uint32(l1))
	be.PutUint64(disk[40:], 3*cluster) // L1 table
	be.PutUint64(disk[48:], 1*cluster) // refcount table
	be.PutUint32(disk[56:], 1)         // its clusters
	be.PutUint64(disk[cluster:], 2*cluster)
	for i := range 4 {
		be.PutUint16(disk[2*cluster+2*i:], 1)
	}
	return disk
}

func TestEmptyDiskIsAQcow2(t *testing.T) {
	qemuImg, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	file := filepath.Join(t.TempDir(), "empty.qcow2")
	if err := os.WriteFile(file, emptyDisk(20<<30), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(qemuImg, "check", "-f", "qcow2", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// fakeHost is this machine, taken for one of a given architecture, with or without QEMU.
type fakeHost struct {
	host.Host
	arch   host.Arch
	noQEMU bool
}

func (h *fakeHost) Arch() host.Arch { return h.arch }

func (h *fakeHost) LookPath(name string) (string, error) {
	if h.noQEMU {
		return "", fmt.Errorf("%s: %w", name, host.ErrNotFound)
	}
	return "/usr/bin/" + name, nil
}

// fakeRemote is this machine, taken for another one: a remote with a folder of its own.
type fakeRemote struct {
	fakeHost
	name string
	home string // of its user
	bare bool   // nobody says how much memory it has
	away atomic.Bool
}

// remote adds a remote of the architecture.
func (w *world) remote(name string, arch host.Arch) *fakeRemote {
	r := &fakeRemote{fakeHost: fakeHost{Host: host.NewLocal(), arch: arch}, name: name, home: filepath.Join(filepath.Dir(w.data), name)}
	w.remotes[name] = r
	return r
}

// dial reaches the fake remotes, and a real one by SSH.
func (w *world) dial(ctx context.Context, c host.SSHConfig) (remoteHost, error) {
	r, ok := w.remotes[c.Name]
	if !ok {
		c.ConfigFile, c.Agent = "none", "none"
		return dialSSH(ctx, c)
	}
	return r, r.Reconnect(ctx)
}

func (r *fakeRemote) Name() string { return r.name }

func (r *fakeRemote) Disconnected() <-chan struct{} {
	lost := make(chan struct{})
	if r.away.Load() {
		close(lost)
	}
	return lost
}

func (r *fakeRemote) Reconnect(context.Context) error {
	if r.away.Load() {
		return fmt.Errorf("cannot reach %s by SSH: %w", r.name, host.ErrDisconnected)
	}
	return nil
}

func (r *fakeRemote) Close() error { return nil }

func (r *fakeRemote) OpenFile(path string, flag int, perm fs.FileMode) (host.File, error) {
	if r.bare && path == "/proc/meminfo" {
		return nil, fs.ErrNotExist
	}
	return r.Host.OpenFile(path, flag, perm)
}

// Run gives commands the home of the remote's user.
func (r *fakeRemote) Run(ctx context.Context, c host.Cmd) error {
	c.Env = append(c.Env, "HOME="+r.home)
	return r.Host.Run(ctx, c)
}

// files are those in its work_dir that match.
func (r *fakeRemote) files(pattern string) []string {
	files, _ := filepath.Glob(filepath.Join(r.home, profile.DefaultWorkDir[2:], pattern)) // the pattern is ours
	return files
}

// images are the image files it keeps.
func (r *fakeRemote) images() []string { return r.files("cache/images/*.qcow2") }

// keeps are all files it keeps for images.
func (r *fakeRemote) keeps() []string {
	return append(r.files("cache/images/*"), r.files("refs/*/*")...)
}
