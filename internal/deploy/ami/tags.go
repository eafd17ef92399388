package ami

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The tags on all that is made. One generation's AMIs and snapshots have the same, in all regions.
const (
	tagPrefix     = "pim:"
	tagManagedBy  = tagPrefix + "managed-by" // "pim"
	tagKey        = tagPrefix + "key"        // the image's
	tagName       = tagPrefix + "name"       // the deployment's
	tagProfile    = tagPrefix + "profile"
	tagGeneration = tagPrefix + "generation" // random, one for each Deploy
	tagUser       = tagPrefix + "tags"       // names of the settings' tags, so that those taken out can go
	tagUnfinished = tagPrefix + "unfinished" // until the deployment is complete
	tagRetired    = tagPrefix + "retired"    // could not be deleted: others use it
	tagDisplay    = "Name"
)

const managedBy = "pim"

// What the EBS direct APIs allow; EC2 allows one character more.
const (
	maxTagName  = 127
	maxTagValue = 255
)

// userTagSeparator is between the names in tagUser: rare in names, and allowed in values.
const userTagSeparator = "="

// settingsTags are the tags that the settings ask for, and which those are.
func (t *target) settingsTags() map[string]string {
	tags := maps.Clone(t.s.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[tagUser] = joinNames(slices.Sorted(maps.Keys(t.s.Tags)))
	if tags[tagUser] == "" {
		delete(tags, tagUser)
	}
	return tags
}

// joinNames puts as many names as fit into a tag's value.
func joinNames(names []string) string {
	text := ""
	for _, n := range names {
		if joined := strings.TrimPrefix(text+userTagSeparator+n, userTagSeparator); len(joined) <= maxTagValue &&
			!strings.Contains(n, userTagSeparator) {
			text = joined
		}
	}
	return text
}

// splitNames reads what joinNames wrote.
func splitNames(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, userTagSeparator)
}

func ec2Tags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func ebsTags(tags map[string]string) []ebstypes.Tag {
	var out []ebstypes.Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, ebstypes.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// tagged is the specification of tags for what a request makes, of those types.
func tagged(tags map[string]string, what ...types.ResourceType) []types.TagSpecification {
	var out []types.TagSpecification
	for _, w := range what {
		out = append(out, types.TagSpecification{ResourceType: w, Tags: ec2Tags(tags)})
	}
	return out
}

// tagChanges are the differences of an AMI's and its snapshot's tags. Tags of others stay, but those that older
// settings had go.
func (t *target) tagChanges(v *view, want map[string]string) []change {
	ids := []string{aws.ToString(v.image.ImageId), aws.ToString(v.snapshot.SnapshotId)}
	set, stale := map[string]string{}, map[string]bool{}
	var wrong, extra []string
	for n, have := range []map[string]string{tagMap(v.image.Tags), tagMap(v.snapshot.Tags)} {
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if value, ok := have[k]; !ok || value != want[k] {
				set[k] = want[k]
				wrong = append(wrong, fmt.Sprintf("tag %s of %s is %q, not %q", k, ids[n], value, want[k]))
			}
		}
		for _, k := range append(splitNames(have[tagUser]), tagUser, tagRetired) {
			_, wanted := want[k]
			if _, there := have[k]; there && !wanted {
				stale[k] = true
				extra = append(extra, fmt.Sprintf("tag %s of %s should not be there", k, ids[n]))
			}
		}
	}
	var all []change
	if len(stale) > 0 { // first, while tagUser still names them
		all = append(all, change{strings.Join(extra, ", "), func(ctx context.Context) error {
			return t.untag(ctx, v.region, ids, slices.Sorted(maps.Keys(stale))...)
		}})
	}
	if len(set) > 0 {
		all = append(all, change{strings.Join(wrong, ", "), func(ctx context.Context) error {
			return t.tag(ctx, v.region, ids, set)
		}})
	}
	return all
}

func (t *target) tag(ctx context.Context, region string, ids []string, tags map[string]string) error {
	_, err := t.ec2(region).CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: ec2Tags(tags)})
	return err
}

func (t *target) untag(ctx context.Context, region string, ids []string, names ...string) error {
	in := &ec2.DeleteTagsInput{Resources: ids}
	for _, n := range names {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(n)})
	}
	_, err := t.ec2(region).DeleteTags(ctx, in)
	return err
}
