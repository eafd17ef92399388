package ami_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"golang.org/x/sync/errgroup"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// childEnv has the test binary be a process that only deploys, whose memory is that of nothing else.
const childEnv = "PIM_AMI_CHILD"

// errand is what the child shall deploy.
type errand struct {
	Settings map[string]any
	Path     string
	Size     int64
}

// child runs the errand and says on its standard error how it went, or how much memory it took.
func child() (status int) {
	var e errand
	err := json.Unmarshal([]byte(os.Getenv(childEnv)), &e)
	if err == nil {
		var s ami.Settings
		if err = deploy.Decode(e.Settings, &s); err == nil {
			err = e.run(s)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprint(os.Stderr, m.Sys)
	return 0
}

func (e errand) run(s ami.Settings) error {
	target, err := ami.New(context.Background(), s, ami.Options{})
	if err != nil {
		return err
	}
	r := deploy.Request{Name: "web", Image: deploy.Image{
		Host: host.NewLocal(), Path: e.Path, Key: "0123456789abcdef", Arch: host.X86_64, VirtualBytes: e.Size,
	}}
	_, err = target.Deploy(context.Background(), r)
	return err
}

// apart deploys in a process of its own and answers with the most memory that was resident, and the most that Go's
// runtime had of it, in bytes.
func apart(t testing.TB, server *awstest.Server, path string, size int64) (resident, heap int64) {
	t.Helper()
	data, err := json.Marshal(errand{Path: path, Size: size, Settings: map[string]any{
		"region": home, "endpoints": map[string]any{"ec2": server.URL, "ebs": server.URL, "sts": server.URL},
	}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(data))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := fmt.Sscan(string(out), &heap); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10, heap // KiB on Linux
}

// scattered is an image with so many blocks of data on a disk of so many, half of each block compressible.
func scattered(t testing.TB, data, blocks int64) (path string) {
	t.Helper()
	dir := t.TempDir()
	plain, path := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.qcow2")
	f, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(plain)
	defer f.Close()
	if err := f.Truncate(blocks * block); err != nil {
		t.Fatal(err)
	}
	content := noise(1)
	copy(content[block/2:], bytes.Repeat([]byte("compressible "), block/2/13))
	for i := range data {
		copy(content, fmt.Sprintf("block %8d", i))
		if _, err := f.WriteAt(content, i*(blocks/data)*block); err != nil {
			t.Fatal(err)
		}
	}
	img(t, "convert", "-c", "-W", "-m", "4", "-f", "raw", "-O", "qcow2", plain, path)
	return path
}

// A disk of 20 GiB takes less than 200 MB, whatever is on it.
func TestMemory(t *testing.T) {
	const blocks = 20 << 30 / block
	path := scattered(t, 600, blocks)
	server := awstest.New(t, awstest.Options{})
	resident, heap := apart(t, server, path, blocks*block)
	t.Logf("%d MB were resident, %d of them the runtime's", resident/1e6, heap/1e6)
	if put := server.Stats("PutSnapshotBlock"); put.Requests != 600 {
		t.Errorf("%d blocks were sent, not 600", put.Requests)
	}
	if heap > 150e6 { // the rest is the program itself, which the race detector makes much larger
		t.Errorf("the runtime had %d bytes", heap)
	}
}

// BenchmarkDeploy compares, in one run, the way from a compressed qcow2 to AWS with qemu-img's conversion to raw, which
// the classic way begins with, and with sending every block of the raw disk, which it goes on with.
func BenchmarkDeploy(b *testing.B) {
	const data, blocks = 512, 2048 // 256 MiB on 1 GiB
	path := scattered(b, data, blocks)
	server := awstest.New(b, awstest.Options{})
	p := deploy.DefaultPace()
	p.Poll = time.Millisecond // how long AWS takes is not the question
	target := open(b, settings(b, server, nil), ami.Options{Pace: p})
	plain := filepath.Join(b.TempDir(), "disk.raw")
	var direct, convert, everything time.Duration
	b.SetBytes(data * block)
	for b.Loop() {
		r := deploy.Request{Name: "web", Image: deploy.Image{
			Host: host.NewLocal(), Path: path, Key: fmt.Sprintf("%064x", b.Elapsed()), Arch: host.X86_64,
		}}
		began := time.Now()
		made := mustDeploy(b, target, r)
		direct += time.Since(began)
		b.StopTimer()
		convert += took(b, func() { img(b, "convert", "-f", "qcow2", "-O", "raw", path, plain) })
		everything += took(b, func() { sendAll(b, server, plain, blocks) })
		if err := target.Delete(b.Context(), made); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.StopTimer()
	put := server.Stats("PutSnapshotBlock")
	sent := float64(put.Bytes)/float64(b.N) - blocks*block // without those of sendAll
	b.ReportMetric(sent/float64(allocated(b, path)), "sent/allocated")
	b.ReportMetric(direct.Seconds()/convert.Seconds(), "time/convert")
	b.ReportMetric(direct.Seconds()/everything.Seconds(), "time/raw-upload")
	b.ReportMetric(direct.Seconds()/(convert+everything).Seconds(), "time/classic")
	resident, _ := apart(b, server, path, blocks*block)
	b.ReportMetric(float64(resident)/1e6, "peak-MB")
}

func took(b *testing.B, do func()) time.Duration {
	b.Helper()
	began := time.Now()
	do()
	return time.Since(began)
}

// allocated is how many bytes of an image's disk are data, as qemu-img has it.
func allocated(b *testing.B, path string) (sum int64) {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "qemu-img", "map", "--output=json", path).Output()
	if err != nil {
		b.Fatal(err)
	}
	var extents []struct {
		Length int64
		Data   bool
	}
	if err := json.Unmarshal(out, &extents); err != nil {
		b.Fatal(err)
	}
	for _, e := range extents {
		if e.Data {
			sum += e.Length
		}
	}
	return sum
}

// sendAll uploads every block of a raw file, 64 at a time.
func sendAll(b *testing.B, server *awstest.Server, path string, blocks int64) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	client := ebs.NewFromConfig(server.Config(home))
	snapshot, err := client.StartSnapshot(b.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(blocks * block >> 30)})
	if err != nil {
		b.Fatal(err)
	}
	all, ctx := errgroup.WithContext(b.Context())
	all.SetLimit(64)
	for i := range blocks {
		all.Go(func() error {
			data := make([]byte, block)
			if _, err := f.ReadAt(data, i*block); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			sum := sha256.Sum256(data)
			_, err := client.PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
				SnapshotId: snapshot.SnapshotId, BlockIndex: aws.Int32(int32(i)), BlockData: bytes.NewReader(data),
				DataLength: aws.Int32(block), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
				ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256,
			})
			return err
		})
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
}
