package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

const (
	kib   = 1 << 10
	mib   = 1 << 20
	block = 512 * kib
)

// content is a disk with text, noise and much nothing, whose size is no multiple of anything but a sector.
func content() []byte {
	d := make([]byte, 9*mib+3*512)
	noise := rand.NewChaCha8([32]byte{1})
	for i, at := range []int{0, block - 100, 2*mib + 70*kib, 5 * mib, len(d) - 700} {
		end := min(at+(i*97+1)*kib, len(d))
		for p := at; p < end; p += 700 {
			copy(d[p:end], strings.Repeat("the quick brown fox ", 20))
		}
		_, _ = noise.Read(d[(at+end)/2 : end])
	}
	return d
}

// makeImage converts a raw disk with qemu-img, and returns its path.
func makeImage(t testing.TB, disk []byte, args ...string) string {
	t.Helper()
	raw, path := filepath.Join(t.TempDir(), "raw"), filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(raw, disk, 0o600))
	run(t, slices.Concat([]string{"qemu-img", "convert", "-f", "raw"}, args, []string{raw, path})...)
	return path
}

func run(t testing.TB, argv ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string) *Disk {
	t.Helper()
	d, err := Open(host.NewLocal(), path)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func TestRead(t *testing.T) {
	qemutest.Need(t)
	want := content()
	for name, args := range map[string][]string{
		"compressed":     {"-c", "-O", "qcow2"},
		"plain":          {"-O", "qcow2"},
		"version 2":      {"-c", "-O", "qcow2", "-o", "compat=0.10"},
		"small clusters": {"-c", "-O", "qcow2", "-o", "cluster_size=4k"},
		"large clusters": {"-c", "-O", "qcow2", "-o", "cluster_size=2M"},
		"allocated":      {"-O", "qcow2", "-o", "preallocation=full"},
		"raw":            {"-O", "raw"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, makeImage(t, want, args...))
			if d.Size() != int64(len(want)) {
				t.Fatalf("it has %d bytes, want %d", d.Size(), len(want))
			}
			got, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("it reads wrong: %v", err)
			}
			readParallel(t, d, want)
			wantData(t, d, want, name == "allocated" || name == "raw")
		})
	}
}

// readParallel reads pieces of all sizes from many goroutines at once.
func readParallel(t *testing.T, d *Disk, want []byte) {
	t.Helper()
	var wg sync.WaitGroup
	for g := range uint64(16) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(g, 0))
			buf := make([]byte, block)
			for range 40 {
				off := r.IntN(len(want))
				if g%2 == 0 {
					off -= off % block
				} else {
					buf = buf[:1+r.IntN(cap(buf))]
				}
				n, err := d.ReadAt(buf, int64(off))
				end := min(off+len(buf), len(want))
				if err != nil && (!errors.Is(err, io.EOF) || off+len(buf) <= len(want)) || n != end-off {
					t.Errorf("%d bytes at %d: got %d, %v", len(buf), off, n, err)
				}
				if !bytes.Equal(buf[:n], want[off:end]) {
					t.Errorf("%d bytes at %d are wrong", len(buf), off)
				}
			}
		})
	}
	wg.Wait()
}

// wantData wants Blocks to name the blocks that are not all zeros, or all of them.
func wantData(t *testing.T, d *Disk, disk []byte, all bool) {
	t.Helper()
	for _, size := range []int64{block, 64 * kib, 3 * mib} {
		var want []int64
		for i := int64(0); i*size < int64(len(disk)); i++ {
			if part := disk[i*size : min((i+1)*size, int64(len(disk)))]; all || bytes.Count(part, []byte{0}) < len(part) {
				want = append(want, i)
			}
		}
		got, err := d.Blocks(size)
		for _, i := range want {
			if !slices.Contains(got, i) {
				t.Errorf("block %d of %d bytes is missing", i, size)
			}
		}
		// A cluster larger than a block makes data of its neighbours.
		if err != nil || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) || len(got) > len(want) && !strings.HasSuffix(t.Name(), "large_clusters") {
			t.Errorf("blocks of %d bytes: got %v, %v; want %v", size, got, err, want)
		}
	}
}

func TestReadOutside(t *testing.T) {
	qemutest.Need(t)
	d := open(t, makeImage(t, content(), "-O", "qcow2"))
	if n, err := d.ReadAt(make([]byte, 1), d.Size()); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: got %d, %v", n, err)
	}
	if n, err := d.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("before the beginning: got %d, %v", n, err)
	}
}

