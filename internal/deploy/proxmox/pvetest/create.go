package pvetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// notConfig are the parameters of a create that are no configuration.
var notConfig = []string{
	"node", "vmid", "archive", "bwlimit", "force", "pool", "start", "ha-managed", "storage", "unique", "live-restore",
	"import-working-storage",
}

// createVM is POST /nodes/{node}/qemu. The id is taken at once, the rest is a task.
func createVM(c *call) (any, error) {
	node, id := c.params["node"], c.intParam("vmid", 0)
	if err := c.mayCreate(id); err != nil {
		return nil, err
	}
	if c.params["archive"] != "" || c.params["live-restore"] == "1" {
		return nil, die("pvetest restores no backups")
	}
	conf := maps.Clone(c.params)
	maps.DeleteFunc(conf, func(k, _ string) bool { return slices.Contains(notConfig, k) })
	pool := c.params["pool"]
	if err := c.checkStorages(conf, id); err != nil {
		return nil, err
	}
	if err := c.mayConfigure(id, pool, slices.Sorted(maps.Keys(conf))); err != nil {
		return nil, err
	}
	if err := c.checkSerials(id, pool, conf); err != nil {
		return nil, err
	}
	if err := c.checkBridges(conf); err != nil {
		return nil, err
	}
	if err := c.checkDrives(conf); err != nil {
		return nil, err
	}
	for name, value := range conf {
		if netName.MatchString(name) {
			with, err := c.addMAC(value)
			if err != nil {
				return nil, err
			}
			conf[name] = with
		}
	}
	prefix := fmt.Sprintf("unable to create VM %d - ", id)
	v, err := c.reserve(node, id, "create")
	if err != nil {
		return nil, die("%s%s", prefix, firstLine(err))
	}
	t := c.start("qmcreate", strconv.Itoa(id), node, c.user, func(ctx context.Context, t *task) error {
		v.file.Lock()
		defer v.file.Unlock()
		err := c.build(ctx, t, v, conf)
		switch {
		case err == nil || errors.Is(err, errCrashed):
			return err
		case errors.Is(err, errInterrupted):
			c.forget(v)
			return err
		}
		c.forget(v)
		return die("%s%s", prefix, firstLine(err))
	})
	return t.upid, nil
}

// mayCreate checks what making a VM takes.
func (c *call) mayCreate(id int) error {
	pool := c.params["pool"]
	if pool != "" && !slices.Contains(c.opts.Pools, pool) {
		return forbidden(fmt.Sprintf("pool '%s' does not exist", pool))
	}
	if st := c.params["storage"]; st != "" {
		if err := c.need(c.user, "/storage/"+st, "Datastore.AllocateSpace"); err != nil {
			return err
		}
	}
	if c.params["ha-managed"] == "1" {
		if err := c.need(c.user, "/", "Sys.Console"); err != nil {
			return err
		}
	}
	if c.params["start"] == "1" {
		if err := c.needVM(id, pool, "VM.PowerMgmt"); err != nil {
			return err
		}
	}
	if c.needVM(id, pool, "VM.Allocate") != nil {
		return forbidden("")
	}
	return nil
}

// needVM wants a privilege on a VM, or on the pool that it will be in.
func (c *call) needVM(id int, pool, priv string) error {
	if pool != "" && c.need(c.user, "/pool/"+pool, priv) == nil {
		return nil
	}
	return c.need(c.user, fmt.Sprintf("/vms/%d", id), priv)
}

// build is the work of a create: the disks, then the configuration. When it fails its disks go again.
func (c *call) build(ctx context.Context, t *task, v *vm, conf map[string]string) error {
	made := map[string]string{}
	volumes, err := c.makeDisks(ctx, t, v, conf, c.params["storage"], made)
	if err == nil {
		err = t.step(ctx)
	}
	if errors.Is(err, errCrashed) {
		return err
	}
	if err != nil {
		for _, vol := range volumes {
			if c.opts.LeakEFIDisk && strings.Contains(made["efidisk0"], vol.volid()) {
				continue
			}
			_ = c.free(vol)
		}
		return err
	}
	maps.Copy(conf, made)
	if conf["boot"] == "" {
		conf["boot"] = "order=" + strings.Join(defaultBoot(conf), ";")
	}
	if conf["smbios1"] == "" {
		conf["smbios1"] = "uuid=" + newUUID()
	}
	if conf["vmgenid"] == "" || conf["vmgenid"] == "1" {
		conf["vmgenid"] = newUUID()
	}
	conf["meta"] = fmt.Sprintf("creation-qemu=%s,ctime=%d", c.rel.qemu, time.Now().Unix())
	if tags, ok := conf["tags"]; ok && c.rel.tags {
		conf["tags"] = uniqueTags(tags)
	}
	c.write(v, conf)
	c.mu.Lock()
	v.pool, v.ha, v.running = c.params["pool"], c.params["ha-managed"] == "1", c.params["start"] == "1"
	c.mu.Unlock()
	return nil
}

// defaultBoot is the first disk, the first CD drive and the first network card.
func defaultBoot(conf map[string]string) []string {
	var disk, cd, net string
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		cdrom := strings.Contains(conf[name], "media=cdrom")
		switch {
		case netName.MatchString(name) && net == "":
			net = name
		case !driveName.MatchString(name) || name == "efidisk0" || name == "tpmstate0":
		case cdrom && cd == "" && !strings.Contains(conf[name], "cloudinit"):
			cd = name
		case !cdrom && disk == "":
			disk = name
		}
	}
	return slices.DeleteFunc([]string{disk, cd, net}, func(s string) bool { return s == "" })
}
