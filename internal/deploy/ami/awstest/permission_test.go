package awstest

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const (
	friend = "444455556666"
	org    = "arn:aws:organizations::123456789012:organization/o-0123456789"
	unit   = "arn:aws:organizations::123456789012:ou/o-0123456789/ou-abcd-01234567"
)

func TestModifyImageAttribute(t *testing.T) {
	t.Parallel()
	add := func(p ...types.LaunchPermission) func(*ec2.ModifyImageAttributeInput) {
		return func(in *ec2.ModifyImageAttributeInput) {
			in.LaunchPermission = &types.LaunchPermissionModifications{Add: p}
		}
	}
	for name, tc := range map[string]struct {
		options Options
		change  func(*ec2.ModifyImageAttributeInput)
		code    string
		want    []string
	}{
		"account": {change: add(types.LaunchPermission{UserId: aws.String(friend)}), want: []string{"userId=" + friend}},
		"both forms": {change: func(in *ec2.ModifyImageAttributeInput) {
			in.Attribute, in.OperationType, in.UserIds = aws.String("launchPermission"), "add", []string{friend}
			in.OrganizationArns, in.UserGroups = []string{org}, []string{"all"}
		}, want: []string{"group=all", "organizationArn=" + org, "userId=" + friend}},
		"organization":  {change: add(types.LaunchPermission{OrganizationArn: aws.String(org)}), want: []string{"organizationArn=" + org}},
		"unit":          {change: add(types.LaunchPermission{OrganizationalUnitArn: aws.String(unit)}), want: []string{"organizationalUnitArn=" + unit}},
		"public":        {change: add(types.LaunchPermission{Group: "all"}), want: []string{"group=all"}},
		"public, block": {options: Options{BlockPublic: true}, change: add(types.LaunchPermission{Group: "all"}), code: "OperationNotPermitted"},
		"other group":   {change: add(types.LaunchPermission{Group: "some"}), code: "InvalidAMIAttributeItemValue"},
		"no account":    {change: add(types.LaunchPermission{UserId: aws.String("4444")}), code: "InvalidAMIAttributeItemValue"},
		"no ARN":        {change: add(types.LaunchPermission{OrganizationArn: aws.String("o-0123456789")}), code: "InvalidAMIAttributeItemValue"},
		"no operation":  {change: func(in *ec2.ModifyImageAttributeInput) { in.UserIds = []string{friend} }, code: "MissingParameter"},
		"nothing":       {change: func(*ec2.ModifyImageAttributeInput) {}, code: "InvalidParameterCombination"},
		"two at once": {change: func(in *ec2.ModifyImageAttributeInput) {
			add(types.LaunchPermission{Group: "all"})(in)
			in.Description = &types.AttributeValue{Value: aws.String("d")}
		}, code: "InvalidParameterCombination"},
		"default key, unshared": {
			options: Options{EncryptByDefault: true}, code: "InvalidParameter",
			change: add(types.LaunchPermission{UserId: aws.String(friend)}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, tc.options)
			id, _ := a.imageOf(nil)
			in := &ec2.ModifyImageAttributeInput{ImageId: &id}
			tc.change(in)
			_, err := a.ec2.ModifyImageAttribute(t.Context(), in)
			wantError(t, err, 400, tc.code)
			if got := a.Image(id).SharedWith; !slices.Equal(got, tc.want) {
				t.Errorf("shared with %v, want %v", got, tc.want)
			}
		})
	}
}

func TestImageAttributes(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	id, _ := a.imageOf(nil)
	a.Share(id, "userId="+friend, "organizationalUnitArn="+unit)
	describe := func(name types.ImageAttributeName) *ec2.DescribeImageAttributeOutput {
		return must(a.ec2.DescribeImageAttribute(t.Context(), &ec2.DescribeImageAttributeInput{ImageId: &id, Attribute: name}))
	}
	if p := describe("launchPermission").LaunchPermissions; len(p) != 2 || *p[0].OrganizationalUnitArn != unit || *p[1].UserId != friend {
		t.Errorf("%+v", p)
	}
	must(a.ec2.ModifyImageAttribute(t.Context(), &ec2.ModifyImageAttributeInput{
		ImageId: &id, LaunchPermission: &types.LaunchPermissionModifications{Remove: []types.LaunchPermission{{UserId: aws.String(friend)}}},
	}))
	if p := describe("launchPermission").LaunchPermissions; len(p) != 1 {
		t.Errorf("after one was removed: %+v", p)
	}
	must(a.ec2.ResetImageAttribute(t.Context(), &ec2.ResetImageAttributeInput{ImageId: &id, Attribute: "launchPermission"}))
	if p := describe("launchPermission").LaunchPermissions; len(p) != 0 {
		t.Errorf("after the reset: %+v", p)
	}
	must(a.ec2.ModifyImageAttribute(t.Context(), &ec2.ModifyImageAttributeInput{
		ImageId: &id, Description: &types.AttributeValue{Value: aws.String("new")},
	}))
	if d := describe("description").Description; *d.Value != "new" {
		t.Errorf("description %q", *d.Value)
	}
}

func TestSnapshotAttribute(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	plain, ours, theirs := a.snapshotOf(nil, nil), a.snapshotOf(nil, withKey(KMSKey(home))), a.snapshotOf(nil, withKey(defaultKey(home)))
	share := func(id string, p ...types.CreateVolumePermission) error {
		_, err := a.ec2.ModifySnapshotAttribute(t.Context(), &ec2.ModifySnapshotAttributeInput{
			SnapshotId: &id, CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: p},
		})
		return err
	}
	account, all := types.CreateVolumePermission{UserId: aws.String(friend)}, types.CreateVolumePermission{Group: "all"}
	wantError(t, share(plain, account, all), 0, "")
	wantError(t, share(ours, account), 0, "")
	wantError(t, share(ours, all), 400, "InvalidParameter")
	wantError(t, share(theirs, account), 400, "InvalidParameter")
	wantError(t, share(plain), 400, "MissingParameter")
	must(a.ec2.ModifySnapshotAttribute(t.Context(), &ec2.ModifySnapshotAttributeInput{
		SnapshotId: &plain, Attribute: "createVolumePermission", OperationType: "remove", GroupNames: []string{"all"},
	}))
	out := must(a.ec2.DescribeSnapshotAttribute(t.Context(), &ec2.DescribeSnapshotAttributeInput{
		SnapshotId: &plain, Attribute: "createVolumePermission",
	}))
	if p := out.CreateVolumePermissions; len(p) != 1 || *p[0].UserId != friend {
		t.Errorf("%+v", p)
	}
}
