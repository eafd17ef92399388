package deploytest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// limit bounds whatever a test waits for. It is long because it is only ever reached by a defect.
const limit = 2 * time.Minute

// Run tests that a target keeps what deploy.Target promises. Each test opens a world of its own.
func Run(t *testing.T, open func(t *testing.T) World) {
	qemutest.Need(t)
	suite := []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"Life", life},
		{"Replace", replace},
		{"Keep", keep},
		{"Adopt", adopt},
		{"Repair", repair},
		{"Gone", gone},
		{"Faults", faults},
		{"Cancel", cancelled},
	}
	for _, s := range suite {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, &bench{open: open, images: t.TempDir()})
		})
	}
}

// bench opens worlds and makes images.
type bench struct {
	open   func(t *testing.T) World
	images string
}

// subject is a deployment in a world.
type subject struct {
	World
	target deploy.Target
	state  deploy.State
}

func (b *bench) subject(t *testing.T) *subject {
	t.Helper()
	w := b.open(t)
	return &subject{World: w, target: w.Target(t, nil)}
}

// request asks for an image with a content of its own: a few blocks of data far apart on a disk of 8 MiB.
func (b *bench) request(t *testing.T, content string) deploy.Request {
	t.Helper()
	path := filepath.Join(b.images, content+".qcow2")
	h := host.NewLocal()
	if _, err := os.Stat(path); err != nil {
		disk := make([]byte, 8<<20)
		for _, at := range []int{0, 1 << 20, 5<<20 + 4096} {
			copy(disk[at:], strings.Repeat(content+"\n", 1000))
		}
		raw := filepath.Join(b.images, content+".raw")
		must(t, os.WriteFile(raw, disk, 0o600))
		qemuImg(t, "convert", "-c", "-f", "raw", "-O", "qcow2", raw, path)
	}
	data, err := os.ReadFile(path)
	must(t, err)
	sum := sha256.Sum256(data)
	key := sha256.Sum256([]byte(content))
	return deploy.Request{Name: "conformance", Image: deploy.Image{
		Host: h, Path: path, Name: "conformance", Profile: "conformance", Key: hex.EncodeToString(key[:]),
		Arch: host.X86_64, Firmware: qemu.BIOS, SHA256: hex.EncodeToString(sum[:]),
		SizeBytes: int64(len(data)), VirtualBytes: 8 << 20, BuiltAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}}
}

func (s *subject) apply(ctx context.Context, r deploy.Request, o deploy.Options) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var warnings []string
	var err error
	s.state, warnings, err = deploy.Apply(ctx, s.target, s.state, r, o)
	return warnings, err
}

func (s *subject) mustApply(t *testing.T, r deploy.Request, o deploy.Options) {
	t.Helper()
	warnings, err := s.apply(t.Context(), r, o)
	if err != nil {
		t.Fatalf("cannot deploy: %v", err)
	}
	if len(warnings) > 0 {
		t.Fatalf("deploying warned: %q", warnings)
	}
	if s.state.Current == nil || s.state.Current.ImageKey != r.Image.Key || s.state.Current.ID == "" || s.state.Current.DeployedAt.IsZero() {
		t.Fatalf("deployed %+v", s.state.Current)
	}
}

func (s *subject) destroy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	left, warnings, err := deploy.Destroy(ctx, s.target, s.state)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("cannot destroy: %v, warnings %q", err, warnings)
	}
	s.state = left
	s.settled(t)
}

