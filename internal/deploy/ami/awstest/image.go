package awstest

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// image is an AMI.
type image struct {
	id, name, description     string
	arch, bootMode, root      string
	virtualization, imds, tpm string
	sriov                     string
	ena                       bool
	mappings                  []mapping
	state, message            string
	next                      string // state that it will have after so many looks
	looks, hidden             int
	created, deprecate        time.Time
	source, sourceRegion      string
	tags                      map[string]string
	shared                    permissions
}

// mapping is a block device of an image.
type mapping struct {
	device, snapshot, kind string
	gib, iops, throughput  int64
	keep                   bool // when the instance ends
}

var (
	isImageID = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)
	isName    = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`)
)

// image is the image of that id, of those that requests find by now.
func (c *ec2Call) image(id string) (*image, error) {
	if !isImageID.MatchString(id) {
		return nil, bad("InvalidAMIID.Malformed", "Invalid id: %q (expecting \"ami-...\")", id)
	}
	if c.g.gone[id] {
		return nil, bad("InvalidAMIID.Unavailable", "The image ID '%s' is no longer available", id)
	}
	i := c.g.images[id]
	if i == nil || hide(&i.hidden) {
		return nil, bad("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	return i, nil
}

// usable is an image that can be changed and copied.
func (c *ec2Call) usable(id string) (*image, error) {
	i, err := c.image(id)
	if err == nil && i.state != available {
		return nil, bad("InvalidAMIID.Unavailable", "The image ID '%s' is not available: it is %s", id, i.state)
	}
	return i, err
}

// look is what a client sees of an image. What goes on in the background does so by being looked at.
func (c *ec2Call) look(i *image) {
	switch {
	case i.next == "":
		return
	case i.looks > 0:
		i.looks--
		return
	}
	i.state, i.next = i.next, ""
	for _, m := range i.mappings {
		if x := c.g.snapshots[m.snapshot]; x != nil {
			x.settle()
			x.hidden = 0 // by now everybody has heard of it
		}
	}
	if i.state == failed {
		i.message = "The copy failed: the key ID is not accessible"
	}
}

// checkName checks the name that a new image shall have.
func (c *ec2Call) checkName(name string) error {
	if !isName.MatchString(name) {
		return bad("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, "+
			"and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for _, i := range c.g.images {
		if i.name == name && i.state != failed {
			return bad("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, i.id)
		}
	}
	return nil
}

// xmlImage is an image as EC2 writes it.
type xmlImage struct {
	ID             string       `xml:"imageId"`
	Location       string       `xml:"imageLocation"`
	State          string       `xml:"imageState"`
	Owner          string       `xml:"imageOwnerId"`
	Created        string       `xml:"creationDate"`
	Public         bool         `xml:"isPublic"`
	Arch           string       `xml:"architecture"`
	Type           string       `xml:"imageType"`
	Name           string       `xml:"name"`
	Description    string       `xml:"description,omitempty"`
	RootType       string       `xml:"rootDeviceType"`
	Root           string       `xml:"rootDeviceName"`
	Mappings       []xmlMapping `xml:"blockDeviceMapping>item"`
	Virtualization string       `xml:"virtualizationType"`
	Hypervisor     string       `xml:"hypervisor"`
	ENA            bool         `xml:"enaSupport"`
	Sriov          string       `xml:"sriovNetSupport,omitempty"`
	BootMode       string       `xml:"bootMode,omitempty"`
	TPM            string       `xml:"tpmSupport,omitempty"`
	IMDS           string       `xml:"imdsSupport,omitempty"`
	Deprecated     string       `xml:"deprecationTime,omitempty"`
	Source         string       `xml:"sourceImageId,omitempty"`
	SourceRegion   string       `xml:"sourceImageRegion,omitempty"`
	Reason         *xmlReason   `xml:"stateReason"`
	Tags           []xmlTag     `xml:"tagSet>item"`
}

type xmlReason struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type xmlMapping struct {
	Device string `xml:"deviceName"`
	EBS    xmlEBS `xml:"ebs"`
}

type xmlEBS struct {
	Snapshot   string `xml:"snapshotId"`
	GiB        int64  `xml:"volumeSize"`
	Delete     bool   `xml:"deleteOnTermination"`
	Type       string `xml:"volumeType"`
	IOPS       int64  `xml:"iops,omitempty"`
	Throughput int64  `xml:"throughput,omitempty"`
	Encrypted  bool   `xml:"encrypted"`
}

func (c *ec2Call) xmlImage(i *image) xmlImage {
	out := xmlImage{
		ID: i.id, Location: Account + "/" + i.name, State: i.state, Owner: Account, Created: stamp(i.created),
		Public: i.shared["group=all"], Arch: i.arch, Type: "machine", Name: i.name, Description: i.description,
		RootType: "ebs", Root: i.root, Virtualization: i.virtualization, Hypervisor: "xen", ENA: i.ena, Sriov: i.sriov,
		BootMode: i.bootMode, TPM: i.tpm, IMDS: i.imds, Source: i.source, SourceRegion: i.sourceRegion,
		Tags: xmlTags(i.tags),
	}
	if !i.deprecate.IsZero() {
		out.Deprecated = stamp(i.deprecate)
	}
	if i.message != "" {
		out.Reason = &xmlReason{"Client.InternalError", i.message}
	}
	for _, m := range i.shown() {
		x := c.g.snapshots[m.snapshot]
		out.Mappings = append(out.Mappings, xmlMapping{m.device, xmlEBS{
			Snapshot: m.snapshot, GiB: m.gib, Delete: !m.keep, Type: m.kind, IOPS: m.iops, Throughput: m.throughput,
			Encrypted: x != nil && x.key != "",
		}})
	}
	return out
}

// shown are the block devices that can be seen: those of a copy when it is there.
func (i *image) shown() []mapping {
	if i.state == pending && i.source != "" {
		return nil
	}
	return i.mappings
}

// properties are what an image can be filtered by.
func (i *image) properties() map[string][]string {
	p := map[string][]string{
		"architecture": {i.arch}, "boot-mode": {i.bootMode}, "description": {i.description}, "ena-support": yesNo(i.ena),
		"image-id": {i.id}, "image-type": {"machine"}, "is-public": yesNo(i.shared["group=all"]), "name": {i.name},
		"owner-id": {Account}, "root-device-name": {i.root}, "root-device-type": {"ebs"}, "state": {i.state},
		"source-image-id": {i.source}, "source-image-region": {i.sourceRegion},
		"virtualization-type": {i.virtualization}, "creation-date": {stamp(i.created)},
		"block-device-mapping.snapshot-id": nil, "block-device-mapping.volume-size": nil,
	}
	for _, m := range i.shown() {
		const name = "block-device-mapping."
		p[name+"snapshot-id"] = append(p[name+"snapshot-id"], m.snapshot)
		p[name+"volume-size"] = append(p[name+"volume-size"], strconv.FormatInt(m.gib, 10))
	}
	return p
}

func (c *ec2Call) describeImages() (any, error) {
	ids, mine := c.list("ImageId"), c.owners()
	f := c.filters(slices.Collect(maps.Keys((&image{}).properties()))...)
	c.flag("IncludeDeprecated") // an owner sees them anyway
	c.flag("IncludeDisabled")   // there are none
	first, most := c.paging(1, ids)
	if err := c.done(); err != nil {
		return nil, err
	}
	var found []*image
	for _, id := range ids {
		i, err := c.image(id)
		if c.g.gone[id] {
			err = bad("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		}
		if err != nil {
			return nil, err
		}
		found = append(found, i)
	}
	if len(ids) == 0 {
		for _, id := range slices.Sorted(maps.Keys(c.g.images)) {
			if i := c.g.images[id]; !hide(&i.hidden) {
				found = append(found, i)
			}
		}
	}
	found = slices.DeleteFunc(found, func(i *image) bool { return !mine || !f.match(i.properties(), i.tags) })
	var answer struct {
		Items []xmlImage `xml:"imagesSet>item"`
		Next  string     `xml:"nextToken,omitempty"`
	}
	found, answer.Next = pageOf(c, found, first, most)
	for _, i := range found {
		c.look(i)
		answer.Items = append(answer.Items, c.xmlImage(i))
	}
	return answer, nil
}

// deregisterImage removes an image. Its snapshots stay, unless they are asked for and no other image has them.
func (c *ec2Call) deregisterImage() (any, error) {
	id, all := c.need("ImageId"), c.on("DeleteAssociatedSnapshots")
	if err := c.done(); err != nil {
		return nil, err
	}
	i, err := c.image(id)
	if err != nil {
		return nil, err
	}
	delete(c.g.images, id)
	c.g.gone[id] = true
	type item struct {
		ID   string `xml:"snapshotId"`
		Code string `xml:"returnCode"`
	}
	answer := struct {
		Return bool   `xml:"return"`
		Items  []item `xml:"deleteSnapshotResultSet>item"`
	}{Return: true}
	for _, m := range i.mappings {
		if !all || m.snapshot == "" {
			continue
		}
		if len(c.g.users(m.snapshot)) > 0 {
			answer.Items = append(answer.Items, item{m.snapshot, "skipped"})
			continue
		}
		delete(c.g.snapshots, m.snapshot)
		answer.Items = append(answer.Items, item{m.snapshot, "success"})
	}
	return answer, nil
}
