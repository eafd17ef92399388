package pvetest

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// getConfig is GET /nodes/{node}/qemu/{vmid}/config.
func getConfig(c *call) (any, error) {
	v, err := c.load()
	if err != nil {
		return nil, err
	}
	conf := c.config(v)
	out := map[string]any{"digest": digest(conf)}
	for name, value := range conf {
		out[name] = c.typed(name, value)
	}
	if conf["cipassword"] != "" {
		out["cipassword"] = "**********"
	}
	return out, nil
}

// getPending is GET /nodes/{node}/qemu/{vmid}/pending: nothing ever pends, because no guest really runs.
func getPending(c *call) (any, error) {
	v, err := c.load()
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	conf := c.config(v)
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		list = append(list, map[string]any{"key": name, "value": c.typed(name, conf[name])})
	}
	return list, nil
}

// notOptions are the parameters of a change that are no options.
var notOptions = []string{
	"node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay", "skip_cloud_init",
	"import-working-storage",
}

// putConfig is PUT …/config: it answers when the change is made.
func putConfig(c *call) (any, error) {
	change, err := c.readChange()
	if err != nil {
		return nil, err
	}
	return nil, c.change(c.ctx, &task{}, change)
}

// postConfig is POST …/config: the change is a task.
func postConfig(c *call) (any, error) {
	change, err := c.readChange()
	if err != nil {
		return nil, err
	}
	t := c.start("qmconfig", c.params["vmid"], c.params["node"], c.user, func(ctx context.Context, t *task) error {
		if err := t.step(ctx); err != nil {
			return err
		}
		return c.change(ctx, t, change)
	})
	return t.upid, nil
}

// configChange is what a request wants changed.
type configChange struct {
	set    map[string]string
	remove []string
}

// readChange checks a change before it is made.
func (c *call) readChange() (configChange, error) {
	ch := configChange{set: maps.Clone(c.params), remove: splitList(c.params["delete"])}
	maps.DeleteFunc(ch.set, func(k, _ string) bool { return slices.Contains(notOptions, k) })
	id := c.intParam("vmid", 0)
	switch {
	case c.params["skiplock"] == "1" && c.user != rootUser:
		return ch, wrongParam("skiplock", "Only root may use this option.")
	case len(ch.set) == 0 && len(ch.remove) == 0 && c.params["revert"] == "":
		return ch, die("no options specified")
	}
	for _, name := range ch.remove {
		if _, both := ch.set[name]; both {
			return ch, wrongParam("delete", "you can't use '-%s' and -delete %s' at the same time", name, name)
		}
		known := c.options[name] != nil && !slices.Contains(notConfig, name)
		if !known && !regexp.MustCompile(`^(lock|vmstate|snaptime|parent|unused\d+)$`).MatchString(name) {
			return ch, wrongParam("delete", "unknown option '%s'", name)
		}
	}
	if err := c.checkDrives(ch.set); err != nil {
		return ch, err
	}
	for name, value := range ch.set {
		if netName.MatchString(name) {
			with, err := c.addMAC(value)
			if err != nil {
				return ch, err
			}
			ch.set[name] = with
		}
	}
	if err := c.mayConfigure(id, "", append(slices.Sorted(maps.Keys(ch.set)), ch.remove...)); err != nil {
		return ch, err
	}
	if err := c.checkStorages(ch.set, id); err != nil {
		return ch, err
	}
	if err := c.checkBridges(ch.set); err != nil {
		return ch, err
	}
	v, err := c.load()
	if err != nil {
		return ch, err
	}
	return ch, c.checkUnchanged(v)
}

func (c *call) checkUnchanged(v *vm) error {
	conf := c.config(v)
	if want := c.params["digest"]; want != "" && want != digest(conf) {
		return die("checksum mismatch (file change by other user?)")
	}
	if c.params["skiplock"] == "1" {
		return nil
	}
	return checkLock(conf)
}

