package proxmox

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Delete removes a template. One with linked clones is renamed and tagged instead, and a later Deploy or Delete collects
// it.
func (t *target) Delete(ctx context.Context, have deploy.Result) error {
	if err := t.remove(ctx, have); err != nil {
		return err
	}
	if vms, err := t.vms(ctx); err == nil { // to collect is for another time, if need be
		t.collect(ctx, vms)
	}
	return nil
}

func (t *target) remove(ctx context.Context, have deploy.Result) error {
	node, config, err := t.locate(ctx, have)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	clones, err := t.clones(ctx, node, have.VMID, config)
	if err != nil {
		return err
	}
	if len(clones) > 0 {
		return t.retire(ctx, node, have, config, fmt.Sprintf("VMs %v are linked clones of it", clones))
	}
	err = t.destroy(ctx, node, have.VMID, config)
	if stillCloned(err) {
		return t.retire(ctx, node, have, config, "there are linked clones of it: "+err.Error())
	}
	return err
}

// destroy deletes a VM and its disks: those of its configuration, unused ones too. The configuration is the one that told
// whose it is. destroy-unreferenced-disks would take every volume with the VM's id, on all storages, also what was there
// before the VM, or is another host's on the same NFS.
func (t *target) destroy(ctx context.Context, node string, vmid int64, config object) error {
	switch lock := config["lock"]; lock {
	case "":
	case "create": // maybe it is another's by now: nothing tells
		return fmt.Errorf("VM %d is locked by a creation. If that is not going on but was cut short, run "+
			"`qm destroy %d --skiplock` as root on node %s", vmid, vmid, node)
	default:
		return fmt.Errorf("VM %d is locked (%s): wait until that is done, or run `qm unlock %d` on node %s", vmid, lock, vmid, node)
	}
	if config.is("protection") {
		return fmt.Errorf("VM %d on node %s is protected against removal: switch its protection off", vmid, node)
	}
	uuid := uuidOf(config)
	upid, err := t.change(ctx, http.MethodDelete, vmPath(node, vmid), params{"purge": "1"},
		t.became(node, vmid, "qmdestroy", func(now object) bool { return now == nil || uuidOf(now) != uuid }))
	if noConfig(err) {
		return nil
	}
	exit := ""
	if err == nil {
		exit, err = t.through(ctx, upid)
	}
	if err != nil {
		return fmt.Errorf("cannot delete VM %d: %w", vmid, err)
	}
	if exit != "" && exit != "OK" {
		return t.leftDisks(ctx, node, vmid, config, upid)
	}
	return nil
}

// leftDisks is the error of a deletion with warnings: the VM is gone, but disks of it may not be.
func (t *target) leftDisks(ctx context.Context, node string, vmid int64, config object, upid string) error {
	var left []string
	for _, v := range volumes(config) {
		rows, err := t.content(ctx, node, storageOf(v), vmid)
		if err != nil {
			return err
		}
		if hasVolume(rows, v) {
			left = append(left, v)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("VM %d is gone, but its disks %s stay. Remove them with `pvesm free VOLUME` on node %s. The task says:\n  %s",
		vmid, strings.Join(left, ", "), node, strings.Join(t.tail(ctx, upid), "\n  "))
}

// content lists a storage's images: those of one VM or, with 0, of all.
func (c *client) content(ctx context.Context, node, storage string, vmid int64) ([]object, error) {
	p := params{"content": "images"}
	if vmid != 0 {
		p["vmid"] = strconv.FormatInt(vmid, 10)
	}
	var rows []object
	if err := c.get(ctx, "/nodes/"+node+"/storage/"+storage+"/content", p, &rows); err != nil {
		return nil, fmt.Errorf("cannot list storage %s: %w", storage, err)
	}
	return rows, nil
}

// clones are the ids of the VMs whose disks are linked to those of a template, as far as the login may see them. The
// thin volumes of LVM do not show it, but do not need their origin either.
func (t *target) clones(ctx context.Context, node string, vmid int64, config object) ([]string, error) {
	base := regexp.MustCompile(fmt.Sprintf(`\bbase-%d-`, vmid))
	var storages, ids []string
	own := volumes(config)
	for _, v := range own {
		storages = append(storages, storageOf(v))
	}
	for _, storage := range slices.Compact(storages) { // sorted like the volumes
		rows, err := t.content(ctx, node, storage, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if base.MatchString(r["volid"]+" "+r["parent"]) && !slices.Contains(own, r["volid"]) && r["vmid"] != strconv.FormatInt(vmid, 10) {
				ids = append(ids, r["vmid"])
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// retire marks a template that has to stay. The error wraps deploy.ErrInUse.
func (t *target) retire(ctx context.Context, node string, have deploy.Result, config object, why string) error {
	tags := append(tagsOf(config), tagOurs, tagRetired)
	slices.Sort(tags)
	options := map[string]string{
		"name": retiredName(have.Name, have.ImageKey),
		"tags": strings.Join(slices.Compact(tags), ";"),
	}
	if !slices.Contains(tagsOf(config), tagRetired) || config["name"] != options["name"] {
		if err := t.configure(ctx, node, have.VMID, options); err != nil {
			return err
		}
	}
	return fmt.Errorf("template %d on node %s is %w: %s", have.VMID, node, deploy.ErrInUse, why)
}
