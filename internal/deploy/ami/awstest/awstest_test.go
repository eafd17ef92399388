package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const home, abroad = "eu-central-1", "us-east-1"

// account is a server, and clients of it that try nothing twice.
type account struct {
	*Server
	t   *testing.T
	ebs *ebs.Client
	ec2 *ec2.Client
}

func open(t *testing.T, o Options) *account {
	t.Helper()
	s := New(t, o)
	cfg := s.Config(home)
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return &account{s, t, ebs.NewFromConfig(cfg), ec2.NewFromConfig(cfg)}
}

// in is the account's EC2 client in another region.
func (a *account) in(region string) *ec2.Client {
	return ec2.New(a.ec2.Options(), func(o *ec2.Options) { o.Region = region })
}

// wantError checks an error by its status and code. With code "" there must be none.
func wantError(t *testing.T, err error, status int, code string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("error: %v", err)
		}
		return
	}
	var api smithy.APIError
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &answer) {
		t.Fatalf("error is %v, want %d %s", err, status, code)
	}
	if api.ErrorCode() != code || answer.HTTPStatusCode() != status {
		t.Fatalf("error is %d %s, want %d %s: %v", answer.HTTPStatusCode(), api.ErrorCode(), status, code, err)
	}
}

// must is for what the test takes for granted.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// block is a block's data that begins with a text.
func block(text string) []byte {
	data := make([]byte, blockSize)
	copy(data, text)
	return data
}

func checksum(data []byte) *string {
	sum := sha256.Sum256(data)
	return aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}

// start starts a snapshot of 1 GiB, or as it is changed.
func (a *account) start(change func(*ebs.StartSnapshotInput)) (string, error) {
	in := &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)}
	if change != nil {
		change(in)
	}
	out, err := a.ebs.StartSnapshot(a.t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.SnapshotId, nil
}

func (a *account) put(id string, index int32, text string) error {
	data := block(text)
	_, err := a.ebs.PutSnapshotBlock(a.t.Context(), &ebs.PutSnapshotBlockInput{
		SnapshotId: &id, BlockIndex: &index, BlockData: bytes.NewReader(data), DataLength: aws.Int32(blockSize),
		Checksum: checksum(data), ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256,
	})
	return err
}

// complete completes a snapshot with its right count and no checksum.
func (a *account) complete(id string, blocks int) error {
	_, err := a.ebs.CompleteSnapshot(a.t.Context(), &ebs.CompleteSnapshotInput{
		SnapshotId: &id, ChangedBlocksCount: aws.Int32(int32(blocks)),
	})
	return err
}

// state is the state of a snapshot as EC2 describes it.
func (a *account) state(id string) string {
	a.t.Helper()
	out := must(a.ec2.DescribeSnapshots(a.t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}}))
	return string(out.Snapshots[0].State)
}

