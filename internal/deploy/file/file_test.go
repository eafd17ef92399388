package file_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/file"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// request asks for an image of a disk of 64 MiB with a little data.
func request(t *testing.T, content string) deploy.Request {
	t.Helper()
	qemutest.Need(t)
	h, path := host.NewLocal(), filepath.Join(t.TempDir(), "image.qcow2")
	disk := make([]byte, 64<<20)
	copy(disk[1<<20:], strings.Repeat(content, 1000))
	must(t, os.WriteFile(path+".raw", disk, 0o600))
	img, err := qemu.FindImg(h)
	must(t, err)
	must(t, h.Run(t.Context(), host.Cmd{Argv: []string{img, "convert", "-c", "-f", "raw", "-O", "qcow2", path + ".raw", path}}))
	return deploy.Request{Name: "web", Image: deploy.Image{
		Host: h, Path: path, Name: "web", Key: strings.Repeat(content, 64)[:64], Arch: host.X86_64,
	}}
}

func deployed(t *testing.T, target deploy.Target, r deploy.Request) deploy.Result {
	t.Helper()
	res, err := target.Deploy(t.Context(), r)
	must(t, err)
	return *res
}

func list(t *testing.T, w *world) []string {
	t.Helper()
	var names []string
	for _, path := range w.Inventory(t) {
		names = append(names, filepath.Base(path))
	}
	return names
}

func TestFormats(t *testing.T) {
	r := request(t, "a")
	for _, format := range qemu.Formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, format)
			have := deployed(t, w.Target(t, nil), r)
			if out, err := exec.CommandContext(t.Context(), "qemu-img", "compare", "-f", format, "-F", "qcow2", have.Path, r.Image.Path).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			check := exec.CommandContext(t.Context(), "sha256sum", "-c", filepath.Base(have.Path)+".sha256")
			check.Dir = w.dir
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			var st syscall.Stat_t
			must(t, syscall.Stat(have.Path, &st))
			if used := st.Blocks * 512; used > 8<<20 {
				t.Errorf("it takes %d bytes of the disk", used)
			}
		})
	}
}

// What pim did not make, or another deployment did, is never overwritten; the plan says so.
func TestTaken(t *testing.T) {
	first, second := request(t, "a"), request(t, "b")
	another := second
	another.Name = "db"
	for name, c := range map[string]struct {
		r       deploy.Request
		prepare func(t *testing.T, w *world) // beside or in place of the first
		says    string
	}{
		"a file": {second, func(t *testing.T, w *world) {
			must(t, os.MkdirAll(w.dir, 0o700))
			must(t, os.WriteFile(filepath.Join(w.dir, "disk.qcow2"), []byte("precious"), 0o600))
		}, "pim did not make it"},
		"a checksum": {second, func(t *testing.T, w *world) {
			must(t, os.MkdirAll(w.dir, 0o700))
			must(t, os.WriteFile(filepath.Join(w.dir, "disk.qcow2.sha256"), []byte("precious"), 0o600))
		}, "pim did not make it"},
		"a folder": {second, func(t *testing.T, w *world) {
			must(t, os.MkdirAll(filepath.Join(w.dir, "disk.qcow2"), 0o700))
		}, "pim did not make it"},
		"another deployment": {another, func(t *testing.T, w *world) { deployed(t, w.Target(t, nil), first) }, `belongs to the deployment "web"`},
		"ours, changed": {second, func(t *testing.T, w *world) {
			change(t, deployed(t, w.Target(t, nil), first).Path)
		}, "was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "qcow2")
			c.prepare(t, w)
			before := list(t, w)
			problems, err := w.Target(t, nil).Check(t.Context(), c.r)
			if err != nil || len(problems) != 1 || problems[0].Field != "path" || !strings.Contains(problems[0].Detail, c.says) {
				t.Errorf("the check found %v, %v", problems, err)
			}
			if _, err := w.Target(t, nil).Deploy(t.Context(), c.r); !errors.Is(err, deploy.ErrExists) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if after := list(t, w); !slices.Equal(before, after) {
				t.Errorf("there is %q, was %q", after, before)
			}
		})
	}
}

// A state that was lost does not keep its deployment from being replaced, and neither does another name for it.
func TestOursWithoutState(t *testing.T) {
	w, r := newWorld(t, "qcow2"), request(t, "a")
	have := deployed(t, w.Target(t, nil), r)
	deployed(t, w.Target(t, nil), request(t, "b"))
	r.Name, r.Current = "renamed", &have
	if again := deployed(t, w.Target(t, nil), r); again.Name != "renamed" {
		t.Errorf("got %+v", again)
	}
}

