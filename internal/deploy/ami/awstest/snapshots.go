package awstest

import (
	"maps"
	"slices"
	"strconv"
)

// xmlSnapshot is a snapshot as EC2 writes it.
type xmlSnapshot struct {
	ID          string   `xml:"snapshotId"`
	VolumeID    string   `xml:"volumeId"`
	State       string   `xml:"status"`
	Message     string   `xml:"statusMessage,omitempty"`
	Started     string   `xml:"startTime"`
	Progress    string   `xml:"progress"`
	Owner       string   `xml:"ownerId"`
	GiB         int64    `xml:"volumeSize"`
	Description string   `xml:"description"`
	Encrypted   bool     `xml:"encrypted"`
	Key         string   `xml:"kmsKeyId,omitempty"`
	Tier        string   `xml:"storageTier"`
	Tags        []xmlTag `xml:"tagSet>item"`
}

func (x *snapshot) xml() xmlSnapshot {
	progress := "100%"
	if x.state != completed {
		progress = ""
	}
	return xmlSnapshot{
		ID: x.id, VolumeID: "vol-ffffffff", State: x.state, Message: x.message, Started: stamp(x.started),
		Progress: progress, Owner: Account, GiB: x.gib, Description: x.description, Encrypted: x.key != "", Key: x.key,
		Tier: "standard", Tags: xmlTags(x.tags),
	}
}

// snapshot is the snapshot of that id, of those that requests find by now.
func (c *ec2Call) snapshot(id string) (*snapshot, error) {
	if !isSnapshotID.MatchString(id) {
		return nil, bad("InvalidSnapshotID.Malformed", "The snapshot ID '%s' is not valid", id)
	}
	x := c.g.snapshots[id]
	if x == nil || hide(&x.hidden) {
		return nil, bad("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	}
	return x, nil
}

func (c *ec2Call) describeSnapshots() (any, error) {
	ids, mine := c.list("SnapshotId"), c.owners()
	f := c.filters("description", "encrypted", "owner-id", "snapshot-id", "status", "volume-size")
	first, most := c.paging(5, ids)
	if err := c.done(); err != nil {
		return nil, err
	}
	var found []*snapshot
	for _, id := range ids {
		x, err := c.snapshot(id)
		if err != nil {
			return nil, err
		}
		found = append(found, x)
	}
	if len(ids) == 0 {
		for _, id := range slices.Sorted(maps.Keys(c.g.snapshots)) {
			if x := c.g.snapshots[id]; !hide(&x.hidden) {
				found = append(found, x)
			}
		}
	}
	found = slices.DeleteFunc(found, func(x *snapshot) bool {
		return !mine || !f.match(map[string][]string{
			"description": {x.description}, "encrypted": yesNo(x.key != ""), "owner-id": {Account},
			"snapshot-id": {x.id}, "status": {x.state}, "volume-size": {strconv.FormatInt(x.gib, 10)},
		}, x.tags)
	})
	var answer struct {
		Items []xmlSnapshot `xml:"snapshotSet>item"`
		Next  string        `xml:"nextToken,omitempty"`
	}
	found, answer.Next = pageOf(c, found, first, most)
	for _, x := range found {
		x.look()
		answer.Items = append(answer.Items, x.xml())
	}
	return answer, nil
}

func (c *ec2Call) deleteSnapshot() (any, error) {
	id := c.need("SnapshotId")
	if err := c.done(); err != nil {
		return nil, err
	}
	if _, err := c.snapshot(id); err != nil {
		return nil, err
	}
	if users := c.g.users(id); len(users) > 0 {
		return nil, bad("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id, users[0])
	}
	delete(c.g.snapshots, id)
	return yes{true}, nil
}
