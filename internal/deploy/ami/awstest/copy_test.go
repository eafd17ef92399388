package awstest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// copyTo copies an image from home, or as it is changed.
func (a *account) copyTo(region, image string, change func(*ec2.CopyImageInput)) (string, error) {
	in := &ec2.CopyImageInput{Name: aws.String("copy"), SourceImageId: &image, SourceRegion: aws.String(home)}
	if change != nil {
		change(in)
	}
	out, err := a.in(region).CopyImage(a.t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.ImageId, nil
}

// A copy is pending at first, has snapshots of its own, and outlives its source.
func TestCopyImage(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	image, snapshot := a.imageOf(tagged("image", "from"))
	id := must(a.copyTo(abroad, image, func(in *ec2.CopyImageInput) {
		in.CopyImageTags = aws.Bool(true)
		for _, kind := range []types.ResourceType{"image", "snapshot"} {
			in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{
				ResourceType: kind, Tags: []types.Tag{{Key: aws.String("to"), Value: aws.String(string(kind))}},
			})
		}
	}))
	client := a.in(abroad)
	first := must(client.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})).Images[0]
	if first.State != types.ImageStatePending || len(first.BlockDeviceMappings) != 0 {
		t.Errorf("at first: %+v", first)
	}
	_, err := client.EnableImageDeprecation(t.Context(), &ec2.EnableImageDeprecationInput{
		ImageId: &id, DeprecateAt: aws.Time(time.Now().Add(time.Hour)),
	})
	wantError(t, err, 400, "InvalidAMIID.Unavailable")
	a.Remove(image)
	a.Remove(snapshot)
	done := a.describe(client, id)
	if done.State != types.ImageStateAvailable || *done.SourceImageId != image || *done.SourceImageRegion != home {
		t.Fatalf("in the end: %+v", done)
	}
	copied := a.Snapshot(*done.BlockDeviceMappings[0].Ebs.SnapshotId)
	if copied.ID == snapshot || copied.Region != abroad || copied.State != completed || copied.Blocks != 1 ||
		copied.Tags["to"] != "snapshot" || copied.Key != "" {
		t.Errorf("snapshot: %+v", copied)
	}
	if want := map[string]string{"from": "v", "to": "image"}; !maps.Equal(a.Image(id).Tags, want) {
		t.Errorf("tags: %v, want %v", a.Image(id).Tags, want)
	}
}

func TestCopyImageRules(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	image, _ := a.imageOf(nil)
	writing := must(a.register(a.snapshotOf(nil, nil), func(in *ec2.RegisterImageInput) { in.Name = aws.String("not there yet") }))
	for name, tc := range map[string]struct {
		change func(*ec2.CopyImageInput)
		code   string
		state  types.ImageState
		key    string
	}{
		"plain":         {func(*ec2.CopyImageInput) {}, "", types.ImageStateAvailable, ""},
		"name":          {func(in *ec2.CopyImageInput) { in.Name = aws.String("a:b") }, "InvalidAMIName.Malformed", "", ""},
		"source":        {func(in *ec2.CopyImageInput) { in.SourceImageId = aws.String("ami-01234567") }, "InvalidAMIID.NotFound", "", ""},
		"not available": {func(in *ec2.CopyImageInput) { in.SourceImageId = &writing }, "InvalidAMIID.Unavailable", "", ""},
		"region":        {func(in *ec2.CopyImageInput) { in.SourceRegion = aws.String("mars-1") }, "InvalidParameterValue", "", ""},
		"no opt-in":     {func(in *ec2.CopyImageInput) { in.SourceRegion = aws.String("ap-east-1") }, "InvalidParameterValue", "", ""},
		"key, unasked":  {func(in *ec2.CopyImageInput) { in.KmsKeyId = aws.String(KMSKey(abroad)) }, "InvalidParameterDependency", "", ""},
		"encrypted":     {func(in *ec2.CopyImageInput) { in.Encrypted = aws.Bool(true) }, "", types.ImageStateAvailable, defaultKey(abroad)},
		"key": {func(in *ec2.CopyImageInput) {
			in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String(KMSKey(abroad))
		}, "", types.ImageStateAvailable, KMSKey(abroad)},
		"key of home": {func(in *ec2.CopyImageInput) {
			in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String(KMSKey(home))
		}, "", types.ImageStateFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := *a
			b.t = t
			id, err := b.copyTo(abroad, image, func(in *ec2.CopyImageInput) {
				in.Name = aws.String("copy " + strings.ReplaceAll(name, ",", ""))
				tc.change(in)
			})
			wantError(t, err, 400, tc.code)
			if err != nil {
				return
			}
			i := b.describe(b.in(abroad), id)
			if key := b.Snapshot(b.Image(id).Snapshots[0]).Key; i.State != tc.state || key != tc.key {
				t.Errorf("%s with key %q", i.State, key)
			}
		})
	}
}