// A disk that somebody works with, or put there, is not deleted; what was ours beside it is.
func TestDeleteLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(t *testing.T, path string)
		want    error
		left    []string
	}{
		"changed":     {change, deploy.ErrInUse, []string{"disk.qcow2"}},
		"record lost": {func(t *testing.T, path string) { must(t, os.Remove(path+".pim.json")) }, nil, nil},
		"disk gone":   {func(t *testing.T, path string) { must(t, os.Remove(path)) }, nil, nil},
		"touched":     {func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Now(), time.Now())) }, nil, nil},
		"another and no record": {func(t *testing.T, path string) {
			must(t, os.Remove(path+".pim.json"))
			change(t, path)
		}, nil, []string{"disk.qcow2", "disk.qcow2.sha256"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "qcow2")
			target := w.Target(t, nil)
			have := deployed(t, target, request(t, "a"))
			c.happens(t, have.Path)
			if err := target.Delete(t.Context(), have); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if left := list(t, w); !slices.Equal(left, c.left) {
				t.Errorf("left: %q, want %q", left, c.left)
			}
			if err := target.Delete(t.Context(), have); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// A generation that another one has replaced at its path is gone, and deleting it leaves the other alone.
func TestReplacedByAnother(t *testing.T) {
	w := newWorld(t, "qcow2")
	target := w.Target(t, nil)
	old := deployed(t, target, request(t, "a"))
	now := deployed(t, target, request(t, "b"))
	if _, _, err := target.Read(t.Context(), old); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("the old one reads as %v", err)
	}
	must(t, target.Delete(t.Context(), old))
	if _, drift, err := target.Read(t.Context(), now); err != nil || len(drift) > 0 {
		t.Errorf("the new one reads as %q, %v", drift, err)
	}
}

// What lies beside the disk is mended without converting anything.
func TestMend(t *testing.T) {
	for name, c := range map[string]struct {
		happens  func(t *testing.T, path string)
		settings map[string]any
		drift    string
		want     []string
	}{
		"checksum gone":    {func(t *testing.T, path string) { must(t, os.Remove(path+".sha256")) }, nil, "sha256 is missing", []string{"disk.qcow2", "disk.qcow2.pim.json", "disk.qcow2.sha256"}},
		"checksum changed": {func(t *testing.T, path string) { change(t, path+".sha256") }, nil, "sha256 was changed", []string{"disk.qcow2", "disk.qcow2.pim.json", "disk.qcow2.sha256"}},
		"record gone":      {func(t *testing.T, path string) { must(t, os.Remove(path+".pim.json")) }, nil, "pim.json is missing", []string{"disk.qcow2", "disk.qcow2.pim.json", "disk.qcow2.sha256"}},
		"no checksum":      {func(*testing.T, string) {}, map[string]any{"checksum": false}, "checksum is false", []string{"disk.qcow2", "disk.qcow2.pim.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t, "qcow2"), request(t, "a")
			have := deployed(t, w.Target(t, nil), r)
			before, err := os.Stat(have.Path)
			must(t, err)
			c.happens(t, have.Path)
			target := w.Target(t, c.settings)
			_, drift, err := target.Read(t.Context(), have)
			if err != nil || len(drift) != 1 || !strings.Contains(drift[0], c.drift) {
				t.Fatalf("drift %q, %v", drift, err)
			}
			now, err := target.Update(t.Context(), r, have)
			if err != nil || now.SHA256 != have.SHA256 || now.DeployedAt != have.DeployedAt {
				t.Fatalf("got %+v, %v", now, err)
			}
			if _, drift, err := target.Read(t.Context(), *now); err != nil || len(drift) > 0 {
				t.Errorf("still drift %q, %v", drift, err)
			}
			if got := list(t, w); !slices.Equal(got, c.want) {
				t.Errorf("there is %q", got)
			}
			if after, err := os.Stat(have.Path); err != nil || !os.SameFile(before, after) {
				t.Errorf("the disk is another file: %v", err)
			}
		})
	}
}

