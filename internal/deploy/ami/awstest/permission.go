package awstest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// permissions are whom something is shared with, such as "userId=123456789012" and "group=all".
type permissions map[string]bool

// grantees are the kinds of whom an image can be shared with, and what their names look like. A snapshot's are the first
// two.
func grantees() []struct {
	kind, param, list string
	valid             *regexp.Regexp
} {
	const org = `^arn:aws[a-z-]*:organizations::[0-9]{12}:`
	return []struct {
		kind, param, list string
		valid             *regexp.Regexp
	}{
		{"userId", "UserId", "UserId", regexp.MustCompile(`^[0-9]{12}$`)},
		{"group", "Group", "UserGroup", regexp.MustCompile(`^all$`)},
		{"organizationArn", "OrganizationArn", "OrganizationArn", regexp.MustCompile(org + `organization/o-[a-z0-9]{10,32}$`)},
		{
			"organizationalUnitArn", "OrganizationalUnitArn", "OrganizationalUnitArn",
			regexp.MustCompile(org + `ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}$`),
		},
	}
}

// changes reads what is to be added and removed, in either form: PARAM.Add.1.UserId, or OperationType and UserId.1.
func (c *ec2Call) changes(param string, kinds int) (add, remove []string) {
	operation := c.one("OperationType", "", "add", "remove")
	for _, g := range grantees()[:kinds] {
		take := func(name string) string {
			if !g.valid.MatchString(name) {
				c.fail(bad("InvalidAMIAttributeItemValue", "Invalid attribute item value %q for %s item type.", name, g.kind))
			}
			return g.kind + "=" + name
		}
		for _, name := range c.list(g.list) {
			switch operation {
			case "add":
				add = append(add, take(name))
			case "remove":
				remove = append(remove, take(name))
			default:
				c.fail(bad("MissingParameter", "The request must contain the parameter OperationType"))
			}
		}
		for _, p := range c.groups(param + ".Add") {
			if c.form.Has(p + g.param) {
				add = append(add, take(c.text(p+g.param)))
			}
		}
		for _, p := range c.groups(param + ".Remove") {
			if c.form.Has(p + g.param) {
				remove = append(remove, take(c.text(p+g.param)))
			}
		}
	}
	return add, remove
}

// change adds and removes.
func (p permissions) change(add, remove []string) {
	for _, name := range add {
		p[name] = true
	}
	for _, name := range remove {
		delete(p, name)
	}
}

// xmlPermission is a permission as EC2 writes it.
type xmlPermission struct {
	User  string `xml:"userId,omitempty"`
	Group string `xml:"group,omitempty"`
	Org   string `xml:"organizationArn,omitempty"`
	Unit  string `xml:"organizationalUnitArn,omitempty"`
}

func (p permissions) xml() []xmlPermission {
	var list []xmlPermission
	for _, name := range slices.Sorted(maps.Keys(p)) {
		kind, value, _ := strings.Cut(name, "=")
		one := xmlPermission{}
		*map[string]*string{
			"userId": &one.User, "group": &one.Group, "organizationArn": &one.Org, "organizationalUnitArn": &one.Unit,
		}[kind] = value
		list = append(list, one)
	}
	return list
}

// modifyImage changes one attribute of an image: whom it is shared with, or its description.
func (c *ec2Call) modifyImage() (any, error) {
	id := c.need("ImageId")
	attribute := c.one("Attribute", "", "launchPermission", "description")
	add, remove := c.changes("LaunchPermission", 4)
	share := len(add)+len(remove) > 0
	text, describe := c.text("Description.Value"), c.form.Has("Description.Value")
	if attribute == "description" {
		text, describe = c.text("Value"), true
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	if share == describe || attribute == "launchPermission" && !share {
		return nil, bad("InvalidParameterCombination", "Exactly one attribute must be given.")
	}
	i, err := c.usable(id)
	if err != nil {
		return nil, err
	}
	if describe {
		i.description = text
		return yes{true}, nil
	}
	if err := c.shareable(i, add); err != nil {
		return nil, err
	}
	i.shared.change(add, remove)
	return yes{true}, nil
}

// shareable checks if an image can be shared with these. See
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharingamis-explicit.html.
func (c *ec2Call) shareable(i *image, add []string) error {
	public := slices.Contains(add, "group=all")
	if public && c.s.o.BlockPublic {
		return bad("OperationNotPermitted", "You can't publicly share this image because block public access for AMIs "+
			"is enabled for this account.")
	}
	for _, m := range i.mappings {
		x := c.g.snapshots[m.snapshot]
		if x == nil || x.key == "" || len(add) == 0 {
			continue
		}
		if public || x.key == defaultKey(c.g.name) {
			return bad("InvalidParameter", "The image %s has the encrypted snapshot %s, which cannot be shared like that",
				i.id, x.id)
		}
	}
	return nil
}

func (c *ec2Call) resetImage() (any, error) {
	id := c.need("ImageId")
	c.need("Attribute")
	c.one("Attribute", "", "launchPermission")
	if err := c.done(); err != nil {
		return nil, err
	}
	i, err := c.usable(id)
	if err != nil {
		return nil, err
	}
	clear(i.shared)
	return yes{true}, nil
}

func (c *ec2Call) describeImageAttribute() (any, error) {
	id := c.need("ImageId")
	c.need("Attribute")
	attribute := c.one("Attribute", "", "launchPermission", "description")
	if err := c.done(); err != nil {
		return nil, err
	}
	i, err := c.image(id)
	if err != nil {
		return nil, err
	}
	type value struct {
		Value string `xml:"value"`
	}
	type items struct {
		Items []xmlPermission `xml:"item"`
	}
	answer := struct {
		ID          string `xml:"imageId"`
		Shared      *items `xml:"launchPermission"`
		Description *value `xml:"description"`
	}{ID: id}
	if attribute == "description" {
		answer.Description = &value{i.description}
	} else {
		answer.Shared = &items{i.shared.xml()}
	}
	return answer, nil
}

func (c *ec2Call) modifySnapshot() (any, error) {
	id := c.need("SnapshotId")
	c.one("Attribute", "", "createVolumePermission")
	add, remove := c.changes("CreateVolumePermission", 2)
	if err := c.done(); err != nil {
		return nil, err
	}
	if len(add)+len(remove) == 0 {
		return nil, bad("MissingParameter", "The request must contain a permission to add or remove")
	}
	x, err := c.snapshot(id)
	switch {
	case err != nil:
		return nil, err
	case x.key == defaultKey(c.g.name) && len(add) > 0:
		return nil, bad("InvalidParameter", "Snapshots encrypted with the AWS managed key cannot be shared")
	case x.key != "" && slices.Contains(add, "group=all"):
		return nil, bad("InvalidParameter", "Encrypted snapshots cannot be made public")
	}
	x.shared.change(add, remove)
	return yes{true}, nil
}

func (c *ec2Call) describeSnapshotAttribute() (any, error) {
	id := c.need("SnapshotId")
	c.need("Attribute")
	c.one("Attribute", "", "createVolumePermission")
	if err := c.done(); err != nil {
		return nil, err
	}
	x, err := c.snapshot(id)
	if err != nil {
		return nil, err
	}
	return struct {
		ID     string          `xml:"snapshotId"`
		Shared []xmlPermission `xml:"createVolumePermission>item"`
	}{id, x.shared.xml()}, nil
}
