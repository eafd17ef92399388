package proxmox

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func vmPath(node string, vmid int64) string {
	return "/nodes/" + node + "/qemu/" + strconv.FormatInt(vmid, 10)
}

// config is a VM's configuration.
func (c *client) config(ctx context.Context, node string, vmid int64) (object, error) {
	var config object
	err := c.get(ctx, vmPath(node, vmid)+"/config", nil, &config)
	return config, err
}

// configure changes options of a VM. Where a value is "" the option is deleted.
func (c *client) configure(ctx context.Context, node string, vmid int64, options map[string]string) error {
	p := params{}
	var del []string
	for k, v := range options {
		if v == "" {
			del = append(del, k)
			continue
		}
		p[k] = v
	}
	if len(del) > 0 {
		slices.Sort(del)
		p["delete"] = strings.Join(del, ",")
	}
	if _, err := c.change(ctx, http.MethodPut, vmPath(node, vmid)+"/config", p, repeatable); err != nil {
		return fmt.Errorf("cannot change VM %d on %s: %w", vmid, node, err)
	}
	return nil
}

// property is a part of an option such as "virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0".
func property(option, name string) string {
	for part := range strings.SplitSeq(option, ",") {
		if k, v, _ := strings.Cut(part, "="); k == name {
			return v
		}
	}
	return ""
}

// withProperty is the option with that part changed, or added.
func withProperty(option, name, value string) string {
	parts := strings.Split(option, ",")
	for i, part := range parts {
		if k, _, _ := strings.Cut(part, "="); k == name {
			parts[i] = name + "=" + value
			return strings.Join(parts, ",")
		}
	}
	return option + "," + name + "=" + value
}

func uuidOf(config object) string { return strings.ToLower(property(config["smbios1"], "uuid")) }

// tagsOf are a VM's tags, sorted and in lower case: 9.x stores them so, 8.4 as they were given.
func tagsOf(config object) []string {
	tags := strings.FieldsFunc(strings.ToLower(config["tags"]), func(r rune) bool { return strings.ContainsRune(";, ", r) })
	slices.Sort(tags)
	return slices.Compact(tags)
}

// volumes are the volumes of a VM's disks: "local-lvm:base-9000-disk-0".
func volumes(config object) []string {
	var vols []string
	for k, v := range config {
		kind := strings.TrimRight(k, "0123456789")
		if kind == k || !slices.Contains([]string{"scsi", "virtio", "sata", "ide", "efidisk", "tpmstate", "unused"}, kind) {
			continue
		}
		volume, _, _ := strings.Cut(v, ",")
		if strings.Contains(volume, ":") && property(v, "media") != "cdrom" {
			vols = append(vols, strings.TrimPrefix(volume, "file="))
		}
	}
	slices.Sort(vols)
	return vols
}

// storageOf is the storage of a volume.
func storageOf(volume string) string {
	storage, _, _ := strings.Cut(volume, ":")
	return storage
}
