package qemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

const mib = 1 << 20

// randomDisk makes a qcow2 full of data that does not compress, and returns its path.
func randomDisk(t *testing.T, h host.Host, size int) string {
	t.Helper()
	dir := t.TempDir()
	raw, disk := filepath.Join(dir, "raw"), filepath.Join(dir, "disk.qcow2")
	content := make([]byte, size)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(content); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(raw, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := img(t.Context(), h, nil, "convert", "-f", "raw", "-O", "qcow2", raw, disk); err != nil {
		t.Fatal(err)
	}
	return disk
}

// qemuIO does what a guest would do to a disk.
func qemuIO(t *testing.T, disk, command string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "qemu-io", "-f", "qcow2", "-c", command, disk).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func gone(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", file, err)
	}
}

func TestCreate(t *testing.T) {
	qemutest.Need(t)
	h, dir := host.NewLocal(), t.TempDir()
	disk, over := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "over.qcow2")
	const size = 5 * mib
	if err := CreateDisk(t.Context(), h, disk, size); err != nil {
		t.Fatal(err)
	}
	if err := CreateOverlay(t.Context(), h, over, disk); err != nil {
		t.Fatal(err)
	}
	for file, backing := range map[string]string{disk: "", over: disk} {
		info, err := ReadInfo(t.Context(), h, file)
		if err != nil || info.Format != "qcow2" || info.VirtualSize != size || info.Backing != backing || info.ActualSize > mib {
			t.Errorf("%s: got %+v, %v", file, info, err)
		}
		if err := Check(t.Context(), h, file); err != nil {
			t.Error(err)
		}
	}
	bad := filepath.Join(dir, "bad.qcow2")
	if err := CreateOverlay(t.Context(), h, bad, filepath.Join(dir, "none")); err == nil || !strings.HasPrefix(err.Error(), "cannot create the overlay "+bad) {
		t.Errorf("without its backing file: got %v", err)
	}
	gone(t, bad)
	if err := CreateDisk(t.Context(), h, filepath.Join(dir, "none", "x"), size); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("without its folder: got %v", err)
	}
	if _, err := ReadInfo(t.Context(), h, bad); err == nil || !strings.HasPrefix(err.Error(), "cannot read the image "+bad) {
		t.Errorf("got %v", err)
	}
}

func TestCompact(t *testing.T) {
	qemutest.Need(t)
	h := host.NewLocal()
	base := randomDisk(t, h, 4*mib)
	over, out := base+".over", base+".out"
	if err := CreateOverlay(t.Context(), h, over, base); err != nil {
		t.Fatal(err)
	}
	qemuIO(t, over, "write -P 7 1M 1M")
	qemuIO(t, over, "discard 2M 1M")
	before, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	var seen []float64
	if err := Compact(t.Context(), h, over, out, func(p float64) { seen = append(seen, p) }); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(seen) || len(seen) == 0 || seen[len(seen)-1] != 100 {
		t.Errorf("progress: %v", seen)
	}
	if err := img(t.Context(), h, nil, "compare", "-f", "qcow2", "-F", "qcow2", over, out); err != nil {
		t.Errorf("the compact image differs: %v", err)
	}
	if after, err := os.ReadFile(base); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the source has changed, %v", err)
	}
	for _, file := range []string{base, over} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	info, err := ReadInfo(t.Context(), h, out)
	if err != nil || info.Backing != "" || info.Format != "qcow2" || info.VirtualSize != 4*mib || info.ActualSize > 3*mib {
		t.Errorf("got %+v, %v", info, err)
	}
	if err := Check(t.Context(), h, out); err != nil {
		t.Error(err)
	}
	if err := Compact(t.Context(), h, base, out, nil); err == nil || !strings.HasPrefix(err.Error(), "cannot compact the image into "+out) {
		t.Errorf("without a source: got %v", err)
	}
	gone(t, out)
}

