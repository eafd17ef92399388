package pvetest

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cloudInitSize is what the drive with a VM's cloud-init data is made with.
const cloudInitSize = 4 << 20

// makeDisks makes the new disks among conf's drives; made gets the drives as they are then. What it answers was made,
// also when it fails.
func (c *call) makeDisks(ctx context.Context, t *task, v *vm, conf map[string]string, storage string, made map[string]string) ([]volume, error) {
	var volumes []volume
	err := c.drives(conf, func(name string, d drive) error {
		_, leaf, managed := strings.Cut(d["file"], ":")
		switch {
		case d["file"] == "none" || d["file"] == "cdrom":
			delete(d, "size")
		case managed && leaf == "cloudinit":
			vol, err := c.makeCloudInit(ctx, v, made, name, d)
			if err != nil {
				return err
			}
			volumes = append(volumes, vol)
			d["file"], d["media"] = vol.volid(), "cdrom"
			delete(d, "format")
		case newDisk.MatchString(d["file"]):
			vol, size, err := c.makeDisk(ctx, t, v, name, d, storage)
			if vol.st != nil {
				volumes = append(volumes, vol)
			}
			if err != nil {
				return err
			}
			d["file"], d["size"] = vol.volid(), formatSize(size)
			delete(d, "format")
			delete(d, "import-from")
		default:
			if err := c.attach(ctx, v, d); err != nil {
				return err
			}
		}
		made[name] = c.printDrive(name, d)
		t.print("%s: successfully created disk '%s'", name, made[name])
		return nil
	})
	return volumes, err
}

// attach takes a volume that exists.
func (c *call) attach(ctx context.Context, v *vm, d drive) error {
	vol, err := c.parseVolume(d["file"], v.node)
	if err != nil {
		return err
	}
	info, err := c.info(ctx, c.file(vol), vol.format)
	if err != nil {
		return die("volume %s does not exist", vol.volid())
	}
	d["size"] = formatSize(info.VirtualSize)
	return nil
}

func (c *call) makeCloudInit(ctx context.Context, v *vm, made map[string]string, name string, d drive) (volume, error) {
	id, _, _ := strings.Cut(d["file"], ":")
	st, err := c.enabled(id, v.node)
	if err != nil {
		return volume{}, err
	}
	others := c.config(v)
	maps.Copy(others, made)
	delete(others, name)
	err = c.drives(others, func(other string, od drive) error {
		if od.isCloudInit() {
			return die("%s - cloud-init drive is already attached at '%s'", name, other)
		}
		return nil
	})
	if err != nil {
		return volume{}, err
	}
	format := d["format"]
	if format == "" && st.isDir() {
		format = "qcow2"
	}
	if !st.isDir() {
		format = "raw"
	}
	return c.alloc(ctx, st, v.node, v.id, format, "vm-"+strconv.Itoa(v.id)+"-cloudinit", cloudInitSize)
}

// makeDisk makes a disk: an empty one (an EFI disk, too: firmware fills it in), or a full copy of what import-from names.
func (c *call) makeDisk(ctx context.Context, t *task, v *vm, name string, d drive, storage string) (volume, int64, error) {
	m := newDisk.FindStringSubmatch(d["file"])
	if m[1] != "" {
		storage = m[1]
	}
	st, err := c.enabled(storage, v.node)
	if err != nil {
		return volume{}, 0, err
	}
	if source := d["import-from"]; source != "" {
		return c.importDisk(ctx, t, v, st, source, d["format"])
	}
	gib, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return volume{}, 0, err
	}
	size := int64(gib * (1 << 30))
	switch {
	case name == "efidisk0" && d["efitype"] == "4m":
		size = 528 << 10
	case name == "efidisk0":
		size = 128 << 10
	case name == "tpmstate0":
		size = 4 << 20
	}
	vol, err := c.alloc(ctx, st, v.node, v.id, pickFormat(st, "", d["format"]), "", size)
	if err != nil {
		return vol, 0, err
	}
	info, err := c.info(ctx, c.file(vol), vol.format)
	return vol, info.VirtualSize, err
}

// pickFormat is the one wanted, else that of the source, if the storage can hold it; else raw.
func pickFormat(st *Storage, source, want string) string {
	if want == "" {
		want = source
	}
	if !st.isDir() || want != "qcow2" && want != "vmdk" {
		return "raw"
	}
	return want
}

// importDisk copies an image, which may be a volume, a file in an OVA, or for root a path of the server's.
func (c *call) importDisk(ctx context.Context, t *task, v *vm, st *Storage, source, want string) (volume, int64, error) {
	if strings.HasPrefix(source, "/") {
		src, ok := c.byPath(source, v.node)
		if !ok {
			return volume{}, 0, die("can't find file '%s'", source)
		}
		info, err := c.untrusted(ctx, src, source, "")
		if err != nil {
			return volume{}, 0, err
		}
		return c.copyDisk(ctx, t, v, st, src, info.Format, pickFormat(st, "", want))
	}
	src, err := c.parseVolume(source, v.node)
	if err != nil {
		return volume{}, 0, err
	}
	file := c.file(src)
	if src.inner != "" {
		t.print("extracting %s", source)
		out, err := c.extract(ctx, v, src)
		if err != nil {
			return volume{}, 0, die("error during extraction: %s", firstLine(err))
		}
		t.print("finished extracting to %s", out.volid())
		defer c.free(out) //nolint:errcheck // a temporary volume, which the inventory shows if it stays
		src, file = out, c.file(out)
	}
	if src.kind == "import" {
		if _, err := c.untrusted(ctx, file, c.shown(src), src.format); err != nil {
			return volume{}, 0, err
		}
	}
	vol, size, err := c.copyDisk(ctx, t, v, st, file, src.format, pickFormat(st, src.format, want))
	if err != nil && ctx.Err() == nil {
		err = die("cannot import from '%s' - %s", src.volid(), firstLine(err))
	}
	return vol, size, err
}

// copyDisk makes a new image of a VM by qemu-img convert.
func (c *call) copyDisk(ctx context.Context, t *task, v *vm, st *Storage, file, format, want string) (volume, int64, error) {
	vol := volume{st: st, node: v.node, kind: "images", vmid: v.id, format: want}
	c.mu.Lock()
	err := c.reserveName(&vol, "")
	c.mu.Unlock()
	if err != nil {
		return volume{}, 0, err
	}
	t.print("allocated target volume '%s'", vol.volid())
	if err := c.qemuImg(ctx, nil, "convert", "-f", format, "-O", want, file, c.file(vol)); err != nil {
		return vol, 0, err
	}
	if err := roundUp(vol, c.file(vol)); err != nil {
		return vol, 0, err
	}
	info, err := c.info(ctx, c.file(vol), want)
	return vol, info.VirtualSize, err
}

// roundUp makes a thin volume a whole number of extents.
func roundUp(v volume, file string) error {
	if v.st.isDir() {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.Truncate(file, (info.Size()+extent-1)/extent*extent)
}

// byPath finds the file that a path of the server's means.
func (s *Server) byPath(path, node string) (string, bool) {
	for i := range s.opts.Storages {
		st := &s.opts.Storages[i]
		below, ok := strings.CutPrefix(filepath.Clean(path), st.Path+"/")
		if !ok || !st.isDir() || !st.on(node) {
			continue
		}
		file := filepath.Join(s.folder(st, node), below)
		info, err := os.Stat(file)
		return file, err == nil && info.Mode().IsRegular()
	}
	return "", false
}
