package localfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

const mib = 1 << 20

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// request asks for an image of a disk of 4 MiB that has data in its first one.
func request(t *testing.T) deploy.Request {
	t.Helper()
	qemutest.Need(t)
	h, path := host.NewLocal(), filepath.Join(t.TempDir(), "image.qcow2")
	must(t, os.WriteFile(path+".raw", append([]byte(strings.Repeat("data", mib/4)), make([]byte, 3*mib)...), 0o600))
	img, err := qemu.FindImg(h)
	must(t, err)
	must(t, h.Run(t.Context(), host.Cmd{Argv: []string{img, "convert", "-c", "-f", "raw", "-O", "qcow2", path + ".raw", path}}))
	data, err := os.ReadFile(path)
	must(t, err)
	return deploy.Request{Name: "name", Image: deploy.Image{
		Host: h, Path: path, Key: strings.Repeat("ab", 32), SHA256: digest(data), SizeBytes: int64(len(data)), VirtualBytes: 4 * mib,
	}}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// wrapped is a machine some of whose methods are replaced.
type wrapped struct {
	host.Host
	name   string
	run    func(ctx context.Context, c host.Cmd) error
	free   uint64
	rename func(from, to string) error
}

func (w wrapped) Name() string {
	if w.name != "" {
		return w.name
	}
	return w.Host.Name()
}

func (w wrapped) Run(ctx context.Context, c host.Cmd) error {
	if w.run != nil {
		return w.run(ctx, c)
	}
	return w.Host.Run(ctx, c)
}

func (w wrapped) Free(path string) (uint64, error) {
	if w.free != 0 {
		return w.free, nil
	}
	return w.Host.Free(path)
}

func (w wrapped) Rename(from, to string) error {
	if w.rename != nil {
		return w.rename(from, to)
	}
	return w.Host.Rename(from, to)
}

func TestMake(t *testing.T) {
	t.Parallel()
	r := request(t)
	for name, c := range map[string]struct {
		format string
		host   host.Host
	}{
		"image":                   {"qcow2", host.NewLocal()},
		"raw":                     {"raw", host.NewLocal()},
		"image of another":        {"qcow2", wrapped{Host: host.NewLocal(), name: "other"}},
		"raw on another machine":  {"raw", wrapped{Host: host.NewLocal(), name: "other"}},
		"vhdx on another machine": {"vhdx", wrapped{Host: host.NewLocal(), name: "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := Temp(filepath.Join(t.TempDir(), "disk"))
			steps := map[string]bool{}
			r := r
			r.Progress = func(step string, done, total int64) {
				if steps[step] = true; done > total {
					t.Errorf("%s: %d of %d", step, done, total)
				}
			}
			var rec Record
			must(t, Make(t.Context(), c.host, r, &rec, dst, c.format, time.Minute))
			data, err := os.ReadFile(dst)
			must(t, err)
			info, err := os.Stat(dst)
			must(t, err)
			if rec.SHA256 != digest(data) || rec.Size != int64(len(data)) || !rec.Modified.Equal(info.ModTime()) || rec.Format != c.format {
				t.Errorf("recorded %+v", rec)
			}
			if c.format == "qcow2" && rec.SHA256 != r.Image.SHA256 {
				t.Error("the copy is not the image")
			}
			if c.format == "raw" && (len(data) != 4*mib || !strings.HasPrefix(string(data), "datadata")) {
				t.Error("the raw disk is wrong")
			}
			if len(steps) == 0 {
				t.Error("no progress")
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dst), "*")); len(left) != 1 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestMakeFails(t *testing.T) {
	t.Parallel()
	good := request(t)
	over := good.Image.Path + ".over"
	must(t, qemu.CreateOverlay(t.Context(), host.NewLocal(), over, good.Image.Path))
	for name, c := range map[string]struct {
		change func(r *deploy.Request)
		says   string
	}{
		"changed":      {func(r *deploy.Request) { r.Image.SHA256 = strings.Repeat("0", 64) }, "has changed"},
		"missing":      {func(r *deploy.Request) { r.Image.Path += ".none" }, "no such file"},
		"backing file": {func(r *deploy.Request) { r.Image.Path = over }, "backing file"},
	} {
		r := good
		c.change(&r)
		err := Make(t.Context(), host.NewLocal(), r, &Record{}, filepath.Join(t.TempDir(), "disk"), "qcow2", time.Minute)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A command is given up when neither it nor its file says that it gets on, and not before.
func TestWatched(t *testing.T) {
	h, file := host.NewLocal(), filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)))
	const idle = time.Minute
	for name, c := range map[string]struct {
		lives time.Duration // how long it gets on
		alive func(beat func()) error
		want  time.Duration // when it is given up
	}{
		"never":           {0, nil, 2 * idle}, // the first look at the file only tells when it was written
		"by what it says": {10 * idle, func(beat func()) error { beat(); return nil }, 11 * idle},
		"by its file":     {10 * idle, func(func()) error { return os.Chtimes(file, time.Now(), time.Now()) }, 11 * idle},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				err := watched(t.Context(), h, file, idle, func(ctx context.Context, beat func()) error {
					for time.Since(begun) < c.lives && ctx.Err() == nil {
						must(t, c.alive(beat))
						time.Sleep(idle / 3) //nolint:forbidigo // in a bubble, whose clock is not real
					}
					<-ctx.Done()
					return ctx.Err()
				})
				if took := time.Since(begun); err == nil || !strings.Contains(err.Error(), "no progress") || took < c.want-idle/2 || took > c.want+idle {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := watched(ctx, h, file, idle, func(ctx context.Context, _ func()) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	must(t, os.WriteFile(disk, []byte("disk"), 0o600))
	old := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	must(t, os.Chtimes(disk, old, old))
	local := host.NewLocal()
	for name, h := range map[string]host.Host{
		"linked": local,
		"copied": wrapped{Host: local, run: func(ctx context.Context, c host.Cmd) error {
			if c.Argv[0] == "ln" {
				return &host.ExitError{Argv: c.Argv, Status: 1}
			}
			return local.Run(ctx, c)
		}},
	} {
		rec := Record{Modified: old, Size: 4, SHA256: digest([]byte("disk"))}
		to := filepath.Join(dir, name)
		must(t, Link(t.Context(), h, &rec, disk, to, time.Minute))
		if intact, err := rec.Intact(t.Context(), local, to); err != nil || !intact {
			t.Errorf("%s: intact %v, %v", name, intact, err)
		}
		if rec.Modified.Equal(old) != (name == "linked") {
			t.Errorf("%s: modified %v", name, rec.Modified)
		}
	}
	if err := Link(t.Context(), local, &Record{}, disk+".none", disk+".x", time.Minute); err == nil || !strings.Contains(err.Error(), "cannot copy") {
		t.Errorf("without a disk: got %v", err)
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	h, dir := host.NewLocal(), t.TempDir()
	disk, path := filepath.Join(dir, "disk"), filepath.Join(dir, "record")
	must(t, os.WriteFile(disk, []byte("content"), 0o600))
	info, err := os.Stat(disk)
	must(t, err)
	rec := NewRecord(deploy.Request{Name: "n", Image: deploy.Image{Key: "k", Profile: "p"}})
	rec.SHA256, rec.Size, rec.Modified = digest([]byte("content")), 7, info.ModTime().UTC()
	data, err := rec.Encode()
	must(t, err)
	must(t, Write(h, path, data))
	if err := Write(h, path, data); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written twice: got %v", err)
	}
	got, err := Load(h, path)
	if err != nil || *got != *rec {
		t.Fatalf("got %+v, %v; want %+v", got, err, rec)
	}
	have := *got.Result(disk)
	if !got.Of(have) || (*Record)(nil).Of(have) {
		t.Error("it is not its own")
	}
	other := have
	if other.DeployedAt = other.DeployedAt.Add(time.Second); got.Of(other) {
		t.Error("it is another generation's")
	}
	intact := func(want bool, change func() error) {
		t.Helper()
		must(t, change())
		if is, err := got.Intact(t.Context(), h, disk); err != nil || is != want {
			t.Errorf("intact: %v, %v; want %v", is, err, want)
		}
	}
	intact(true, func() error { return nil })
	intact(true, func() error { return os.Chtimes(disk, time.Now(), time.Now().Add(time.Hour)) })
	intact(false, func() error { return os.WriteFile(disk, []byte("CONTENT"), 0o600) })
	intact(false, func() error { return os.WriteFile(disk, []byte("longer content"), 0o600) })
	intact(false, func() error { return os.Remove(disk) })
	for _, foreign := range []string{"", "{}", "no json", `{"managed_by": "somebody"}`} {
		must(t, os.WriteFile(path, []byte(foreign), 0o600))
		if got, err := Load(h, path); got != nil || err != nil {
			t.Errorf("%q: got %+v, %v", foreign, got, err)
		}
	}
	if _, err := Load(h, dir); err == nil {
		t.Error("a folder was read")
	}
}

func TestRenameTwice(t *testing.T) {
	t.Parallel()
	dir, local := t.TempDir(), host.NewLocal()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	lost := errors.New("lost")
	for name, c := range map[string]struct {
		do   []bool // what happens at each try: whether it is done before the answer is lost
		want error
	}{
		"answer lost": {[]bool{true}, nil},
		"refused":     {[]bool{false}, nil},
		"twice":       {[]bool{false, false}, lost},
	} {
		must(t, os.WriteFile(from, []byte(name), 0o600))
		h := wrapped{Host: local, rename: func(from, to string) error {
			if len(c.do) == 0 {
				return local.Rename(from, to)
			}
			done := c.do[0]
			if c.do = c.do[1:]; done {
				must(t, local.Rename(from, to))
			}
			return lost
		}}
		if err := Rename(h, from, to); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
		if data, err := os.ReadFile(to); c.want == nil && string(data) != name {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if err := Rename(local, filepath.Join(dir, "none"), to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: got %v", err)
	}
}

func TestAbandoned(t *testing.T) {
	t.Parallel()
	dir, old := t.TempDir(), time.Now().Add(-2*time.Hour)
	name := filepath.Join(dir, "disk.qcow2")
	var want []string
	for file, abandoned := range map[string]bool{
		filepath.Base(Temp(name)): true, "disk.qcow2.pim.json.abcdefgh.part": true, "disk.qcow2": false,
		"disk.qcow2.sha256": false, "other.qcow2.abcdefgh.part": false, "disk.qcow22.abcdefgh.part": false,
	} {
		path := filepath.Join(dir, file)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, old, old))
		if abandoned {
			want = append(want, path)
		}
	}
	must(t, os.WriteFile(Temp(name), nil, 0o600)) // somebody is writing it
	got, err := Abandoned(host.NewLocal(), name, time.Hour)
	slices.Sort(want)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// bare is a machine on which nothing is installed but test.
type bare struct{ wrapped }

func (bare) LookPath(string) (string, error) { return "", host.ErrNotFound }

func TestCheck(t *testing.T) {
	t.Parallel()
	r, dir, local := request(t), t.TempDir(), host.NewLocal()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	refuse := func(_ context.Context, c host.Cmd) error { return &host.ExitError{Argv: c.Argv, Status: 1} }
	planned := r
	planned.Image.Path, planned.Image.SizeBytes = "", 0
	for name, c := range map[string]struct {
		host   host.Host
		r      deploy.Request
		dir    string
		format string
		want   []string
	}{
		"fine":             {local, r, dir, "raw", nil},
		"to be made":       {local, r, filepath.Join(dir, "a", "b"), "qcow2", nil},
		"below a file":     {local, r, filepath.Join(file, "x"), "qcow2", []string{"Not a folder"}},
		"a file":           {local, r, file, "qcow2", []string{"Not a folder"}},
		"not writable":     {wrapped{Host: local, run: refuse}, r, dir, "qcow2", []string{"Folder is not writable"}},
		"full for raw":     {wrapped{Host: local, free: mib - 1}, r, dir, "raw", []string{"Not enough space"}},
		"full for a copy":  {wrapped{Host: local, free: 10}, r, dir, "qcow2", []string{"Not enough space"}},
		"just enough":      {wrapped{Host: local, free: mib}, r, dir, "raw", nil},
		"size not known":   {wrapped{Host: local, free: 10}, planned, dir, "raw", nil},
		"no qemu-img":      {bare{wrapped{Host: local}}, r, dir, "vmdk", []string{"qemu-img is missing"}},
		"qemu-img no need": {bare{wrapped{Host: local}}, r, dir, "qcow2", nil},
	} {
		problems, err := Check(t.Context(), c.host, c.r, c.dir, "field", c.format)
		var got []string
		for _, p := range problems {
			got = append(got, p.Summary)
			if (p.Field != "field") != (p.Summary == "qemu-img is missing") || p.Warning || !strings.HasSuffix(p.Detail, ".") {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, c.want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("the check made %q", left)
	}
}

func TestFree(t *testing.T) {
	t.Parallel()
	stem := filepath.Join(t.TempDir(), "disk-0123456789ab")
	for _, want := range []string{".qcow2", "-2.qcow2", "-3.qcow2"} {
		got, err := Free(host.NewLocal(), stem, ".qcow2")
		if err != nil || got != stem+want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
		must(t, os.WriteFile(got, nil, 0o600))
	}
}
