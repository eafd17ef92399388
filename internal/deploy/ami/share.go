package ami

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// view is what a region has of a generation.
type view struct {
	region   string
	image    *types.Image
	snapshot *types.Snapshot
	launch   map[string]types.LaunchPermission       // who may launch the AMI, by a name for people
	volume   map[string]types.CreateVolumePermission // who may make volumes of the snapshot
}

// change is a difference from the settings, and what mends it.
type change struct {
	what string
	mend func(context.Context) error
}

// look looks at an AMI and its snapshot. Errors: deploy.ErrNotFound.
func (t *target) look(ctx context.Context, region, ami string) (*view, error) {
	v := &view{region: region, launch: map[string]types.LaunchPermission{}, volume: map[string]types.CreateVolumePermission{}}
	var err error
	if v.image, err = t.image(ctx, region, ami); err != nil {
		return nil, err
	}
	if v.snapshot, err = t.snapshot(ctx, region, rootSnapshot(v.image)); err != nil {
		return nil, err
	}
	launch, err := t.ec2(region).DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{
		ImageId: aws.String(ami), Attribute: types.ImageAttributeNameLaunchPermission,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot see who may launch %s: %w", ami, unreachable(err))
	}
	for _, p := range launch.LaunchPermissions {
		v.launch[launcher(p)] = p
	}
	volume, err := t.ec2(region).DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{
		SnapshotId: v.snapshot.SnapshotId, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot see who may use %s: %w", aws.ToString(v.snapshot.SnapshotId), unreachable(err))
	}
	for _, p := range volume.CreateVolumePermissions {
		v.volume[launcher(types.LaunchPermission{UserId: p.UserId, Group: p.Group})] = p
	}
	return v, nil
}

// launcher names who has a permission.
func launcher(p types.LaunchPermission) string {
	switch {
	case p.UserId != nil:
		return "account " + *p.UserId
	case p.OrganizationArn != nil:
		return "organization " + *p.OrganizationArn
	case p.OrganizationalUnitArn != nil:
		return "organizational unit " + *p.OrganizationalUnitArn
	}
	return "group " + string(p.Group)
}

// launchers are who shall have permission to launch.
func (t *target) launchers() map[string]types.LaunchPermission {
	all := map[string]types.LaunchPermission{}
	add := func(p types.LaunchPermission) { all[launcher(p)] = p }
	for _, id := range t.s.ShareWith {
		add(types.LaunchPermission{UserId: aws.String(id)})
	}
	for _, g := range t.s.LaunchPermissions.Groups {
		add(types.LaunchPermission{Group: types.PermissionGroup(g)})
	}
	for _, arn := range t.s.LaunchPermissions.OrganizationARNs {
		add(types.LaunchPermission{OrganizationArn: aws.String(arn)})
	}
	for _, arn := range t.s.LaunchPermissions.OrganizationalUnitARNs {
		add(types.LaunchPermission{OrganizationalUnitArn: aws.String(arn)})
	}
	return all
}

// changes are the differences of a region from the settings and those tags. madeAt is when the generation was made.
func (t *target) changes(v *view, tags map[string]string, madeAt time.Time) []change {
	var all []change
	all = append(all, t.tagChanges(v, tags)...)
	all = append(all, t.launchChanges(v)...)
	all = append(all, t.volumeChanges(v)...)
	return append(all, t.deprecationChanges(v, madeAt)...)
}

func (t *target) launchChanges(v *view) []change {
	id := aws.ToString(v.image.ImageId)
	add, remove, what := differ(v.launch, t.launchers(), func(who string) string { return who + " may not launch " + id },
		func(who string) string { return who + " may launch " + id })
	if what == "" {
		return nil
	}
	return []change{{what, func(ctx context.Context) error {
		_, err := t.ec2(v.region).ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{
			ImageId: v.image.ImageId, LaunchPermission: &types.LaunchPermissionModifications{Add: add, Remove: remove},
		})
		if code(err) == "OperationNotPermitted" {
			return fmt.Errorf("%w. If that is because block public access for AMIs is on, switch it off with: "+
				"aws ec2 disable-image-block-public-access --region %s", err, v.region)
		}
		return err
	}}}
}

func (t *target) volumeChanges(v *view) []change {
	want := map[string]types.CreateVolumePermission{}
	for _, id := range t.s.ShareWith {
		want["account "+id] = types.CreateVolumePermission{UserId: aws.String(id)}
	}
	id := aws.ToString(v.snapshot.SnapshotId)
	add, remove, what := differ(v.volume, want, func(who string) string { return who + " may not use " + id },
		func(who string) string { return who + " may use " + id })
	if what == "" {
		return nil
	}
	return []change{{what, func(ctx context.Context) error {
		_, err := t.ec2(v.region).ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
			SnapshotId: v.snapshot.SnapshotId, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
			CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: add, Remove: remove},
		})
		return err
	}}}
}

// differ tells what is to be added to and removed from have to make it want, and what is wrong in words.
func differ[T any](have, want map[string]T, lacks, extra func(string) string) (add, remove []T, what string) {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := have[name]; !ok {
			add = append(add, want[name])
			words = append(words, lacks(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[name]; !ok {
			remove = append(remove, have[name])
			words = append(words, extra(name))
		}
	}
	return add, remove, strings.Join(words, ", ")
}

// deprecationChanges has the AMI marked as deprecated when the settings say. AWS keeps minutes, and takes no time that
// has passed. A public AMI always has a date: AWS sets one two years ahead.
func (t *target) deprecationChanges(v *view, madeAt time.Time) []change {
	id, text := aws.ToString(v.image.ImageId), aws.ToString(v.image.DeprecationTime)
	have, _ := time.Parse(time.RFC3339, text)
	if t.s.DeprecateAfter == "" {
		if text == "" || aws.ToBool(v.image.Public) {
			return nil
		}
		return []change{{fmt.Sprintf("%s is deprecated from %s on", id, text), func(ctx context.Context) error {
			_, err := t.ec2(v.region).DisableImageDeprecation(ctx, &ec2.DisableImageDeprecationInput{ImageId: v.image.ImageId})
			return err
		}}}
	}
	after, _ := deprecation(t.s.DeprecateAfter) // checked in Complete
	want, now := madeAt.Add(after).Truncate(time.Minute), time.Now()
	if have.Truncate(time.Minute).Equal(want) || want.Before(now) && text != "" && have.Before(now.Add(2*soon)) {
		return nil
	}
	what := fmt.Sprintf("%s is deprecated from %q on, not %q", id, text, want.Format(time.RFC3339))
	if want.Before(now.Add(soon)) {
		want = now.Add(soon)
	}
	return []change{{what, func(ctx context.Context) error {
		_, err := t.ec2(v.region).EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{
			ImageId: v.image.ImageId, DeprecateAt: aws.Time(want),
		})
		return err
	}}}
}

// soon is how far ahead a date of deprecation is that should have passed.
const soon = 5 * time.Minute
