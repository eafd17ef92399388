package ami_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

func TestDeploySendsOnlyData(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	target := open(t, settings(t, server, nil), ami.Options{})
	r := some().request(t, "web")
	made := mustDeploy(t, target, r)
	converted := filepath.Join(t.TempDir(), "converted.raw")
	img(t, "convert", "-f", "qcow2", "-O", "raw", r.Image.Path, converted)
	if err := os.Truncate(converted, server.Snapshot(made.Snapshots[home]).GiB<<30); err != nil {
		t.Fatal(err)
	}
	same(t, raw(t, server, made.Snapshots[home]), converted)
	if n := server.Snapshot(made.Snapshots[home]).Written; n != someBlocks { // a slow machine may send one twice
		t.Errorf("%d blocks were written, want %d", n, someBlocks)
	}
	image := server.Image(made.ID)
	if image.Name != made.Name || made.Name != "web-"+r.Image.Key[:12] || image.Tags["Name"] != made.Name {
		t.Errorf("the AMI is called %s, tagged %v, recorded as %s", image.Name, image.Tags, made.Name)
	}
	for _, tags := range []map[string]string{image.Tags, server.Snapshot(made.Snapshots[home]).Tags} {
		if tags["pim:managed-by"] != "pim" || tags["pim:key"] != r.Image.Key || tags["pim:name"] != "web" || tags["pim:profile"] != "test" {
			t.Errorf("tags %v", tags)
		}
		if _, ok := tags["pim:unfinished"]; ok {
			t.Errorf("still unfinished: %v", tags)
		}
	}
}

func TestRegisteredAs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		arch   host.Arch
		change map[string]any
		arms   types.ArchitectureValues
		mode   types.BootModeValues
		image  deploy.Image // its firmware and TPM
	}{
		"bios":     {host.X86_64, nil, types.ArchitectureValuesX8664, types.BootModeValuesLegacyBios, deploy.Image{}},
		"arm64":    {host.ARM64, nil, types.ArchitectureValuesArm64, types.BootModeValuesUefi, deploy.Image{}},
		"as asked": {host.X86_64, map[string]any{"boot_mode": "uefi"}, types.ArchitectureValuesX8664, types.BootModeValuesUefi, deploy.Image{}},
		"uefi":     {host.X86_64, nil, types.ArchitectureValuesX8664, types.BootModeValuesUefi, deploy.Image{Firmware: qemu.UEFI}},
		"secure":   {host.X86_64, nil, types.ArchitectureValuesX8664, types.BootModeValuesUefi, deploy.Image{Firmware: qemu.UEFISecure, TPM: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, awstest.Options{})
			r := sketch{size: block, data: map[int64][]byte{0: noise(1)}}.request(t, "web")
			r.Image.Arch, r.Image.Firmware, r.Image.TPM = test.arch, test.image.Firmware, test.image.TPM
			made := mustDeploy(t, open(t, settings(t, server, test.change), ami.Options{}), r)
			out, err := ec2.NewFromConfig(server.Config(home)).DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{made.ID}})
			if err != nil {
				t.Fatal(err)
			}
			i := out.Images[0]
			if i.Architecture != test.arms || i.BootMode != test.mode || !aws.ToBool(i.EnaSupport) ||
				i.ImdsSupport != types.ImdsSupportValuesV20 || i.VirtualizationType != types.VirtualizationTypeHvm || (i.TpmSupport == types.TpmSupportValuesV20) != test.image.TPM {
				t.Errorf("registered as %+v", i)
			}
			root := i.BlockDeviceMappings[0]
			if aws.ToString(root.DeviceName) != aws.ToString(i.RootDeviceName) || root.Ebs.VolumeType != types.VolumeTypeGp3 ||
				!aws.ToBool(root.Ebs.DeleteOnTermination) || aws.ToInt32(root.Ebs.VolumeSize) != 1 {
				t.Errorf("the root is %+v", *root.Ebs)
			}
		})
	}
}

// Whatever goes wrong once in a while, the upload gets through, and each block arrives.
func TestUploadBears(t *testing.T) {
	t.Parallel()
	put := "PutSnapshotBlock"
	tests := map[string]awstest.Options{
		"few at a time":    {InFlight: 2},
		"throttling":       {Inject: awstest.Every(put, 2, awstest.Throttled)},
		"much throttling":  {Inject: awstest.First(put, 40, awstest.Throttled)},
		"limits":           {Inject: awstest.Every(put, 3, awstest.Busy)},
		"errors":           {Inject: awstest.Every(put, 4, awstest.Broken)},
		"not found yet":    {Late: 9},
		"dropped":          {Inject: awstest.Every(put, 4, awstest.Drop)},
		"lost":             {Inject: awstest.Every(put, 4, awstest.Lost)},
		"stalled":          {Inject: awstest.Nth(put, 5, awstest.Stall)},
		"complete lost":    {Inject: awstest.Nth("CompleteSnapshot", 1, awstest.Lost)},
		"complete missing": {Inject: awstest.First("CompleteSnapshot", 3, awstest.Missing)},
		"start lost":       {Inject: awstest.First("StartSnapshot", 3, awstest.Lost)},
		"register lost":    {Inject: awstest.First("RegisterImage", 2, awstest.Lost), Late: 3},
		"pages":            {Page: 1},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, o)
			target := open(t, settings(t, server, nil), ami.Options{})
			r := some().request(t, "web")
			made := mustDeploy(t, target, r)
			serves(t, server, made.Snapshots[home], r)
			if have := server.Inventory(); len(have) != 2 {
				t.Errorf("made %q", have)
			}
			if err := target.Delete(t.Context(), made); err != nil {
				t.Error(err)
			}
			empty(t, server)
		})
	}
}