func TestCompactCancelled(t *testing.T) {
	qemutest.Need(t)
	h := host.NewLocal()
	src := randomDisk(t, h, 32*mib)
	out := src + ".out"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	written := false
	err := Compact(ctx, h, src, out, func(percent float64) {
		if percent > 0 && ctx.Err() == nil {
			info, err := os.Stat(out)
			written = err == nil && info.Size() > 0
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !written {
		t.Errorf("got %v, written: %v", err, written)
	}
	gone(t, out)
}

// offset reads where a table is, at a place in a qcow2's header. Source: docs/interop/qcow2.txt of QEMU.
func offset(t *testing.T, f *os.File, at int64) int64 {
	t.Helper()
	var b [8]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	return int64(binary.BigEndian.Uint64(b[:]) & 0x00fffffffffffe00)
}

func TestCheck(t *testing.T) {
	qemutest.Need(t)
	const l1Table, refcountTable, cluster = 40, 48, 64 << 10
	for name, c := range map[string]struct {
		harm func(t *testing.T, f *os.File, size int64) error
		ok   bool
	}{
		"whole": {func(*testing.T, *os.File, int64) error { return nil }, true},
		"leaked cluster": {func(t *testing.T, f *os.File, size int64) error {
			next := (size + cluster - 1) / cluster
			block := offset(t, f, offset(t, f, refcountTable))
			_, err := f.WriteAt([]byte{0, 1}, block+2*next)
			return errors.Join(err, f.Truncate((next+1)*cluster))
		}, true},
		"table overwritten": {func(t *testing.T, f *os.File, _ int64) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 8), offset(t, f, l1Table))
			return err
		}, false},
		"cut off":     {func(_ *testing.T, f *os.File, size int64) error { return f.Truncate(size / 2) }, false},
		"empty":       {func(_ *testing.T, f *os.File, _ int64) error { return f.Truncate(0) }, false},
		"not a qcow2": {func(_ *testing.T, f *os.File, _ int64) error { _, err := f.WriteAt([]byte("ELF"), 0); return err }, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := host.NewLocal()
			disk := randomDisk(t, h, mib)
			f, err := os.OpenFile(disk, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.harm(t, f, info.Size()), f.Close()); err != nil {
				t.Fatal(err)
			}
			err = Check(t.Context(), h, disk)
			var exit *host.ExitError
			if c.ok && err != nil || !c.ok && !errors.As(err, &exit) {
				t.Errorf("got %v", err)
			}
			// The leak must be real, or the case above proves nothing.
			if name == "leaked cluster" {
				err := img(t.Context(), h, nil, "check", "-q", "-f", "qcow2", disk)
				if !errors.As(err, &exit) || exit.Status != leaked {
					t.Errorf("no leak: %v", err)
				}
			}
		})
	}
}

func TestNoSpace(t *testing.T) {
	qemutest.Need(t)
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("no " + full)
	}
	h := host.NewLocal()
	src := randomDisk(t, h, mib)
	for name, make := range map[string]func(file string) error{
		"disk":    func(file string) error { return CreateDisk(t.Context(), h, file, mib) },
		"overlay": func(file string) error { return CreateOverlay(t.Context(), h, file, src) },
		"compact": func(file string) error { return Compact(t.Context(), h, src, file, nil) },
	} {
		file := filepath.Join(t.TempDir(), "link") // it is removed after the failure, and the device must not be
		if err := os.Symlink(full, file); err != nil {
			t.Fatal(err)
		}
		if err := make(file); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v", name, err)
		}
		gone(t, file)
	}
	if err := CreateDisk(t.Context(), h, filepath.Join(src, "x"), mib); err == nil || errors.Is(err, syscall.ENOSPC) {
		t.Errorf("another failure: got %v", err)
	}
}

// withoutPrograms is a host on which nothing is installed.
type withoutPrograms struct{ host.Host }

func (withoutPrograms) LookPath(name string) (string, error) { return programs{}.LookPath(name) }

func TestImgNotInstalled(t *testing.T) {
	err := CreateDisk(t.Context(), withoutPrograms{host.NewLocal()}, filepath.Join(t.TempDir(), "x"), mib)
	if !errors.Is(err, host.ErrNotFound) || !strings.Contains(err.Error(), "qemu-utils") {
		t.Errorf("got %v", err)
	}
}

func TestProgressWriter(t *testing.T) {
	const text = "    (0.00/100%)\r    (3.12/100%)\r    (50/100%)\r    (100.00/100%)\r\n"
	want := []float64{0, 3.12, 50, 100}
	for size := 1; size <= len(text); size++ {
		var got []float64
		w := &progressWriter{report: func(p float64) { got = append(got, p) }}
		for part := range slices.Chunk([]byte(text), size) {
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in parts of %d bytes: got %v, want %v", size, got, want)
		}
	}
	w := &progressWriter{report: func(float64) { t.Error("reported") }}
	for range 100 {
		_, _ = w.Write([]byte(strings.Repeat("noise (", 1000)))
	}
	if len(w.rest) > 100 {
		t.Errorf("it keeps %d bytes", len(w.rest))
	}
}