// snapshotOf makes a completed snapshot with these blocks.
func (a *account) snapshotOf(blocks map[int32]string, change func(*ebs.StartSnapshotInput)) string {
	a.t.Helper()
	id := must(a.start(change))
	for index, text := range blocks {
		if err := a.put(id, index, text); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := a.complete(id, len(blocks)); err != nil {
		a.t.Fatal(err)
	}
	for range 3 {
		if a.state(id) == completed {
			return id
		}
	}
	a.t.Fatalf("%s does not complete", id)
	return ""
}

// register registers an image of a snapshot, or as it is changed.
func (a *account) register(snapshot string, change func(*ec2.RegisterImageInput)) (string, error) {
	in := &ec2.RegisterImageInput{
		Name: aws.String("debian"), RootDeviceName: aws.String("/dev/xvda"), Architecture: types.ArchitectureValuesX8664,
		VirtualizationType: aws.String("hvm"), EnaSupport: aws.Bool(true), ImdsSupport: types.ImdsSupportValuesV20,
		BootMode: types.BootModeValuesUefiPreferred,
		BlockDeviceMappings: []types.BlockDeviceMapping{{
			DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{SnapshotId: &snapshot, VolumeType: types.VolumeTypeGp3},
		}},
	}
	if change != nil {
		change(in)
	}
	out, err := a.ec2.RegisterImage(a.t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.ImageId, nil
}

// describe describes an image until it is not pending any more.
func (a *account) describe(c *ec2.Client, id string) types.Image {
	a.t.Helper()
	var i types.Image
	for range 4 {
		out, err := c.DescribeImages(a.t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
		if err != nil {
			a.t.Fatal(err)
		}
		if i = out.Images[0]; i.State != types.ImageStatePending {
			break
		}
	}
	return i
}

// imageOf makes an image that is available, of a snapshot with one block.
func (a *account) imageOf(change func(*ec2.RegisterImageInput)) (id, snapshot string) {
	a.t.Helper()
	snapshot = a.snapshotOf(map[int32]string{0: "root"}, nil)
	id, err := a.register(snapshot, change)
	if err != nil {
		a.t.Fatal(err)
	}
	a.describe(a.ec2, id)
	return id, snapshot
}

// read is all that a snapshot holds, read back by the API: index → the text its block begins with.
func (a *account) read(id string) map[int32]string {
	a.t.Helper()
	got := map[int32]string{}
	pages := ebs.NewListSnapshotBlocksPaginator(a.ebs, &ebs.ListSnapshotBlocksInput{SnapshotId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(a.t.Context())
		if err != nil {
			a.t.Fatal(err)
		}
		for _, b := range page.Blocks {
			out, err := a.ebs.GetSnapshotBlock(a.t.Context(), &ebs.GetSnapshotBlockInput{
				SnapshotId: &id, BlockIndex: b.BlockIndex, BlockToken: b.BlockToken,
			})
			if err != nil {
				a.t.Fatal(err)
			}
			data, err := io.ReadAll(out.BlockData)
			if err != nil || len(data) != blockSize || *checksum(data) != *out.Checksum {
				a.t.Fatalf("block %d: %d bytes, %v", *b.BlockIndex, len(data), err)
			}
			got[*b.BlockIndex] = strings.TrimRight(string(data), "\x00")
		}
	}
	return got
}

// A whole life: written, completed in the background, registered, read back, and removed in the only order there is.
func TestLife(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	id := must(a.start(nil))
	want := map[int32]string{0: "boot", 7: "middle", 2047: "end"}
	for index, text := range want {
		if err := a.put(id, index, "was "+text); err != nil {
			t.Fatal(err)
		}
		if err := a.put(id, index, text); err != nil { // overwritten: counts once
			t.Fatal(err)
		}
	}
	if err := a.complete(id, len(want)); err != nil {
		t.Fatal(err)
	}
	if s := a.state(id); s != pending {
		t.Errorf("just completed: %s", s)
	}
	if s := a.state(id); s != completed {
		t.Errorf("later: %s", s)
	}
	if got := a.read(id); !maps.Equal(got, want) {
		t.Errorf("read back: %v", got)
	}
	image, err := a.register(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if i := a.describe(a.ec2, image); i.State != types.ImageStateAvailable || *i.BlockDeviceMappings[0].Ebs.SnapshotId != id {
		t.Errorf("image: %+v", i)
	}
	if got, want := a.Inventory(), []string{home + " " + image, home + " " + id}; !slices.Equal(got, want) {
		t.Errorf("inventory %v, want %v", got, want)
	}
	_, err = a.ec2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &id})
	wantError(t, err, 400, "InvalidSnapshot.InUse")
	_, err = a.ec2.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &image})
	wantError(t, err, 0, "")
	_, err = a.ec2.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &image})
	wantError(t, err, 400, "InvalidAMIID.Unavailable")
	_, err = a.ec2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &id})
	wantError(t, err, 0, "")
	_, err = a.ec2.DeleteSnapshot(t.Context(), &ec2.DeleteSnapshotInput{SnapshotId: &id})
	wantError(t, err, 400, "InvalidSnapshot.NotFound")
	if got := a.Inventory(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}