// A generation that is kept is the same file under another name.
func TestAside(t *testing.T) {
	w, r := newWorld(t, "qcow2"), request(t, "a")
	target := w.Target(t, nil)
	have := deployed(t, target, r)
	before, err := os.Stat(have.Path)
	must(t, err)
	for _, want := range []string{"disk-aaaaaaaaaaaa.qcow2", "disk-aaaaaaaaaaaa-2.qcow2"} {
		kept, err := target.(deploy.Asider).Aside(t.Context(), r, have)
		must(t, err)
		if filepath.Base(kept.Path) != want || kept.SHA256 != have.SHA256 || kept.DeployedAt != have.DeployedAt {
			t.Errorf("kept %+v", kept)
		}
		if after, err := os.Stat(kept.Path); err != nil || !os.SameFile(before, after) {
			t.Errorf("it is a copy: %v", err)
		}
		if now, drift, err := target.Read(t.Context(), *kept); err != nil || len(drift) > 0 || now.ID != kept.ID {
			t.Errorf("it reads as %+v, %q, %v", now, drift, err)
		}
	}
	change(t, have.Path) // and with it those that share its content
	if kept, err := target.(deploy.Asider).Aside(t.Context(), r, have); kept != nil || err != nil {
		t.Errorf("kept what was changed: %+v, %v", kept, err)
	}
}

// What a killed provider left goes once it is old.
func TestSweep(t *testing.T) {
	w, r := newWorld(t, "qcow2"), request(t, "a")
	must(t, os.MkdirAll(w.dir, 0o700))
	stale, fresh := filepath.Join(w.dir, "disk.qcow2.aaaaaaaa.part"), filepath.Join(w.dir, "disk.qcow2.bbbbbbbb.part")
	must(t, os.WriteFile(stale, nil, 0o600))
	must(t, os.WriteFile(fresh, nil, 0o600))
	old := time.Now().Add(-2 * deploytest.Pace().Abandoned)
	must(t, os.Chtimes(stale, old, old))
	deployed(t, w.Target(t, nil), r)
	if got, want := list(t, w), []string{"disk.qcow2", "disk.qcow2.bbbbbbbb.part", "disk.qcow2.pim.json", "disk.qcow2.sha256"}; !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
}

// A conversion that is cancelled half-way leaves nothing.
func TestCancelled(t *testing.T) {
	w, r := newWorld(t, "raw"), request(t, "a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.Progress = func(step string, _, _ int64) {
		if step == "convert" {
			cancel()
		}
	}
	if _, err := w.Target(t, nil).Deploy(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := list(t, w); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		s      file.Settings
		format string
		wrong  string
	}{
		"defaults":       {file.Settings{Path: "/x/disk"}, "qcow2", ""},
		"by the name":    {file.Settings{Path: "/x/disk.vmdk"}, "vmdk", ""},
		"chosen":         {file.Settings{Path: "~/disk.vmdk", Format: "raw"}, "raw", ""},
		"no path":        {file.Settings{}, "qcow2", "path"},
		"relative":       {file.Settings{Path: "disk"}, "qcow2", "path"},
		"folder":         {file.Settings{Path: "/x/"}, "qcow2", "path"},
		"line break":     {file.Settings{Path: "/x\ny"}, "qcow2", "path"},
		"unknown format": {file.Settings{Path: "/x", Format: "qed"}, "qed", "format"},
	} {
		problems := c.s.Complete()
		var wrong string
		if len(problems) > 0 {
			wrong = problems[0].Field
		}
		if wrong != c.wrong || c.s.Format != c.format || !*c.s.Checksum {
			t.Errorf("%s: %+v, %v", name, c.s, problems)
		}
	}
	for _, path := range []string{"~/disk", "relative"} {
		var field *deploy.FieldError
		if _, err := file.New(t.Context(), file.Settings{Path: path}, file.Options{}); !errors.As(err, &field) || field.Field != "path" {
			t.Errorf("%s: got %v", path, err)
		}
	}
	no := false
	stored, err := deploy.Encode(file.Settings{Path: "/x", Checksum: &no})
	must(t, err)
	var back file.Settings
	must(t, deploy.DecodeStored(stored, &back))
	if back.Path != "/x" || back.Checksum == nil || *back.Checksum {
		t.Errorf("stored %v, read back %+v", stored, back)
	}
	for field, want := range map[string]deploy.Effect{"path": deploy.Move, "format": deploy.Recreate, "checksum": deploy.InPlace} {
		if got := file.Effect(field); got != want {
			t.Errorf("%s: got %v", field, got)
		}
	}
}
