package awstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestRegisterImage(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	done := a.snapshotOf(map[int32]string{0: "x"}, nil)
	writing := must(a.start(nil))
	taken, _ := a.imageOf(func(in *ec2.RegisterImageInput) { in.Name = aws.String("taken") })
	disk := func(change func(*types.BlockDeviceMapping)) func(*ec2.RegisterImageInput) {
		return func(in *ec2.RegisterImageInput) { change(&in.BlockDeviceMappings[0]) }
	}
	named := func(name string) func(*ec2.RegisterImageInput) {
		return func(in *ec2.RegisterImageInput) { in.Name = &name }
	}
	arm := func(mode types.BootModeValues) func(*ec2.RegisterImageInput) {
		return func(in *ec2.RegisterImageInput) {
			in.Architecture, in.BootMode = types.ArchitectureValuesArm64, mode
		}
	}
	type change = func(*ec2.RegisterImageInput)
	for name, tc := range map[string]struct {
		change
		code string
	}{
		"plain":             {change: func(*ec2.RegisterImageInput) {}},
		"name":              {change: named("a(b)[c] d.e/f-g'h@i_j")},
		"name short":        {named("ab"), "InvalidAMIName.Malformed"},
		"name long":         {named(strings.Repeat("a", 129)), "InvalidAMIName.Malformed"},
		"name with colon":   {named("a:b"), "InvalidAMIName.Malformed"},
		"name taken":        {named("taken"), "InvalidAMIName.Duplicate"},
		"arm64":             {change: arm(types.BootModeValuesUefi)},
		"arm64, BIOS":       {arm(types.BootModeValuesLegacyBios), "InvalidParameterCombination"},
		"arm64, either":     {arm(types.BootModeValuesUefiPreferred), "InvalidParameterCombination"},
		"paravirtual":       {func(in *ec2.RegisterImageInput) { in.VirtualizationType = nil }, "InvalidParameterCombination"},
		"boot mode":         {func(in *ec2.RegisterImageInput) { in.BootMode = "bios" }, "InvalidParameterValue"},
		"architecture":      {func(in *ec2.RegisterImageInput) { in.Architecture = "amd64" }, "InvalidParameterValue"},
		"TPM":               {func(in *ec2.RegisterImageInput) { in.TpmSupport = "v2.0" }, "InvalidParameterCombination"},
		"UEFI data":         {func(in *ec2.RegisterImageInput) { in.UefiData = aws.String("x") }, "UnknownParameter"},
		"description":       {func(in *ec2.RegisterImageInput) { in.Description = aws.String(strings.Repeat("d", 256)) }, "InvalidParameterValue"},
		"root without disk": {func(in *ec2.RegisterImageInput) { in.RootDeviceName = aws.String("/dev/sda1") }, "InvalidBlockDeviceMapping"},
		"no root":           {func(in *ec2.RegisterImageInput) { in.RootDeviceName = nil }, "MissingParameter"},
		"two roots": {func(in *ec2.RegisterImageInput) {
			in.BlockDeviceMappings = append(in.BlockDeviceMappings, in.BlockDeviceMappings[0])
		}, "InvalidBlockDeviceMapping"},
		"pending":      {disk(func(m *types.BlockDeviceMapping) { m.Ebs.SnapshotId = &writing }), "IncorrectState"},
		"unknown":      {disk(func(m *types.BlockDeviceMapping) { m.Ebs.SnapshotId = aws.String("snap-0123456789") }), "InvalidSnapshot.NotFound"},
		"no id":        {disk(func(m *types.BlockDeviceMapping) { m.Ebs.SnapshotId = &taken }), "InvalidSnapshotID.Malformed"},
		"encrypted":    {disk(func(m *types.BlockDeviceMapping) { m.Ebs.Encrypted = aws.Bool(true) }), "InvalidBlockDeviceMapping"},
		"volume type":  {disk(func(m *types.BlockDeviceMapping) { m.Ebs.VolumeType = "gp9" }), "InvalidParameterValue"},
		"throughput":   {disk(func(m *types.BlockDeviceMapping) { m.Ebs.VolumeType, m.Ebs.Throughput = "gp2", aws.Int32(125) }), "InvalidParameterCombination"},
		"larger":       {change: disk(func(m *types.BlockDeviceMapping) { m.Ebs.VolumeSize = aws.Int32(2) })},
		"device":       {disk(func(m *types.BlockDeviceMapping) { m.DeviceName = aws.String("xvda") }), "InvalidBlockDeviceMapping"},
		"tag of other": {tagged("snapshot", "k"), "InvalidParameterValue"},
		"tag of AWS":   {tagged("image", "aws:k"), "InvalidParameterValue"},
		"tag":          {change: tagged("image", "k")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := *a
			b.t = t
			_, err := b.register(done, func(in *ec2.RegisterImageInput) {
				in.Name = aws.String("image of " + strings.ReplaceAll(name, ",", ""))
				tc.change(in)
			})
			wantError(t, err, 400, tc.code)
		})
	}
}

