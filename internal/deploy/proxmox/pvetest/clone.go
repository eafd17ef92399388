package pvetest

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
)

// cloneVM is POST …/clone: linked to a template's base images unless full.
func cloneVM(c *call) (any, error) {
	src, err := c.load()
	if err != nil {
		return nil, err
	}
	conf := c.config(src)
	if err := checkLock(conf); err != nil {
		return nil, err
	}
	full := c.params["full"] == "1" || !isTemplate(conf)
	if st := c.params["storage"]; st != "" && !full {
		return nil, die("parameter 'storage' not allowed for linked clones")
	}
	node, id := c.params["node"], c.intParam("newid", 0)
	if to := c.params["target"]; to != "" && to != node {
		return nil, die("can't clone VM to node '%s' (VM uses local storage)", to)
	}
	v, err := c.reserve(node, id, "clone")
	if err != nil {
		return nil, die("unable to create VM %d: config file already exists", id)
	}
	t := c.start("qmclone", strconv.Itoa(src.id), node, c.user, func(ctx context.Context, t *task) error {
		err := t.step(ctx)
		if err == nil {
			err = c.clone(ctx, src, v, c.params["name"], c.params["storage"], full)
		}
		if err != nil {
			c.forget(v)
			return die("clone failed: %s", firstLine(err))
		}
		return nil
	})
	return t.upid, nil
}

// clone makes a guest of another one's configuration and disks.
func (s *Server) clone(ctx context.Context, src, v *vm, name, storage string, full bool) error {
	conf := s.config(src)
	maps.DeleteFunc(conf, func(k, _ string) bool { return k == "template" || k == "lock" || strings.HasPrefix(k, "unused") })
	if name != "" {
		conf["name"] = name
	} else {
		conf["name"] = "Copy-of-VM-" + conf["name"]
	}
	conf["smbios1"], conf["vmgenid"] = "uuid="+newUUID(), newUUID()
	var made []volume
	err := s.drives(conf, func(key string, d drive) error {
		vol, ok := s.imageOf(d["file"], src.node)
		if !ok {
			return nil
		}
		out, err := s.cloneDisk(ctx, vol, v, storage, d, full)
		if err != nil {
			return err
		}
		made = append(made, out)
		d["file"] = out.volid()
		conf[key] = s.printDrive(key, d)
		return nil
	})
	if err != nil {
		for _, vol := range made {
			err = errors.Join(err, s.free(vol))
		}
		return err
	}
	for key, value := range conf {
		if netName.MatchString(key) {
			net, err := parseKeyed(s.driveSchema(key), value, key)
			if err != nil {
				return err
			}
			delete(net, "macaddr")
			conf[key], err = s.addMAC(printKeyed(s.driveSchema(key), net))
			if err != nil {
				return err
			}
		}
	}
	s.write(v, conf)
	return nil
}

func (s *Server) cloneDisk(ctx context.Context, src volume, v *vm, storage string, d drive, full bool) (volume, error) {
	st := src.st
	if storage != "" {
		var err error
		if st, err = s.enabled(storage, v.node); err != nil {
			return volume{}, err
		}
	}
	out := volume{st: st, node: v.node, kind: "images", vmid: v.id, format: pickFormat(st, src.format, "")}
	leaf := ""
	if d.isCloudInit() {
		leaf = "vm-" + strconv.Itoa(v.id) + "-cloudinit"
	}
	linked := !full && src.isBase && st.isDir()
	if linked {
		out.format = "qcow2"
	}
	s.mu.Lock()
	err := s.reserveName(&out, leaf)
	s.mu.Unlock()
	if err != nil {
		return out, err
	}
	if linked {
		out.base, out.name = src.name, src.name+"/"+out.name
		backing := filepath.Join("..", strconv.Itoa(src.vmid), src.leaf)
		err = s.qemuImg(ctx, nil, "create", "-q", "-f", "qcow2", "-F", src.format, "-b", backing, s.file(out))
	} else { // the thin volumes of a linked clone share their blocks; nothing but their own name shows
		err = s.qemuImg(ctx, nil, "convert", "-f", src.format, "-O", out.format, s.file(src), s.file(out))
	}
	if err != nil {
		err = errors.Join(err, s.free(out))
	}
	return out, err
}