// Throttling makes the upload slow down, so that most requests get through.
func TestUploadSlowsDown(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{InFlight: 4})
	k := sketch{size: 400 * block, data: map[int64][]byte{}}
	for i := range int64(400) {
		k.data[i] = []byte{byte(i), byte(i >> 8), 1}
	}
	r := k.request(t, "web")
	mustDeploy(t, open(t, settings(t, server, map[string]any{"concurrency": 32}), ami.Options{}), r)
	if put := server.Stats("PutSnapshotBlock"); put.Requests > 2*400 {
		t.Errorf("%d requests for 400 blocks", put.Requests)
	}
}

// What goes wrong for good ends the deployment, and nothing of it is left.
func TestDeployFails(t *testing.T) {
	t.Parallel()
	const always = 1 << 30
	tests := map[string]struct {
		o    awstest.Options
		deny string
		want string
	}{
		"upload":           {o: awstest.Options{Inject: awstest.First("PutSnapshotBlock", always, awstest.Broken)}, want: "cannot upload the disk"},
		"throttled":        {o: awstest.Options{Inject: awstest.First("PutSnapshotBlock", always, awstest.Throttled)}, want: "Rate exceeded"},
		"snapshot is gone": {o: awstest.Options{Inject: awstest.First("PutSnapshotBlock", always, awstest.Missing)}, want: "cannot upload the disk"},
		"stalls":           {o: awstest.Options{Inject: awstest.First("StartSnapshot", always, awstest.Stall)}, want: "no byte moved"},
		"in the end":       {o: awstest.Options{Inject: awstest.Nth("CompleteSnapshot", 1, awstest.Later)}, want: "could not complete"},
		"register":         {deny: "RegisterImage", want: "cannot register"},
		"copy":             {deny: "CopyImage", want: "cannot copy"},
		"copy in the end":  {o: awstest.Options{Inject: awstest.Nth("CopyImage", 1, awstest.Later)}, want: "is failed"},
		"sharing":          {deny: "ModifyImageAttribute", want: "may not launch"},
		"finishing":        {deny: "DeleteTags", want: "cannot mark"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := awstest.New(t, test.o)
			server.Deny(test.deny)
			p := pace()
			if name == "stalls" {
				p.Idle = 2 * time.Second
			}
			target := open(t, settings(t, server, map[string]any{"regions": []string{other}, "share_with": []string{buddy}}),
				ami.Options{Pace: p, Settle: 200 * time.Millisecond})
			left, err := target.Deploy(t.Context(), some().request(t, "web"))
			if err == nil || !strings.Contains(err.Error(), test.want) || left != nil {
				t.Errorf("left %+v: %v, want %q", left, err, test.want)
			}
			empty(t, server)
		})
	}
}

// What cannot be removed is in the result, so that a later Delete can.
func TestFailedCleanUp(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{Inject: awstest.Nth("CopyImage", 1, awstest.Later)})
	server.Deny("DeleteSnapshot")
	target := open(t, settings(t, server, map[string]any{"regions": []string{other}}), ami.Options{})
	left, err := target.Deploy(t.Context(), some().request(t, "web"))
	if err == nil || left == nil || !strings.Contains(err.Error(), "cannot delete") {
		t.Fatalf("left %+v: %v", left, err)
	}
	left.Broken = true
	if now, _, err := target.Read(t.Context(), *left); err != nil || now.ID != left.ID {
		t.Errorf("the rest reads as %+v: %v", now, err)
	}
	server.Deny()
	if err := target.Delete(t.Context(), *left); err != nil {
		t.Error(err)
	}
	empty(t, server)
	if _, _, err := target.Read(t.Context(), *left); !errors.Is(err, deploy.ErrNotFound) {
		t.Errorf("what is gone reads as %v", err)
	}
}

// clock is a time of day that can be moved.
type clock struct {
	mu     sync.Mutex
	behind time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(-c.behind)
}

func (c *clock) set(behind time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.behind = behind
}

