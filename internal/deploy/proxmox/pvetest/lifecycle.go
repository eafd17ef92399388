package pvetest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// makeTemplate is POST …/template: the disks become base images.
func makeTemplate(c *call) (any, error) {
	check := func(conf map[string]string) error {
		if err := checkLock(conf); err != nil {
			return err
		}
		if isTemplate(conf) && c.params["disk"] == "" {
			return die("you can't convert a template to a template")
		}
		return nil
	}
	v, err := c.load()
	if err != nil {
		return nil, err
	}
	if err := check(c.config(v)); err != nil {
		return nil, err
	}
	c.mu.Lock()
	running := v.running
	c.mu.Unlock()
	if running {
		return nil, die("you can't convert a VM to template if VM is running")
	}
	node, id := v.node, v.id
	t := c.start("qmtemplate", strconv.Itoa(id), node, c.user, func(ctx context.Context, t *task) error {
		v, unlock, err := c.locked(node, id)
		if err != nil {
			return err
		}
		defer unlock()
		conf := c.config(v)
		if err := check(conf); err != nil {
			return err
		}
		if err := t.step(ctx); err != nil {
			return err
		}
		conf["template"] = "1"
		c.write(v, conf)
		return c.drives(conf, func(name string, d drive) error {
			vol, ok := c.imageOf(d["file"], node)
			if d.isCDROM() || !ok || vol.isBase || c.params["disk"] != "" && c.params["disk"] != name {
				return nil
			}
			vol, err := c.toBase(vol)
			if err != nil {
				return err
			}
			d["file"] = vol.volid()
			conf[name] = c.printDrive(name, d)
			c.write(v, conf)
			return nil
		})
	})
	return t.upid, nil
}

// resize is PUT …/resize. A base image is immutable, and no disk shrinks: both show in the task.
func resize(c *call) (any, error) {
	if c.params["skiplock"] == "1" && c.user != rootUser {
		return nil, wrongParam("skiplock", "Only root may use this option.")
	}
	if _, err := c.load(); err != nil {
		return nil, err
	}
	node, id, name := c.params["node"], c.intParam("vmid", 0), c.params["disk"]
	t := c.start("resize", strconv.Itoa(id), node, c.user, func(ctx context.Context, t *task) error {
		v, unlock, err := c.locked(node, id)
		if err != nil {
			return err
		}
		defer unlock()
		if err := c.checkUnchanged(v); err != nil {
			return err
		}
		conf := c.config(v)
		if conf[name] == "" {
			return die("disk '%s' does not exist", name)
		}
		d, err := c.parseDrive(name, conf[name])
		if err != nil {
			return err
		}
		if d.isCDROM() {
			return die("you can't resize a cdrom")
		}
		if err := t.step(ctx); err != nil {
			return err
		}
		size, err := c.grow(ctx, d["file"], node)
		if err != nil {
			return err
		}
		d["size"] = formatSize(size)
		conf[name] = c.printDrive(name, d)
		c.write(v, conf)
		return nil
	})
	return t.upid, nil
}

// grow gives a volume the size that the request wants.
func (c *call) grow(ctx context.Context, volid, node string) (int64, error) {
	vol, err := c.parseVolume(volid, node)
	if err != nil {
		return 0, err
	}
	if err := c.need(c.user, "/storage/"+vol.st.ID, "Datastore.AllocateSpace"); err != nil {
		return 0, err
	}
	info, err := c.info(ctx, c.file(vol), vol.format)
	if err != nil {
		return 0, err
	}
	text, more := strings.CutPrefix(c.params["size"], "+")
	size, _ := parseSize(text)
	if more {
		size += info.VirtualSize
	}
	switch {
	case size < info.VirtualSize:
		return 0, die("shrinking disks is not supported")
	case size == info.VirtualSize:
		return size, nil
	case vol.isBase:
		return 0, die("command '/usr/bin/qemu-img resize -f %s %s %d' failed: exit code 1", vol.format, c.shown(vol), size)
	case !vol.st.isDir():
		size = (size + extent - 1) / extent * extent
	}
	return size, c.qemuImg(ctx, nil, "resize", "-q", "-f", vol.format, c.file(vol), strconv.FormatInt(size, 10))
}

// deleteVM is DELETE /nodes/{node}/qemu/{vmid}. What speaks against it is found before the task or in it.
func deleteVM(c *call) (any, error) {
	skip := c.params["skiplock"] == "1"
	if skip && c.user != rootUser {
		return nil, wrongParam("skiplock", "Only root may use this option.")
	}
	v, err := c.load()
	if err != nil {
		return nil, err
	}
	if err := c.mayDestroy(v); err != nil {
		return nil, err
	}
	node, id := v.node, v.id
	t := c.start("qmdestroy", strconv.Itoa(id), node, c.user, func(ctx context.Context, t *task) error {
		v, unlock, err := c.locked(node, id)
		if err != nil {
			return err
		}
		defer unlock()
		if err := c.mayDestroy(v); err != nil {
			return err
		}
		conf := c.config(v)
		if err := checkLock(conf); err != nil && !skip && conf["lock"] != "suspended" {
			return err
		}
		if err := t.step(ctx); err != nil {
			return err
		}
		if err := c.destroyDisks(t, v, conf); err != nil {
			return err
		}
		c.forget(v)
		return nil
	})
	return t.upid, nil
}

func (c *call) mayDestroy(v *vm) error {
	conf := c.config(v)
	c.mu.Lock()
	ha, running := v.ha, v.running
	c.mu.Unlock()
	switch {
	case conf["protection"] == "1":
		return die("can't remove VM %d - protection mode enabled", v.id)
	case ha && c.params["purge"] != "1":
		return die("unable to remove VM %d - used in HA resources and purge parameter not set.", v.id)
	case running:
		return die("VM %d is running - destroy failed", v.id)
	}
	return nil
}

// destroyDisks removes a VM's disks. One that cannot be removed is a warning, and stays when the VM goes.
func (c *call) destroyDisks(t *task, v *vm, conf map[string]string) error {
	var own []volume
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		if !driveName.MatchString(name) && !strings.HasPrefix(name, "unused") {
			continue
		}
		file, _, _ := strings.Cut(conf[name], ",")
		vol, ok := c.imageOf(file, v.node)
		if !ok {
			continue
		}
		if isTemplate(conf) && c.baseInUse(vol) {
			return die("base volume '%s' is still in use by linked cloned", vol.volid())
		}
		if vol.vmid == v.id {
			own = append(own, vol)
		}
	}
	for _, vol := range own {
		if err := c.free(vol); err != nil {
			t.warn("Could not remove disk '%s', check manually: %s", vol.volid(), firstLine(err))
		}
	}
	if c.params["destroy-unreferenced-disks"] != "1" {
		return nil
	}
	for i := range c.opts.Storages {
		st := &c.opts.Storages[i]
		if st.Disabled || !st.on(v.node) || !st.has("images") {
			continue
		}
		for _, vol := range c.volumes(st, v.node) {
			if vol.kind != "images" || vol.vmid != v.id {
				continue
			}
			if err := c.free(vol); err != nil {
				t.warn("%s", firstLine(err))
			}
		}
	}
	return nil
}
