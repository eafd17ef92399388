package pvetest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	netName    = regexp.MustCompile(`^net\d+$`)
	serialName = regexp.MustCompile(`^serial\d+$`)
	valueNames = regexp.MustCompile(`^(unused|serial|usb|hostpci|virtiofs)\d+$|^tags$|^cdrom$`)
)

// optionPrivileges is what changing an option takes (PVE::API2::Qemu).
var optionPrivileges = map[string][]string{
	"VM.Config.CPU":    {"cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"},
	"VM.Config.Memory": {"memory", "balloon", "shares", "allow-ksm"},
	"VM.Config.HWType": {
		"acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog", "audio0", "rng0",
	},
	"VM.Config.Options": {
		"agent", "autostart", "bios", "description", "keyboard", "localtime", "migrate_downtime", "migrate_speed", "name",
		"onboot", "ostype", "protection", "reboot", "startdate", "startup", "tdf", "template",
	},
	"VM.PowerMgmt":   {"freeze"},
	"VM.Config.Disk": {"boot", "bootdisk", "vmstatestorage"},
	"VM.Config.Cloudinit": {
		"cicustom", "cipassword", "citype", "ciuser", "ciupgrade", "nameserver", "searchdomain", "sshkeys",
	},
}

// mayConfigure checks the privileges for options. Those of drives and the like depend on their values.
func (c *call) mayConfigure(id int, pool string, options []string) error {
	if c.user == rootUser {
		return nil
	}
	for _, o := range options {
		if driveName.MatchString(o) || valueNames.MatchString(o) && o != "tags" {
			continue
		}
		priv := ""
		switch {
		case netName.MatchString(o):
			priv = "VM.Config.Network"
		case strings.HasPrefix(o, "ipconfig"):
			priv = "VM.Config.Cloudinit"
		case strings.HasPrefix(o, "numa"):
			priv = "VM.Config.CPU"
		case o == "tags":
			priv = "VM.Config.Options"
		}
		for p, list := range optionPrivileges {
			if slices.Contains(list, o) {
				priv = p
			}
		}
		if priv == "" {
			return die("only root can set '%s' config", o)
		}
		if priv == "VM.Config.Cloudinit" && c.needVM(id, pool, "VM.Config.Network") == nil {
			continue
		}
		if err := c.needVM(id, pool, priv); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) checkSerials(id int, pool string, conf map[string]string) error {
	for name, value := range conf {
		switch {
		case c.user == rootUser || !serialName.MatchString(name):
		case value != "socket":
			return die("only root can set '%s' config for real devices", name)
		default:
			if err := c.needVM(id, pool, "VM.Config.HWType"); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkBridges wants SDN.Use on the bridges of network cards.
func (c *call) checkBridges(conf map[string]string) error {
	if c.user == rootUser {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		if !netName.MatchString(name) {
			continue
		}
		net, err := parseKeyed(c.driveSchema(name), conf[name], name)
		if err != nil || net["bridge"] == "" {
			continue
		}
		path := "/sdn/zones/localnetwork/" + net["bridge"]
		if tag := net["tag"]; tag != "" {
			path += "/" + tag
		}
		if err := c.need(c.user, path, "SDN.Use"); err != nil {
			return err
		}
	}
	return nil
}

// checkStorages checks privileges and content types of what drives are made on and of.
func (c *call) checkStorages(conf map[string]string, id int) error {
	return c.drives(conf, func(name string, d drive) error {
		_, leaf, managed := strings.Cut(d["file"], ":")
		m := newDisk.FindStringSubmatch(d["file"])
		var err error
		switch {
		case d["file"] == "none" || managed && leaf == "cloudinit":
		case d["file"] == "cdrom":
			err = c.need(c.user, "/", "Sys.Console")
		case m != nil && !d.isCDROM():
			err = c.checkTarget(m[1])
		default:
			err = c.checkExisting(name, d["file"], id)
		}
		if err == nil && d["import-from"] != "" {
			err = c.checkSource(name, d["import-from"], id)
		}
		return err
	})
}

// checkTarget checks the storage of a new disk.
func (c *call) checkTarget(id string) error {
	if id == "" {
		id = c.params["storage"]
	}
	if id == "" {
		return die("no storage ID specified (and no default storage)")
	}
	if err := c.need(c.user, "/storage/"+id, "Datastore.AllocateSpace"); err != nil {
		return err
	}
	st, err := c.storage(id)
	if err == nil && !st.has("images") {
		err = wrongParam("storage", "storage '%s' does not support vm images", id)
	}
	return err
}

func (c *call) checkExisting(name, volid string, id int) error {
	v, err := c.pathOrVolume(volid)
	if err != nil || v == nil {
		return err
	}
	if err := c.checkVolume(*v, id); err != nil {
		return err
	}
	if v.kind != "images" && v.kind != "iso" {
		return wrongParam(name, "content type needs to be 'images' or 'iso'")
	}
	return nil
}

// pathOrVolume reads a volume's id. An absolute path, only for root, is nil without an error.
func (c *call) pathOrVolume(text string) (*volume, error) {
	if strings.HasPrefix(text, "/") {
		if c.user != rootUser {
			return nil, die("Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 560.")
		}
		return nil, nil
	}
	v, err := c.parseVolume(text, c.params["node"])
	return &v, err
}

// checkSource checks what a disk is imported from.
func (c *call) checkSource(name, source string, id int) error {
	v, err := c.pathOrVolume(source)
	if err != nil || v == nil {
		return err
	}
	if v.kind != "images" && v.kind != "import" {
		return wrongParam(name, "%s has wrong type '%s' - needs to be 'images' or 'import'", source, v.kind)
	}
	if v.inner != "" {
		st, param := v.st, name
		if work := c.params["import-working-storage"]; work != "" {
			param = "import-working-storage"
			if st, err = c.storage(work); err != nil {
				return err
			}
		}
		if !st.has("images") || !st.isDir() {
			return wrongParam(param,
				"import working storage '%s' does not support 'images' content type or is not file based.", st.ID)
		}
		if err := c.need(c.user, "/storage/"+st.ID, "Datastore.AllocateSpace"); err != nil {
			return err
		}
	}
	if v.vmid != 0 {
		return c.need(c.user, fmt.Sprintf("/vms/%d", v.vmid), "VM.Clone")
	}
	return c.checkVolume(*v, id)
}

// mayUse tells whether a user may use a volume for a VM; 0 is none.
func (c *call) mayUse(v volume, id int) bool { return c.checkVolume(v, id) == nil }

// checkVolume is PVE::Storage::check_volume_access.
func (c *call) checkVolume(v volume, id int) error {
	path := "/storage/" + v.st.ID
	switch {
	case c.need(c.user, path, "Datastore.Allocate") == nil:
		return nil
	case v.kind == "iso" || v.kind == "import":
		return c.needAny(c.user, path, "Datastore.AllocateSpace", "Datastore.Audit")
	case v.vmid != 0 && v.vmid == id:
		return nil
	}
	if err := c.need(c.user, path, "Datastore.Audit"); err != nil {
		return err
	}
	return c.need(c.user, fmt.Sprintf("/vms/%d", v.vmid), "VM.Config.Disk")
}

// checkDrives checks what the schema cannot, and writes drives as the server does.
func (c *call) checkDrives(conf map[string]string) error {
	made := map[string]string{}
	err := c.drives(conf, func(name string, d drive) error {
		if d["import-from"] != "" {
			m := newDisk.FindStringSubmatch(d["file"])
			if m == nil || strings.Trim(m[2], "0.") != "" {
				return wrongParam(name, "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>")
			}
			for _, required := range []string{"efitype", "pre-enrolled-keys"} {
				if name == "efidisk0" && d[required] == "" {
					return wrongParam(name, "need to specify '%s' when using 'import-from'", required)
				}
			}
		}
		v, err := c.parseVolume(d["file"], c.params["node"])
		if err == nil && v.kind == "iso" && !d.isCDROM() {
			return wrongParam(name, "explicit 'media=cdrom' is required for iso images")
		}
		made[name] = c.printDrive(name, d)
		return nil
	})
	maps.Copy(conf, made)
	return err
}
