package ami_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

const block = 512 << 10

// sketch is a disk in the making: its bytes by block.
type sketch struct {
	size int64
	data map[int64][]byte
}

// noise is a block of data that does not compress.
func noise(seed byte) []byte {
	b := make([]byte, block)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// request asks for an image with that disk as a compressed qcow2.
func (k sketch) request(t testing.TB, name string) deploy.Request {
	t.Helper()
	dir := t.TempDir()
	plain, path := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.qcow2")
	f, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(k.size); err != nil {
		t.Fatal(err)
	}
	key := sha256.New()
	for index, data := range k.data {
		data = data[:min(int64(len(data)), k.size-index*block)]
		if _, err := f.WriteAt(data, index*block); err != nil {
			t.Fatal(err)
		}
	}
	for index := range (k.size + block - 1) / block { // in order
		fmt.Fprintf(key, "%d %x", index, sha256.Sum256(k.data[index]))
	}
	img(t, "convert", "-c", "-f", "raw", "-O", "qcow2", plain, path)
	return deploy.Request{Name: name, Image: deploy.Image{
		Host: host.NewLocal(), Path: path, Name: name, Profile: "test", Key: hex.EncodeToString(key.Sum(nil)),
		Arch: host.X86_64, VirtualBytes: k.size,
	}}
}

func img(t testing.TB, args ...string) {
	t.Helper()
	qemutest.Need(t)
	if out, err := exec.CommandContext(t.Context(), "qemu-img", args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", args[0], err, out)
	}
}

// serves wants a snapshot's disk to be the image, and zeros behind it.
func serves(t testing.TB, server *awstest.Server, snapshot string, r deploy.Request) {
	t.Helper()
	img(t, "compare", "-f", "raw", "-F", "qcow2", raw(t, server, snapshot), r.Image.Path)
}

// same wants two files to have the same bytes.
func same(t testing.TB, a, b string) {
	t.Helper()
	left, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	right, err := os.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer right.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; at += 1 << 20 {
		n, e := io.ReadFull(left, x)
		m, _ := io.ReadFull(right, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			t.Fatalf("%s and %s differ in the MiB at %d", a, b, at)
		}
		if e != nil {
			return
		}
	}
}

// some is a disk with data at its ends, holes, blocks of zeros, and a size that is no multiple of anything.
func some() sketch {
	k := sketch{size: 40*block + 12345, data: map[int64][]byte{40: noise(40)}}
	for _, i := range []int64{0, 1, 2, 3, 11, 20, 21, 22, 23, 24, 25, 33} {
		k.data[i] = noise(byte(i))
	}
	k.data[12] = make([]byte, block)
	k.data[13] = append(make([]byte, block-1), 1)
	return k
}

const someBlocks = 14 // of some that are not zeros

func mustDeploy(t testing.TB, target deploy.Target, r deploy.Request) deploy.Result {
	t.Helper()
	made, err := target.Deploy(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return *made
}

// empty wants nothing to be left of anything.
func empty(t testing.TB, server *awstest.Server) {
	t.Helper()
	if left := server.Inventory(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