// settled wants the backend to hold what the state says exists, all of it and nothing else. Nothing of it is a rest: a
// single fault keeps no target from cleaning up.
func (s *subject) settled(t *testing.T) {
	t.Helper()
	var want []string
	for _, r := range s.generations() {
		if r.Broken {
			t.Errorf("%s was left behind", r.ID)
		}
		of := s.Of(t, r)
		if len(of) == 0 {
			t.Errorf("nothing at the backend belongs to %s", r.ID)
		}
		want = append(want, of...)
	}
	have := s.Inventory(t)
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(slices.Compact(want), have) {
		t.Errorf("the backend has\n  %s\nwant\n  %s", strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}

func (s *subject) generations() []deploy.Result {
	all := slices.Clone(s.state.Previous)
	if s.state.Current != nil {
		all = append(all, *s.state.Current)
	}
	return all
}

// clean wants a read to find everything as it was made.
func (s *subject) clean(t *testing.T) {
	t.Helper()
	now, status, drift, err := deploy.Refresh(t.Context(), s.target, s.state)
	if err != nil || status != deploy.StatusOK {
		t.Fatalf("reads as %q, drift %q: %v", status, drift, err)
	}
	if got, want := fmt.Sprintf("%+v", *now.Current), fmt.Sprintf("%+v", *s.state.Current); got != want {
		t.Errorf("reads as %s\nmade as  %s", got, want)
	}
	s.state = now
}

// serves wants a generation's disk to be the image, byte for byte.
func (s *subject) serves(t *testing.T, r deploy.Result, image string) {
	t.Helper()
	qemuImg(t, "compare", "-f", "raw", "-F", "qcow2", s.Disk(t, r), image)
}

func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	h := host.NewLocal()
	img, err := qemu.FindImg(h)
	must(t, err)
	var out strings.Builder
	if err := h.Run(t.Context(), host.Cmd{Argv: append([]string{img}, args...), Stdout: &out, Stderr: &out}); err != nil {
		t.Errorf("qemu-img %s: %v\n%s", args[0], err, out.String())
	}
}

func life(t *testing.T, b *bench) {
	s := b.subject(t)
	r := b.request(t, "first")
	problems, err := s.target.Check(t.Context(), r)
	if err != nil || len(problems) > 0 {
		t.Fatalf("the check found %v: %v", problems, err)
	}
	planned := r
	planned.Image.Path, planned.Image.SHA256, planned.Image.SizeBytes, planned.Image.VirtualBytes = "", "", 0, 0
	if problems, err := s.target.Check(t.Context(), planned); err != nil || len(problems) > 0 {
		t.Fatalf("the check of an image that is yet to be built found %v: %v", problems, err)
	}
	s.settled(t) // a check changes nothing
	s.mustApply(t, r, deploy.Options{})
	s.settled(t)
	s.clean(t)
	s.serves(t, *s.state.Current, r.Image.Path)
	before := *s.state.Current
	s.mustApply(t, r, deploy.Options{}) // nothing to do
	if s.state.Current.ID != before.ID {
		t.Errorf("the second apply made %s beside %s", s.state.Current.ID, before.ID)
	}
	s.clean(t)
	s.settled(t)
	last := s.state
	s.destroy(t)
	s.state = last
	s.destroy(t) // again
}

// replace makes the new generation before the old one goes, and a failure leaves the old one as it was.
func replace(t *testing.T, b *bench) {
	s := b.subject(t)
	s.mustApply(t, b.request(t, "first"), deploy.Options{})
	old := *s.state.Current
	broken := b.request(t, "second")
	broken.Image.Path += ".missing"
	if _, err := s.apply(t.Context(), broken, deploy.Options{}); err == nil {
		t.Fatal("an image that does not exist was deployed")
	}
	if s.state.Current == nil || s.state.Current.ID != old.ID {
		t.Fatalf("after a failed replacement the deployment is %+v", s.state.Current)
	}
	s.settled(t)
	s.clean(t)
	r := b.request(t, "second")
	s.mustApply(t, r, deploy.Options{})
	s.settled(t)
	s.clean(t)
	s.serves(t, *s.state.Current, r.Image.Path)
	before := *s.state.Current
	s.mustApply(t, r, deploy.Options{Recreate: true})
	s.settled(t)
	s.serves(t, *s.state.Current, r.Image.Path)
	if s.state.Current.DeployedAt.Before(before.DeployedAt) {
		t.Errorf("made anew at %s, before at %s", s.state.Current.DeployedAt, before.DeployedAt)
	}
	s.destroy(t)
}

func keep(t *testing.T, b *bench) {
	s := b.subject(t)
	o := deploy.Options{Keep: 1}
	first, second := b.request(t, "first"), b.request(t, "second")
	s.mustApply(t, first, o)
	s.mustApply(t, second, o)
	if len(s.state.Previous) != 1 || s.state.Previous[0].ImageKey != first.Image.Key {
		t.Fatalf("kept %+v", s.state.Previous)
	}
	s.settled(t)
	s.clean(t)
	s.serves(t, s.state.Previous[0], first.Image.Path)
	s.serves(t, *s.state.Current, second.Image.Path)
	s.mustApply(t, b.request(t, "third"), o)
	if len(s.state.Previous) != 1 || s.state.Previous[0].ImageKey != second.Image.Key {
		t.Fatalf("kept %+v", s.state.Previous)
	}
	s.settled(t)
	s.serves(t, s.state.Previous[0], second.Image.Path)
	s.mustApply(t, b.request(t, "third"), deploy.Options{})
	s.settled(t)
	s.destroy(t)
}

func adopt(t *testing.T, b *bench) {
	s := b.subject(t)
	r := b.request(t, "first")
	if _, err := s.target.Find(t.Context(), r); !errors.Is(err, deploy.ErrNotFound) {
		t.Fatalf("found something where nothing is: %v", err)
	}
	s.mustApply(t, r, deploy.Options{Adopt: true})
	lost := *s.state.Current
	s.state = deploy.State{}
	if _, err := s.target.Find(t.Context(), b.request(t, "second")); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("found another image's: %v", err)
	}
	other := r
	other.Name = "another"
	if _, err := s.target.Find(t.Context(), other); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("found another deployment's: %v", err)
	}
	s.mustApply(t, r, deploy.Options{Adopt: true})
	if got, want := fmt.Sprintf("%+v", *s.state.Current), fmt.Sprintf("%+v", lost); got != want {
		t.Errorf("adopted %s\nlost    %s", got, want)
	}
	s.clean(t)
	s.settled(t)
	s.destroy(t)
}

func repair(t *testing.T, b *bench) {
	s := b.subject(t)
	r := b.request(t, "first")
	s.mustApply(t, r, deploy.Options{})
	s.Tamper(t, *s.state.Current)
	_, status, drift, err := deploy.Refresh(t.Context(), s.target, s.state)
	if err != nil || status != deploy.StatusChanged || len(drift) == 0 {
		t.Fatalf("a deployment changed by hand reads as %q, drift %q: %v", status, drift, err)
	}
	s.mustApply(t, r, deploy.Options{})
	s.clean(t)
	s.settled(t)
	s.serves(t, *s.state.Current, r.Image.Path)
	s.destroy(t)
}

func gone(t *testing.T, b *bench) {
	s := b.subject(t)
	r := b.request(t, "first")
	s.mustApply(t, r, deploy.Options{})
	s.Remove(t, *s.state.Current)
	_, status, _, err := deploy.Refresh(t.Context(), s.target, s.state)
	if err != nil || status != deploy.StatusMissing {
		t.Fatalf("a deployment removed by hand reads as %q: %v", status, err)
	}
	s.mustApply(t, r, deploy.Options{Recreate: true})
	s.settled(t)
	s.Remove(t, *s.state.Current)
	s.destroy(t)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
