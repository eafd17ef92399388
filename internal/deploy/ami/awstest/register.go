package awstest

import (
	"regexp"
	"slices"
	"unicode/utf8"
)

var isDevice = regexp.MustCompile(`^/dev/(sd|xvd)[a-z]{1,2}[0-9]{0,2}$`)

// registerImage makes an image of completed snapshots.
func (c *ec2Call) registerImage() (any, error) {
	i := &image{
		name: c.need("Name"), description: c.describe(), root: c.need("RootDeviceName"),
		arch:           c.one("Architecture", "i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"),
		bootMode:       c.one("BootMode", "", "legacy-bios", "uefi", "uefi-preferred"),
		virtualization: c.one("VirtualizationType", "paravirtual", "hvm"),
		imds:           c.one("ImdsSupport", "", "v2.0"), tpm: c.one("TpmSupport", "", "v2.0"),
		sriov: c.one("SriovNetSupport", "", "simple"), ena: c.on("EnaSupport"),
		tags: c.tagSpecs("image")["image"], shared: permissions{}, state: pending, next: available,
		looks: c.s.o.Looks, hidden: c.s.o.Late, created: c.s.o.Now(),
	}
	devices := c.devices()
	if err := c.done(); err != nil {
		return nil, err
	}
	if err := c.checkName(i.name); err != nil {
		return nil, err
	}
	if err := i.check(); err != nil {
		return nil, err
	}
	for _, m := range devices {
		if err := c.checkDevice(&m); err != nil {
			return nil, err
		}
		i.mappings = append(i.mappings, m)
	}
	if !slices.ContainsFunc(i.mappings, func(m mapping) bool { return m.device == i.root && m.snapshot != "" }) {
		return nil, bad("InvalidBlockDeviceMapping", "The root device %s has no mapping with a snapshot", i.root)
	}
	i.id = c.s.id("ami")
	c.g.images[i.id] = i
	return imageID{i.id}, nil
}

// imageID is the answer of what makes an image.
type imageID struct {
	ID string `xml:"imageId"`
}

// describe reads a description.
func (c *ec2Call) describe() string {
	text := c.text("Description")
	if utf8.RuneCountInString(text) > 255 {
		c.fail(bad("InvalidParameterValue", "The description is longer than 255 characters"))
	}
	return text
}

// check checks what fits together, see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html.
func (i *image) check() error {
	arm, hvm := i.arch == "arm64", i.virtualization == "hvm"
	switch {
	case i.arch != "x86_64" && i.arch != "i386" && !hvm, i.bootMode != "" && !hvm, (i.ena || i.sriov != "") && !hvm:
		return bad("InvalidParameterCombination", "Architecture %s, boot mode '%s' and enhanced networking need "+
			"virtualization type hvm", i.arch, i.bootMode)
	case arm && i.bootMode != "" && i.bootMode != "uefi":
		return bad("InvalidParameterCombination", "Boot mode %s is not supported for arm64", i.bootMode)
	case i.arch == "i386" && i.bootMode != "" && i.bootMode != "legacy-bios":
		return bad("InvalidParameterCombination", "Boot mode %s is not supported for i386", i.bootMode)
	case i.tpm != "" && i.bootMode != "uefi":
		return bad("InvalidParameterCombination", "TpmSupport needs boot mode uefi")
	}
	return nil
}

// devices reads block device mappings.
func (c *ec2Call) devices() []mapping {
	var list []mapping
	for _, p := range c.groups("BlockDeviceMapping") {
		m := mapping{
			device: c.need(p + "DeviceName"), snapshot: c.text(p + "Ebs.SnapshotId"),
			kind: c.one(p+"Ebs.VolumeType", "gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"),
			gib:  c.number(p+"Ebs.VolumeSize", 1, maxGiB), iops: c.number(p+"Ebs.Iops", 100, 256000),
			throughput: c.number(p+"Ebs.Throughput", 125, 2000),
		}
		remove, encrypted := c.flag(p+"Ebs.DeleteOnTermination"), c.flag(p+"Ebs.Encrypted")
		m.keep = remove != nil && !*remove
		switch {
		case encrypted != nil && m.snapshot != "":
			c.fail(bad("InvalidBlockDeviceMapping", "The encrypted flag cannot be specified since device %s has a "+
				"snapshot specified.", m.device))
		case m.snapshot == "":
			c.fail(bad("InvalidBlockDeviceMapping", "Device %s has no snapshot", m.device))
		case !isDevice.MatchString(m.device), slices.ContainsFunc(list, func(o mapping) bool { return o.device == m.device }):
			c.fail(bad("InvalidBlockDeviceMapping", "Invalid or duplicate device name %s", m.device))
		case m.throughput != 0 && m.kind != "gp3", m.iops != 0 && m.kind != "gp3" && m.kind != "io1" && m.kind != "io2":
			c.fail(bad("InvalidParameterCombination", "Volume type %s does not take iops or throughput", m.kind))
		case m.iops == 0 && (m.kind == "io1" || m.kind == "io2"):
			c.fail(bad("MissingParameter", "The parameter iops must be specified for %s volumes", m.kind))
		}
		list = append(list, m)
	}
	return list
}

// checkDevice checks a mapping's snapshot, and fills the size in.
func (c *ec2Call) checkDevice(m *mapping) error {
	x, err := c.snapshot(m.snapshot)
	switch {
	case err != nil:
		return err
	case x.state != completed:
		return bad("IncorrectState", "Snapshot %s is in invalid state - %s", x.id, x.state)
	case m.gib == 0:
		m.gib = x.gib
	case m.gib < x.gib:
		return bad("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB",
			m.gib, x.id, x.gib)
	}
	return nil
}
