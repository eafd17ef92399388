package awstest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// copyImage makes a copy of an image of any region, with snapshots of its own. It is done in the background.
func (c *ec2Call) copyImage() (any, error) {
	name, id, from := c.need("Name"), c.need("SourceImageId"), c.need("SourceRegion")
	description, token := c.describe(), c.text("ClientToken")
	encrypted, key, withTags := c.flag("Encrypted"), c.text("KmsKeyId"), c.on("CopyImageTags")
	tags := c.tagSpecs("image", "snapshot")
	if err := c.done(); err != nil {
		return nil, err
	}
	return c.once(token, func() (any, error) {
		source, err := c.sourceImage(from, id)
		if err != nil {
			return nil, err
		}
		if err := c.checkName(name); err != nil {
			return nil, err
		}
		if key != "" && (encrypted == nil || !*encrypted) {
			return nil, bad("InvalidParameterDependency",
				"The parameter [KmsKeyId] requires the parameter Encrypted to be set.")
		}
		i := *source
		i.id, i.name, i.description, i.source, i.sourceRegion = c.s.id("ami"), name, description, id, from
		i.state, i.next, i.looks, i.hidden, i.created = pending, available, c.s.o.Looks, c.s.o.Late, c.s.o.Now()
		i.tags, i.shared, i.deprecate, i.mappings = tags["image"], permissions{}, time.Time{}, slices.Clone(i.mappings)
		if withTags {
			i.tags = maps.Clone(source.tags)
			maps.Copy(i.tags, tags["image"])
		}
		var copies []*snapshot
		for n, m := range i.mappings {
			x, err := c.copySnapshot(c.s.regions[from].snapshots[m.snapshot], encrypted, key)
			if err != nil {
				return nil, err
			}
			x.tags = maps.Clone(tags["snapshot"])
			x.description = fmt.Sprintf("Copied for DestinationAmi %s from SourceAmi %s for SourceSnapshot %s.",
				i.id, id, m.snapshot)
			i.mappings[n].snapshot = x.id
			if x.next == broken {
				i.next = failed
			}
			copies = append(copies, x)
		}
		for _, x := range copies {
			c.g.snapshots[x.id] = x
		}
		c.g.images[i.id] = &i
		return imageID{i.id}, nil
	})
}

// sourceImage is the image to copy.
func (c *ec2Call) sourceImage(region, id string) (*image, error) {
	g := c.s.regions[region]
	if g == nil || c.s.o.Regions[region] == "not-opted-in" {
		return nil, bad("InvalidParameterValue", "The source region '%s' is not valid", region)
	}
	source := *c
	source.g = g
	i, err := source.usable(id)
	if err != nil {
		return nil, err
	}
	for _, m := range i.mappings {
		if g.snapshots[m.snapshot] == nil {
			return nil, bad("InvalidRequest", "The storage for the ami is not available in the source region.")
		}
	}
	return i, nil
}

// copySnapshot makes a copy that is not done yet. A key that does not exist is found out in the background.
func (c *ec2Call) copySnapshot(from *snapshot, encrypted *bool, key string) (*snapshot, error) {
	if from.key != "" && encrypted != nil && !*encrypted {
		return nil, bad("InvalidParameterValue", "An encrypted snapshot cannot have an unencrypted copy.")
	}
	x := &snapshot{
		id: c.s.id("snap"), gib: from.gib, state: pending, next: completed, looks: c.s.o.Looks, hidden: c.s.o.Late,
		started: c.s.o.Now(), shared: permissions{}, blocks: maps.Clone(from.blocks),
	}
	switch {
	case key != "" && !c.keyExists(key), c.later:
		x.next = broken
	case key != "":
		x.key = KMSKey(c.g.name)
	case from.key != "" || c.s.o.EncryptByDefault || encrypted != nil && *encrypted:
		x.key = c.s.defaultKey(c.g.name)
	}
	return x, nil
}

// keyExists tells if a customer's key is there in the region: by its ARN or id.
func (c *ec2Call) keyExists(key string) bool {
	arn := KMSKey(c.g.name)
	return key == arn || key == arn[strings.LastIndex(arn, "/")+1:]
}

// enableDeprecation sets the time from which on an image is deprecated, to the nearest minute.
func (c *ec2Call) enableDeprecation() (any, error) {
	id, text := c.need("ImageId"), c.need("DeprecateAt")
	if err := c.done(); err != nil {
		return nil, err
	}
	i, err := c.usable(id)
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, bad("InvalidParameterValue", "Value (%s) for parameter DeprecateAt is invalid.", text)
	}
	now := c.s.o.Now()
	limit := now.AddDate(10, 0, 0)
	if i.shared["group=all"] {
		limit = i.created.AddDate(2, 0, 0)
	}
	if at.Before(now) || at.After(limit) {
		return nil, bad("InvalidParameterValue", "DeprecateAt %s is in the past, or after %s", text, stamp(limit))
	}
	i.deprecate = at.Round(time.Minute)
	return yes{true}, nil
}

func (c *ec2Call) disableDeprecation() (any, error) {
	id := c.need("ImageId")
	if err := c.done(); err != nil {
		return nil, err
	}
	i, err := c.usable(id)
	if err != nil {
		return nil, err
	}
	i.deprecate = time.Time{}
	return yes{true}, nil
}
