package proxmox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Find looks for a complete template of that deployment and image on the node. Errors: deploy.ErrNotFound.
func (t *target) Find(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	node, err := t.node(ctx, t.client)
	if err != nil {
		return nil, err
	}
	var vms []object // not those of the cluster: whether one is a template can be old there
	if err := t.get(ctx, "/nodes/"+node+"/qemu", nil, &vms); err != nil {
		return nil, fmt.Errorf("cannot list the VMs of node %s: %w", node, err)
	}
	var newest *deploy.Result
	for _, vm := range vms {
		if !vm.is("template") {
			continue
		}
		vm["node"] = node
		m, config, ok := t.marked(ctx, vm)
		if !ok || m.Unfinished || m.Name != r.Name || m.Key != r.Image.Key || retired(config) {
			continue
		}
		if found := m.result(node); newest == nil || found.DeployedAt.After(newest.DeployedAt) {
			newest = found
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("a template of %s with that image: %w", r.Name, deploy.ErrNotFound)
	}
	return newest, nil
}

// Read looks at a template. A Result with no more than a VMID is for an import: the template has to be one that pim
// made. Errors: deploy.ErrNotFound.
func (t *target) Read(ctx context.Context, have deploy.Result) (*deploy.Result, []string, error) {
	node, config, err := t.locate(ctx, have)
	if err != nil {
		return nil, nil, err
	}
	m, ok := markerOf(have.VMID, config)
	switch {
	case ok && have.UUID == "":
		have = *m.result(node)
	case have.UUID == "":
		return nil, nil, fmt.Errorf("VM %d on node %s is none that pim made: its notes do not say so, or it is a clone", have.VMID, node)
	}
	drift, _ := t.differences(t.wanted(have, m.Profile), config)
	have.Node, have.ID = node, resultID(node, have.VMID)
	return &have, drift, nil
}

// errGone is a generation that does not exist any more.
var errGone = fmt.Errorf("the template is gone: %w", deploy.ErrNotFound)

func gone(err error) bool { return errors.Is(err, deploy.ErrNotFound) }

// locate finds a generation's VM: where it was, or where it was migrated to. Errors: deploy.ErrNotFound, also when its
// id is another VM's by now.
func (t *target) locate(ctx context.Context, have deploy.Result) (node string, config object, err error) {
	hidden := false
	if have.Node != "" {
		config, err = t.config(ctx, have.Node, have.VMID)
		if err == nil {
			return t.identify(have.Node, config, have)
		}
		hidden = forbidden(err)
		if !hidden && !noConfig(err) && !noNode(err) {
			return "", nil, fmt.Errorf("cannot look at VM %d: %w", have.VMID, t.denied(err))
		}
	}
	vms, e := t.vms(ctx)
	if e != nil {
		return "", nil, t.denied(e)
	}
	for _, vm := range vms {
		if vm["vmid"] != strconv.FormatInt(have.VMID, 10) || vm["node"] == have.Node {
			continue
		}
		config, err := t.config(ctx, vm["node"], have.VMID)
		if err == nil {
			return t.identify(vm["node"], config, have)
		}
		if !noConfig(err) {
			return "", nil, fmt.Errorf("cannot look at VM %d: %w", have.VMID, err)
		}
	}
	if hidden { // with privileges on single VMs or a pool, one that is gone cannot be told from one that is forbidden
		free, e := t.free(ctx, have.VMID)
		if e != nil || !free {
			return "", nil, errors.Join(fmt.Errorf("cannot look at VM %d: %w", have.VMID, err), e)
		}
	}
	return "", nil, errGone
}

// identify tells whether it is that generation. A rest of a creation that was cut short has no uuid to tell it by.
func (*target) identify(node string, config object, have deploy.Result) (string, object, error) {
	cutShort := have.Broken && config["lock"] == "create" && config["smbios1"] == ""
	if have.UUID != "" && !strings.EqualFold(uuidOf(config), have.UUID) && !cutShort {
		return "", nil, errGone
	}
	return node, config, nil
}