func tagged(kind types.ResourceType, key string) func(*ec2.RegisterImageInput) {
	return func(in *ec2.RegisterImageInput) {
		in.TagSpecifications = []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: &key, Value: aws.String("v")}}}}
	}
}

func TestSmallerThanSnapshot(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	two := a.snapshotOf(nil, func(in *ebs.StartSnapshotInput) { in.VolumeSize = aws.Int64(2) })
	_, err := a.register(two, func(in *ec2.RegisterImageInput) { in.BlockDeviceMappings[0].Ebs.VolumeSize = aws.Int32(1) })
	wantError(t, err, 400, "InvalidBlockDeviceMapping")
}

func TestDescribeImages(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Page: 1})
	one, snapshot := a.imageOf(func(in *ec2.RegisterImageInput) { in.Name = aws.String("debian/one"); tagged("image", "pim:key")(in) })
	two, _ := a.imageOf(func(in *ec2.RegisterImageInput) { in.Name = aws.String("ubuntu") })
	filter := func(name string, values ...string) []types.Filter {
		return []types.Filter{{Name: &name, Values: values}}
	}
	for name, tc := range map[string]struct {
		filters []types.Filter
		want    []string
	}{
		"all":          {nil, []string{one, two}},
		"name":         {filter("name", "debian/one"), []string{one}},
		"wildcard":     {filter("name", "debian*"), []string{one}},
		"either":       {filter("name", "debian*", "ub?ntu"), []string{one, two}},
		"neither":      {filter("name", "debian"), nil},
		"both":         {append(filter("name", "*"), filter("tag:pim:key", "v")...), []string{one}},
		"tag key":      {filter("tag-key", "pim:key"), []string{one}},
		"tag value":    {filter("tag:pim:key", "w"), nil},
		"state":        {filter("state", "available"), []string{one, two}},
		"snapshot":     {filter("block-device-mapping.snapshot-id", snapshot), []string{one}},
		"architecture": {filter("architecture", "arm64"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			pages := ec2.NewDescribeImagesPaginator(a.ec2, &ec2.DescribeImagesInput{Filters: tc.filters, Owners: []string{"self"}})
			for pages.HasMorePages() {
				for _, i := range must(pages.NextPage(t.Context())).Images {
					got = append(got, *i.ImageId)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
	out := must(a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"amazon"}}))
	if len(out.Images) != 0 {
		t.Errorf("of Amazon: %v", out.Images)
	}
	_, err := a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Filters: filter("colour", "red")})
	wantError(t, err, 400, "InvalidParameterValue")
	_, err = a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{"ami-01234567"}})
	wantError(t, err, 400, "InvalidAMIID.NotFound")
	_, err = a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{"ami-1"}})
	wantError(t, err, 400, "InvalidAMIID.Malformed")
}

// An image's snapshots go with it when that is asked for, but not those that another image has.
func TestDeleteAssociatedSnapshots(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	one, snapshot := a.imageOf(nil)
	two := must(a.register(snapshot, func(in *ec2.RegisterImageInput) { in.Name = aws.String("second") }))
	for _, tc := range []struct {
		id, code string
		left     int
	}{{one, "skipped", 2}, {two, "success", 0}} {
		out := must(a.ec2.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: &tc.id, DeleteAssociatedSnapshots: aws.Bool(true)}))
		if r := out.DeleteSnapshotResults; len(r) != 1 || string(r[0].ReturnCode) != tc.code || len(a.Inventory()) != tc.left {
			t.Errorf("%+v, left %v", r, a.Inventory())
		}
	}
}

// Nothing is ignored: not an action, nor a version, nor a parameter.
func TestUnknown(t *testing.T) {
	t.Parallel()
	s := New(t, Options{})
	for body, code := range map[string]string{
		"Action=RunInstances&Version=2016-11-15":                      "InvalidAction",
		"Action=DescribeImages&Version=2014-01-01":                    "InvalidAction",
		"Action=DescribeImages&Version=2016-11-15&Colour=red":         "UnknownParameter",
		"Action=DescribeImages&Version=2016-11-15&ImageId.2=ami-x":    "UnknownParameter",
		"Action=DescribeImages&Version=2016-11-15&DryRun=maybe":       "InvalidParameterValue",
		"Action=DescribeImages&Version=2016-11-15&NextToken=eA%3D%3D": "InvalidNextToken",
	} {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/", strings.NewReader(body)))
		if err := sign(t.Context(), r, body); err != nil {
			t.Fatal(err)
		}
		answer := must(http.DefaultClient.Do(r))
		text := must(io.ReadAll(answer.Body))
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "<Code>"+code+"</Code>") {
			t.Errorf("%s: %s\n%s", body, answer.Status, text)
		}
	}
}

// sign signs a request to EC2.
func sign(ctx context.Context, r *http.Request, body string) error {
	sum := sha256.Sum256([]byte(body))
	return v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, r, hex.EncodeToString(sum[:]), "ec2", home, time.Now())
}