func TestCopyImageToken(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	image, _ := a.imageOf(nil)
	ask := func(name string) (string, error) {
		return a.copyTo(abroad, image, func(in *ec2.CopyImageInput) { in.Name, in.ClientToken = &name, aws.String("once") })
	}
	first, again := must(ask("copy")), must(ask("copy"))
	if first != again || len(a.Inventory()) != 4 {
		t.Errorf("%s and %s: %v", first, again, a.Inventory())
	}
	_, err := ask("other")
	wantError(t, err, 400, "IdempotentParameterMismatch")
	_, err = a.copyTo(abroad, image, func(in *ec2.CopyImageInput) { in.ClientToken = aws.String("other") })
	wantError(t, err, 400, "InvalidAMIName.Duplicate")
}

// An encrypted image has no unencrypted copy.
func TestCopyEncrypted(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	image := must(a.register(a.snapshotOf(nil, withKey(KMSKey(home))), nil))
	a.describe(a.ec2, image)
	_, err := a.copyTo(abroad, image, func(in *ec2.CopyImageInput) { in.Encrypted = aws.Bool(false) })
	wantError(t, err, 400, "InvalidParameterValue")
	id := must(a.copyTo(abroad, image, nil))
	if key := a.Snapshot(a.Image(id).Snapshots[0]).Key; key != defaultKey(abroad) {
		t.Errorf("key %q", key)
	}
	if want := 4; len(a.Inventory()) != want {
		t.Errorf("%v", a.Inventory())
	}
}

func TestDeprecation(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Minute)
	a := open(t, Options{Now: func() time.Time { return now }})
	id, _ := a.imageOf(nil)
	enable := func(at time.Time) error {
		_, err := a.ec2.EnableImageDeprecation(t.Context(), &ec2.EnableImageDeprecationInput{ImageId: &id, DeprecateAt: &at})
		return err
	}
	wantError(t, enable(now.Add(-time.Minute)), 400, "InvalidParameterValue")
	wantError(t, enable(now.AddDate(10, 0, 1)), 400, "InvalidParameterValue")
	wantError(t, enable(now.Add(time.Hour+40*time.Second)), 0, "")
	if at, want := *a.describe(a.ec2, id).DeprecationTime, stamp(now.Add(time.Hour+time.Minute)); at != want {
		t.Errorf("deprecated at %s, want %s", at, want)
	}
	a.Share(id, "group=all")
	wantError(t, enable(now.AddDate(2, 0, 1)), 400, "InvalidParameterValue")
	must(a.ec2.DisableImageDeprecation(t.Context(), &ec2.DisableImageDeprecationInput{ImageId: &id}))
	if at := a.describe(a.ec2, id).DeprecationTime; at != nil {
		t.Errorf("still deprecated at %s", *at)
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	names := func(in *ec2.DescribeRegionsInput) (names []string) {
		for _, r := range must(a.ec2.DescribeRegions(t.Context(), in)).Regions {
			names = append(names, *r.RegionName+" "+*r.OptInStatus)
		}
		return names
	}
	if got := names(&ec2.DescribeRegionsInput{}); len(got) != 4 || slices.Contains(got, "ap-east-1 not-opted-in") {
		t.Errorf("usable: %v", got)
	}
	if got := names(&ec2.DescribeRegionsInput{AllRegions: aws.Bool(true)}); len(got) != 5 {
		t.Errorf("all: %v", got)
	}
	if got := names(&ec2.DescribeRegionsInput{RegionNames: []string{"ap-east-1"}}); !slices.Equal(got, []string{"ap-east-1 not-opted-in"}) {
		t.Errorf("named: %v", got)
	}
	_, err := a.ec2.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{RegionNames: []string{"mars-1"}})
	wantError(t, err, 400, "InvalidParameterValue")
	if out := must(a.ec2.GetEbsEncryptionByDefault(t.Context(), &ec2.GetEbsEncryptionByDefaultInput{})); *out.EbsEncryptionByDefault {
		t.Error("encrypted by default")
	}
}