// change makes a change under the lock of the configuration.
func (c *call) change(ctx context.Context, t *task, ch configChange) error {
	v, unlock, err := c.locked(c.params["node"], c.intParam("vmid", 0))
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.checkUnchanged(v); err != nil {
		return err
	}
	conf := c.config(v)
	for _, name := range ch.remove {
		if conf[name] == "" {
			continue
		}
		if driveName.MatchString(name) && conf["protection"] == "1" {
			return die("can't remove drive '%s' - protection mode enabled", name)
		}
		if err := c.dropDrive(v, conf, name); err != nil {
			return err
		}
		delete(conf, name)
		dropFromBoot(conf, name)
	}
	for _, name := range slices.Sorted(maps.Keys(ch.set)) {
		value := ch.set[name]
		switch {
		case driveName.MatchString(name):
			if err := c.setDrive(ctx, t, v, conf, name, value); err != nil {
				return err
			}
			continue
		case serialName.MatchString(name) && c.user != rootUser:
			if err := c.checkSerials(v.id, "", map[string]string{name: value}); err != nil {
				return err
			}
		case name == "tags":
			value = uniqueTags(value)
		case name == "boot":
			if err := checkBoot(value, conf, ch.set); err != nil {
				return err
			}
		}
		conf[name] = value
		if name == "tags" && value == "" {
			conf[name] = " "
		}
	}
	c.write(v, conf)
	return nil
}

// setDrive puts a drive in place of what is there, and makes it if it is new.
func (c *call) setDrive(ctx context.Context, t *task, v *vm, conf map[string]string, name, value string) error {
	if err := c.mayDrive(v.id, name, value); err != nil {
		return err
	}
	made := map[string]string{}
	volumes, err := c.makeDisks(ctx, t, v, map[string]string{name: value}, "", made)
	if err == nil && conf[name] != "" {
		old, _ := c.parseDrive(name, conf[name])
		now, _ := c.parseDrive(name, made[name])
		if old["file"] != now["file"] {
			err = c.dropDrive(v, conf, name)
		}
	}
	if err != nil {
		for _, vol := range volumes {
			_ = c.free(vol)
		}
		return err
	}
	conf[name] = made[name]
	return nil
}

// mayDrive checks the privileges for a drive by what it is.
func (c *call) mayDrive(id int, name, value string) error {
	d, err := c.parseDrive(name, value)
	if err != nil {
		return err
	}
	var privs []string
	switch {
	case d.isCloudInit():
		privs = []string{"VM.Config.Cloudinit", "VM.Config.CDROM"}
	case d.isCDROM():
		privs = []string{"VM.Config.CDROM"}
	default:
		privs = []string{"VM.Config.Disk"}
	}
	for _, p := range privs {
		if err := c.needVM(id, "", p); err != nil {
			return err
		}
	}
	return nil
}

// dropDrive takes what a name has out of a configuration: a cloud-init drive and an unused disk are removed, another
// disk becomes an unused one.
func (c *call) dropDrive(v *vm, conf map[string]string, name string) error {
	unused := strings.HasPrefix(name, "unused")
	if !driveName.MatchString(name) && !unused {
		return nil
	}
	if !unused {
		if err := c.mayDrive(v.id, name, conf[name]); err != nil {
			return err
		}
	}
	file, _, _ := strings.Cut(conf[name], ",")
	vol, ok := c.imageOf(file, v.node)
	if !ok || vol.vmid != v.id {
		return nil // not the VM's own
	}
	d := drive{"file": file}
	if unused || d.isCloudInit() {
		return c.free(vol)
	}
	for i := 0; ; i++ {
		if key := "unused" + strconv.Itoa(i); conf[key] == "" {
			conf[key] = file
			return nil
		}
	}
}

func dropFromBoot(conf map[string]string, name string) {
	order, ok := strings.CutPrefix(conf["boot"], "order=")
	if !ok {
		return
	}
	left := slices.DeleteFunc(strings.Split(order, ";"), func(s string) bool { return s == name })
	conf["boot"] = "order=" + strings.Join(left, ";")
}

func checkBoot(value string, conf, set map[string]string) error {
	order, ok := strings.CutPrefix(value, "order=")
	if !ok {
		return nil
	}
	for _, dev := range splitList(order) {
		if conf[dev] == "" && set[dev] == "" {
			return die("invalid bootorder: device '%s' does not exist'", dev)
		}
	}
	return nil
}
