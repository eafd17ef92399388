package disk

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// benchDisk is a disk of 128 MiB that compresses about as well as an operating system, a quarter of it in use.
func benchDisk() []byte {
	d := make([]byte, 128*mib)
	r := rand.New(rand.NewPCG(1, 2))
	for at := 0; at < len(d); at += 4 * mib {
		for p := at; p < at+mib; p += 8 {
			binary.LittleEndian.PutUint64(d[p:], r.Uint64()>>(r.UintN(4)*16))
		}
	}
	return d
}

// BenchmarkRead reads all blocks with data of a compressed image; qemu-img converts the same one to raw. Both are given
// in bytes of data per second.
func BenchmarkRead(b *testing.B) {
	qemutest.Need(b)
	path := makeImage(b, benchDisk(), "-c", "-O", "qcow2")
	d := open(b, path)
	blocks, err := d.Blocks(block)
	must(b, err)
	for name, workers := range map[string]int{"one reader": 1, "64 readers": 64} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(blocks)) * block)
			b.ReportAllocs()
			for b.Loop() {
				var group errgroup.Group
				group.SetLimit(workers)
				for _, i := range blocks {
					group.Go(func() error {
						_, err := d.ReadAt(make([]byte, block), i*block)
						return err
					})
				}
				must(b, group.Wait())
			}
		})
	}
	b.Run("qemu-img convert", func(b *testing.B) {
		b.SetBytes(int64(len(blocks)) * block)
		for b.Loop() {
			run(b, "qemu-img", "convert", "-W", "-f", "qcow2", "-O", "raw", path, path+".raw")
		}
	})
}

func BenchmarkBlocks(b *testing.B) {
	qemutest.Need(b)
	d := open(b, makeImage(b, benchDisk(), "-c", "-O", "qcow2"))
	for b.Loop() {
		_, err := d.Blocks(block)
		must(b, err)
	}
}

// FuzzOpen wants every file to be read or refused, in bounded time and memory.
func FuzzOpen(f *testing.F) {
	qemutest.Need(f)
	for _, args := range [][]string{{"-c", "-o", "cluster_size=512"}, {"-o", "cluster_size=512"}, {"-c", "-o", "cluster_size=512,compat=0.10"}} {
		data, err := os.ReadFile(makeImage(f, append(bytes.Repeat([]byte("seed"), 1000), 0), append(args, "-O", "qcow2", "-S", "0")...))
		must(f, err)
		f.Add(data)
	}
	f.Add(gpt("x")[:40*sectorSize])
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "image")
		must(t, os.WriteFile(path, data, 0o600))
		d, err := Open(host.NewLocal(), path)
		if err != nil {
			return
		}
		defer d.Close()
		_, _ = d.HasESP()
		buf := make([]byte, block)
		for _, off := range []int64{0, d.Size() / 2, d.Size() - 1} {
			_, _ = d.ReadAt(buf, off)
		}
		if d.Size() < 1<<36 {
			_, _ = d.Blocks(block)
		}
	})
}
