package awstest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// xmlTag is a tag as EC2 writes it.
type xmlTag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func xmlTags(tags map[string]string) []xmlTag {
	var list []xmlTag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, xmlTag{key, tags[key]})
	}
	return list
}

// tagsAt reads tags.
func (c *ec2Call) tagsAt(prefix string) map[string]string {
	tags := map[string]string{}
	for _, p := range c.groups(prefix) {
		key, value := c.text(p+"Key"), c.text(p+"Value")
		if _, twice := tags[key]; twice {
			c.fail(bad("InvalidParameterValue", "Duplicate tag key '%s' specified.", key))
		}
		if err := checkTag(key, value); err != nil {
			c.fail(err)
		}
		tags[key] = value
	}
	if len(tags) > maxTags {
		c.fail(tooManyTags())
	}
	return tags
}

// maxTags is the most tags of one resource.
const maxTags = 50

func tooManyTags() error {
	return bad("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
}

func checkTag(key, value string) error {
	switch k, v := utf8.RuneCountInString(key), utf8.RuneCountInString(value); {
	case reserved(key):
		return bad("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
	case k < 1 || k > 128:
		return bad("InvalidParameterValue", "Tag key '%s' is invalid. A tag key has 1 to 128 characters", key)
	case v > 256:
		return bad("InvalidParameterValue", "Tag value '%s' exceeds the maximum length of 256 characters", value)
	}
	return nil
}

// tagSpecs reads the tags of what is made, by the type of resource.
func (c *ec2Call) tagSpecs(types ...string) map[string]map[string]string {
	specs := map[string]map[string]string{}
	for _, p := range c.groups("TagSpecification") {
		kind := c.need(p + "ResourceType")
		if !slices.Contains(types, kind) || specs[kind] != nil {
			c.fail(bad("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind))
		}
		tags := c.tagsAt(p + "Tag")
		if len(tags) == 0 {
			c.fail(bad("InvalidParameterValue", "Tag specification must have at least one tag"))
		}
		specs[kind] = tags
	}
	for _, kind := range types {
		if specs[kind] == nil {
			specs[kind] = map[string]string{}
		}
	}
	return specs
}

// makes are the types of resources that an action makes and can tag.
func makes(action string) []string {
	return map[string][]string{
		"StartSnapshot": {"snapshot"}, "RegisterImage": {"image"}, "CopyImage": {"image", "snapshot"},
		"ImportSnapshot": {"import-snapshot-task"},
	}[action]
}

// carries tells if all that a request makes gets a tag of that name.
func (c *call) carries(name string) bool {
	var start struct{ Tags []jsonTag }
	if c.action == "StartSnapshot" {
		return json.Unmarshal(c.payload, &start) == nil &&
			slices.ContainsFunc(start.Tags, func(t jsonTag) bool { return t.Key == name })
	}
	q, tagged := newQuery(c.form), map[string]bool{}
	for _, p := range q.groups("TagSpecification") {
		for _, t := range q.groups(p + "Tag") {
			if q.text(t+"Key") == name {
				tagged[q.text(p+"ResourceType")] = true
			}
		}
	}
	return !slices.ContainsFunc(makes(c.action), func(kind string) bool { return !tagged[kind] })
}

// taggable is the tags of what has that id.
func (c *ec2Call) taggable(id string) (map[string]string, error) {
	kind, _, _ := strings.Cut(id, "-")
	switch {
	case strings.HasPrefix(id, "import-snap-") && c.g.tasks[id] != nil:
		return c.g.tasks[id].tags, nil
	case kind == "ami":
		i, err := c.image(id)
		if err != nil {
			return nil, err
		}
		return i.tags, nil
	case kind == "snap":
		x, err := c.snapshot(id)
		if err != nil {
			return nil, err
		}
		return x.tags, nil
	}
	return nil, bad("InvalidID", "The ID '%s' is not valid", id)
}

func (c *ec2Call) createTags() (any, error) {
	ids, tags := c.list("ResourceId"), c.tagsAt("Tag")
	if len(ids) == 0 || len(tags) == 0 {
		c.fail(bad("MissingParameter", "The request must contain the parameters ResourceId and Tag"))
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	var all []map[string]string
	for _, id := range ids {
		have, err := c.taggable(id)
		if err != nil {
			return nil, err
		}
		both := maps.Clone(have)
		if maps.Copy(both, tags); len(both) > maxTags {
			return nil, tooManyTags()
		}
		all = append(all, have)
	}
	for _, have := range all {
		maps.Copy(have, tags)
	}
	return yes{true}, nil
}

// deleteTags removes tags: those with that key, and that value if one is given.
func (c *ec2Call) deleteTags() (any, error) {
	ids := c.list("ResourceId")
	type tag struct {
		key, value string
		any        bool
	}
	var tags []tag
	for _, p := range c.groups("Tag") {
		tags = append(tags, tag{c.need(p + "Key"), c.text(p + "Value"), !c.form.Has(p + "Value")})
	}
	if len(ids) == 0 {
		c.fail(bad("MissingParameter", "The request must contain the parameter ResourceId"))
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	for _, id := range ids {
		have, err := c.taggable(id)
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(have, func(key, value string) bool {
			return len(tags) == 0 || slices.ContainsFunc(tags, func(t tag) bool {
				return t.key == key && (t.any || t.value == value)
			})
		})
	}
	return yes{true}, nil
}