// A snapshot that a killed provider left is taken over, unless it is too young, or removed when it is old.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		age    time.Duration
		change func(r *deploy.Request)
		puts   int // more
		stays  bool
	}{
		"taken over":         {20 * time.Minute, func(*deploy.Request) {}, 0, false},
		"too young":          {time.Minute, func(*deploy.Request) {}, someBlocks, true},
		"another image's":    {20 * time.Minute, func(r *deploy.Request) { r.Image.Key = strings.Repeat("0", 64) }, someBlocks, true},
		"another deployment": {20 * time.Minute, func(r *deploy.Request) { r.Name = "other" }, someBlocks, true},
		"abandoned":          {2 * time.Hour, func(*deploy.Request) {}, someBlocks, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var past clock
			past.set(test.age)
			server := awstest.New(t, awstest.Options{Now: past.now})
			server.Deny("RegisterImage", "DeleteSnapshot") // as good as a kill
			target := open(t, settings(t, server, map[string]any{"regions": []string{other}}), ami.Options{})
			r := some().request(t, "web")
			left, err := target.Deploy(t.Context(), r)
			if err == nil {
				t.Fatal("it was registered")
			}
			server.Deny()
			past.set(0)
			before := server.Stats("PutSnapshotBlock").Requests
			test.change(&r)
			made := mustDeploy(t, target, r)
			serves(t, server, made.Snapshots[home], r)
			if puts := server.Stats("PutSnapshotBlock").Requests - before; puts != test.puts {
				t.Errorf("sent %d blocks, want %d", puts, test.puts)
			}
			if stays := server.Snapshot(left.ID) != nil && made.Snapshots[home] != left.ID; stays != test.stays {
				t.Errorf("%s stays: %v; made %+v", left.ID, stays, made)
			}
			if _, drift, err := target.Read(t.Context(), made); err != nil || len(drift) > 0 {
				t.Errorf("drift %q: %v", drift, err)
			}
		})
	}
}

// An AMI that somebody else has under the name is left alone.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	target := open(t, settings(t, server, map[string]any{"regions": []string{other}}), ami.Options{})
	r := some().request(t, "web")
	first := mustDeploy(t, target, r)
	r.Current = &first
	second := mustDeploy(t, target, r)
	if want := first.Name + "-2"; second.Name != want || server.Image(second.AMIs[other]).Name != want || second.ID == first.ID {
		t.Errorf("the second is %+v, its copy %+v", second, server.Image(second.AMIs[other]))
	}
	for _, made := range []deploy.Result{first, second} {
		if err := target.Delete(t.Context(), made); err != nil {
			t.Error(err)
		}
	}
	empty(t, server)
}

// A snapshot that another AMI needs stays, marked, with its AMI; then it goes.
func TestDeleteInUse(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	target := open(t, settings(t, server, map[string]any{"regions": []string{other}}), ami.Options{})
	made := mustDeploy(t, target, some().request(t, "web"))
	theirs := ec2.NewFromConfig(server.Config(home))
	out, err := theirs.RegisterImage(t.Context(), &ec2.RegisterImageInput{
		Name: aws.String("theirs"), RootDeviceName: aws.String("/dev/sda1"), VirtualizationType: aws.String("hvm"),
		Architecture: types.ArchitectureValuesX8664, BlockDeviceMappings: []types.BlockDeviceMapping{{
			DeviceName: aws.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{SnapshotId: aws.String(made.Snapshots[home])},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = target.Delete(t.Context(), made)
	if !errors.Is(err, deploy.ErrInUse) || !strings.Contains(err.Error(), *out.ImageId) || !strings.Contains(err.Error(), "theirs") {
		t.Errorf("deleting ends with %v", err)
	}
	for _, tags := range []map[string]string{server.Image(made.ID).Tags, server.Snapshot(made.Snapshots[home]).Tags} {
		if tags["pim:retired"] == "" {
			t.Errorf("not marked as retired: %v", tags)
		}
	}
	if server.Image(made.AMIs[other]) != nil {
		t.Error("the copy is still there")
	}
	if _, err := theirs.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: out.ImageId}); err != nil {
		t.Fatal(err)
	}
	if err := target.Delete(t.Context(), made); err != nil {
		t.Error(err)
	}
	empty(t, server)
}

// Progress goes up to the number of blocks.
func TestProgress(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	r := some().request(t, "web")
	var mu sync.Mutex
	var seen []int64
	r.Progress = func(step string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if step == "uploading blocks" && total >= someBlocks {
			seen = append(seen, done)
		}
	}
	mustDeploy(t, open(t, settings(t, server, nil), ami.Options{}), r)
	slices.Sort(seen)
	if len(seen) < someBlocks || seen[len(seen)-1] != int64(len(seen)) {
		t.Errorf("progress was %v", seen)
	}
}

// A deployment that is cancelled at its start makes nothing.
func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	server := awstest.New(t, awstest.Options{})
	target := open(t, settings(t, server, nil), ami.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if made, err := target.Deploy(ctx, some().request(t, "web")); !errors.Is(err, context.Canceled) || made != nil {
		t.Errorf("made %+v: %v", made, err)
	}
	empty(t, server)
}