// What a guest has discarded or zeroed is no data, though it is in the file's tables.
func TestZeroClusters(t *testing.T) {
	qemutest.Need(t)
	path := makeImage(t, bytes.Repeat([]byte{7}, 4*mib), "-O", "qcow2")
	run(t, "qemu-io", "-f", "qcow2", "-c", "write -z 1M 1M", "-c", "discard 3M 512k", path)
	got, err := open(t, path).Blocks(block)
	if want := []int64{0, 1, 4, 5, 7}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// Reading makes next to nothing anew, however much is read.
func TestReadAllocates(t *testing.T) {
	qemutest.Need(t)
	d := open(t, makeImage(t, bytes.Repeat(content(), 4), "-c", "-O", "qcow2"))
	buf := make([]byte, block)
	read := func() {
		for off := int64(0); off < d.Size(); off += block {
			if _, err := d.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
	}
	read()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if made := int64(after.TotalAlloc - before.TotalAlloc); made > d.Size()/8 {
		t.Errorf("reading %d bytes allocated %d", d.Size(), made)
	}
}

func TestOpenErrors(t *testing.T) {
	qemutest.Need(t)
	disk := content()
	good := makeImage(t, disk, "-c", "-O", "qcow2")
	// changed is the good image with a number of its header changed. Source: docs/interop/qcow2.txt of QEMU.
	changed := func(at int64, value ...byte) func(t *testing.T) string {
		return func(t *testing.T) string {
			data, err := os.ReadFile(good)
			must(t, err)
			copy(data[at:], value)
			path := filepath.Join(t.TempDir(), "changed")
			must(t, os.WriteFile(path, data, 0o600))
			return path
		}
	}
	converted := func(args ...string) func(t *testing.T) string {
		return func(t *testing.T) string { return makeImage(t, disk, args...) }
	}
	cut := func(size int64) func(t *testing.T) string {
		return func(t *testing.T) string {
			path := changed(0)(t)
			must(t, os.Truncate(path, size))
			return path
		}
	}
	for name, c := range map[string]struct {
		file func(t *testing.T) string
		want error
		says string
	}{
		"missing": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }, fs.ErrNotExist, "cannot open"},
		"backing file": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "over")
			run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", good, path)
			return path
		}, ErrUnsupported, "backing file"},
		"encrypted": {changed(35, 2), ErrUnsupported, "encrypted"},
		"snapshot": {func(t *testing.T) string {
			path := changed(0)(t)
			run(t, "qemu-img", "snapshot", "-c", "first", path)
			return path
		}, ErrUnsupported, "1 snapshots"},
		"data elsewhere": {converted("-O", "qcow2", "-o", "data_file="+filepath.Join(t.TempDir(), "data")), ErrUnsupported, "another file"},
		"extended":       {converted("-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k"), ErrUnsupported, "extended"},
		"zstd":           {converted("-c", "-O", "qcow2", "-o", "compression_type=zstd"), ErrUnsupported, "zstd"},
		"vmdk":           {converted("-O", "vmdk"), ErrUnsupported, "vmdk"},
		"marked corrupt": {changed(79, 2), ErrUnsupported, "qemu-img check"},
		"not closed":     {changed(79, 1), ErrUnsupported, "qemu-img check"},
		"new feature":    {changed(72, 0x80), ErrUnsupported, "not known"},
		"version 4":      {changed(7, 4), ErrUnsupported, "version 4"},
		"no disk":        {changed(24, 0, 0, 0, 0, 0, 0, 0, 0), ErrUnsupported, "no bytes"},
		"huge disk":      {changed(24, 0x70), ErrDamaged, "table"},
		"huge clusters":  {changed(20, 0, 0, 0, 60), ErrDamaged, "clusters"},
		"huge table":     {changed(36, 0x7f, 0xff, 0xff, 0xff), ErrDamaged, "table"},
		"table outside":  {changed(40, 0x70), ErrDamaged, "cut off"},
		"header cut off": {cut(50), ErrDamaged, "cut off"},
		"table cut off":  {cut(4 * kib), ErrDamaged, "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(host.NewLocal(), c.file(t))
			if err == nil {
				_ = d.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Damage that a header does not show is found by reading, and never taken for the end of the disk.
func TestDamage(t *testing.T) {
	qemutest.Need(t)
	for name, harm := range map[string]func(t *testing.T, f *os.File, size int64) error{
		"cut off": func(_ *testing.T, f *os.File, size int64) error { return f.Truncate(size / 2) },
		"noise in data": func(_ *testing.T, f *os.File, size int64) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 100), size/2)
			return err
		},
		"table points outside": func(t *testing.T, f *os.File, _ int64) error {
			var l1 [8]byte
			_, err := f.ReadAt(l1[:], 40)
			must(t, err)
			_, err = f.WriteAt([]byte{0x80, 0, 0x70}, int64(binary.BigEndian.Uint64(l1[:])))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := makeImage(t, content(), "-c", "-O", "qcow2")
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			info, err := f.Stat()
			must(t, err)
			must(t, errors.Join(harm(t, f, info.Size()), f.Close()))
			d := open(t, path)
			_, err = io.Copy(io.Discard, io.NewSectionReader(d, 0, d.Size()))
			if !errors.Is(err, ErrDamaged) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
}
