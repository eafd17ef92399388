package awstest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// tags makes tags of "key=value" and "key".
func tags(texts ...string) []types.Tag {
	var list []types.Tag
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		t := types.Tag{Key: &key}
		if ok {
			t.Value = &value
		}
		list = append(list, t)
	}
	return list
}

func TestTags(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	image, snapshot := a.imageOf(nil)
	create := func(ids []string, texts ...string) error {
		_, err := a.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: ids, Tags: tags(texts...)})
		return err
	}
	var many []string
	for i := range 49 {
		many = append(many, fmt.Sprintf("k%d=v", i))
	}
	for _, tc := range []struct {
		ids  []string
		tags []string
		code string
	}{
		{[]string{image, snapshot}, []string{"a=1", "b="}, ""},
		{[]string{image}, []string{"a=2"}, ""},
		{[]string{image}, []string{"a=1", "a=2"}, "InvalidParameterValue"},
		{[]string{image}, []string{"aws:a=1"}, "InvalidParameterValue"},
		{[]string{image}, []string{strings.Repeat("k", 129) + "=v"}, "InvalidParameterValue"},
		{[]string{image}, []string{"k=" + strings.Repeat("v", 257)}, "InvalidParameterValue"},
		{[]string{image}, many, "TagLimitExceeded"}, // with the two that it has
		{[]string{image, "snap-0123456789"}, []string{"c=3"}, "InvalidSnapshot.NotFound"},
		{[]string{"vol-0123456789"}, []string{"c=3"}, "InvalidID"},
	} {
		wantError(t, create(tc.ids, tc.tags...), 400, tc.code)
	}
	if want := map[string]string{"a": "2", "b": ""}; !maps.Equal(a.Image(image).Tags, want) {
		t.Errorf("image: %v, want %v", a.Image(image).Tags, want)
	}
	must(a.ec2.DeleteTags(t.Context(), &ec2.DeleteTagsInput{Resources: []string{image, snapshot}, Tags: tags("a=2", "b")}))
	if got, want := a.Snapshot(snapshot).Tags, map[string]string{"a": "1"}; len(a.Image(image).Tags) != 0 || !maps.Equal(got, want) {
		t.Errorf("left %v and %v, want %v", a.Image(image).Tags, got, want)
	}
}

func TestDescribeSnapshots(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Page: 1})
	done := a.snapshotOf(nil, nil)
	writing := must(a.start(nil))
	a.SetTag(writing, "pim:key", "x")
	a.SetTag(done, "pim:key", "x")
	a.RemoveTag(done, "pim:key")
	filter := func(name, value string) []types.Filter { return []types.Filter{{Name: &name, Values: []string{value}}} }
	for name, tc := range map[string]struct {
		filters []types.Filter
		want    []string
	}{
		"all":     {nil, []string{done, writing}},
		"status":  {filter("status", "completed"), []string{done}},
		"tag":     {filter("tag:pim:key", "x"), []string{writing}},
		"tag key": {filter("tag-key", "pim:*"), []string{writing}},
		"none":    {filter("encrypted", "true"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			pages := ec2.NewDescribeSnapshotsPaginator(a.ec2, &ec2.DescribeSnapshotsInput{Filters: tc.filters, OwnerIds: []string{"self"}})
			for pages.HasMorePages() {
				for _, s := range must(pages.NextPage(t.Context())).Snapshots {
					got = append(got, *s.SnapshotId)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
	_, err := a.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{done}, MaxResults: aws.Int32(5)})
	wantError(t, err, 400, "InvalidParameterCombination")
	_, err = a.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{MaxResults: aws.Int32(4)})
	wantError(t, err, 400, "InvalidParameterValue")
}
