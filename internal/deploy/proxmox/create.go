package proxmox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// clear gives a fixed id free, which the generation to replace has, or what a failed deployment left.
func (g *generation) clear(ctx context.Context) error {
	id := g.s.TemplateID
	free, err := g.free(ctx, id)
	if err != nil || free {
		return err
	}
	owner, err := g.owner(ctx, id)
	if err != nil {
		return err
	}
	if !g.replaces(owner) {
		return &deploy.FieldError{Field: "template_id", Err: fmt.Errorf("%d %w: %s. Choose another id, or remove what has it",
			id, deploy.ErrExists, owner.describe())}
	}
	config, err := g.config(ctx, owner.node, id)
	if err != nil {
		return err
	}
	clones, err := g.clones(ctx, owner.node, id, config)
	if err == nil && len(clones) > 0 {
		err = fmt.Errorf("%d is %w: VMs %v are linked clones of it. Remove template_id, so that the new template gets "+
			"another id, or remove the clones", id, deploy.ErrInUse, clones)
	}
	if err == nil {
		g.r.Report("delete "+resultID(owner.node, id), 0, 0)
		err = g.destroy(ctx, owner.node, id, config)
	}
	if err != nil {
		return &deploy.FieldError{Field: "template_id", Err: err}
	}
	return nil
}

// owner is what has an id.
type owner struct {
	node   string // "" when the login cannot see it
	name   string
	marker marker
	ours   bool
}

// owner looks what has an id.
func (t *target) owner(ctx context.Context, id int64) (owner, error) {
	vms, err := t.vms(ctx)
	if err != nil {
		return owner{}, err
	}
	for _, vm := range vms {
		if vm["vmid"] != strconv.FormatInt(id, 10) {
			continue
		}
		o := owner{node: vm["node"], name: vm["name"]}
		config, err := t.config(ctx, o.node, id)
		if err != nil && !noConfig(err) {
			return o, err
		}
		o.marker, o.ours = markerOf(id, config)
		return o, nil
	}
	return owner{}, nil
}

func (o owner) describe() string {
	switch {
	case o.node == "":
		return "a container or VM that the login cannot see has it"
	case o.ours:
		return fmt.Sprintf("pim's template of the deployment %q has it (import it, or adopt it, if it is this one)", o.marker.Name)
	}
	return fmt.Sprintf("VM %q on node %s has it", o.name, o.node)
}

// replaces tells whether the new generation takes the owner's place: that of the current one, or of what a failed
// deployment of the same name left.
func (g *generation) replaces(o owner) bool {
	return o.ours && (g.r.Current != nil && g.r.Current.UUID == o.marker.UUID || o.marker.Unfinished && o.marker.Name == g.r.Name)
}

// free tells whether no VM and no container of the cluster has the id, seen or unseen.
func (c *client) free(ctx context.Context, id int64) (bool, error) {
	err := c.get(ctx, "/cluster/nextid", params{"vmid": strconv.FormatInt(id, 10)}, nil)
	if taken(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot ask whether id %d is free: %w", id, err)
	}
	return true, nil
}

// create makes the VM under the fixed id, or under the first one that nobody has or takes meanwhile.
func (g *generation) create(ctx context.Context, vms []object, source string) error {
	if id := g.s.TemplateID; id != 0 {
		return g.createAs(ctx, id, source)
	}
	for id := g.s.TemplateIDStart; id <= maxID; id++ {
		if slices.ContainsFunc(vms, func(vm object) bool { return vm["vmid"] == strconv.FormatInt(id, 10) }) {
			continue
		}
		free, err := g.free(ctx, id)
		if err != nil {
			return err
		}
		if !free {
			continue
		}
		if err := g.createAs(ctx, id, source); !errors.Is(err, deploy.ErrExists) {
			return err
		}
	}
	return &deploy.FieldError{Field: "template_id_start", Err: errors.New("there is no free id left")}
}

// createAs makes the VM and imports its disk. Errors: deploy.ErrExists when somebody else took the
// id.
func (g *generation) createAs(ctx context.Context, id int64, source string) error {
	g.marker.VMID = id
	if err := g.noteVolumes(ctx); err != nil {
		return err
	}
	g.r.Report("create "+resultID(g.at.node, id), 0, 0)
	upid, err := g.change(ctx, http.MethodPost, "/nodes/"+g.at.node+"/qemu", g.machine(g.at, g.marker, source, g.wants),
		g.became(g.at.node, id, "qmcreate", g.isOurs))
	g.begun = err == nil || errors.Is(err, errUnknown)
	if taken(err) {
		return fmt.Errorf("VM %d %w: %w", id, deploy.ErrExists, err)
	}
	if err != nil {
		return fmt.Errorf("cannot create VM %d: %w", id, err)
	}
	if _, err = g.await(ctx, upid); err != nil {
		var failed *taskError
		if !errors.As(err, &failed) { // it goes on
			clean, cancel := deploy.Cleanup(ctx)
			defer cancel()
			err = errors.Join(err, g.stop(clean, upid))
		}
		return fmt.Errorf("cannot create VM %d: %w", id, err)
	}
	config, err := g.config(ctx, g.at.node, id)
	if err != nil {
		return fmt.Errorf("cannot look at the new VM %d: %w", id, err)
	}
	if !g.isOurs(config) { // the answer was lost, and another had the id
		g.begun = false
		return fmt.Errorf("VM %d %w", id, deploy.ErrExists)
	}
	return nil
}

func (g *generation) isOurs(config object) bool {
	return config != nil && uuidOf(config) == g.marker.UUID
}

// noteVolumes notes what the id has on the storage, so that an EFI disk, or a TPM's, that a failed creation leaves is told from it.
func (g *generation) noteVolumes(ctx context.Context) (err error) {
	if g.wants.UEFI || g.wants.TPM {
		g.before, err = g.volumesOf(ctx)
	}
	return err
}

func (g *generation) volumesOf(ctx context.Context) ([]string, error) {
	var rows []object
	err := g.get(ctx, "/nodes/"+g.at.node+"/storage/"+g.s.Storage+"/content",
		params{"vmid": strconv.FormatInt(g.marker.VMID, 10)}, &rows)
	if err != nil {
		return nil, fmt.Errorf("cannot list storage %s: %w", g.s.Storage, err)
	}
	var volumes []string
	for _, r := range rows {
		volumes = append(volumes, r["volid"])
	}
	return volumes, nil
}

// undo removes the VM of a deployment that failed. The result is what it could not remove.
func (g *generation) undo(ctx context.Context) (*deploy.Result, error) {
	if !g.begun {
		return nil, nil //nolint:nilnil // nothing is left, and nothing failed
	}
	ctx, cancel := deploy.Cleanup(ctx)
	defer cancel()
	rest := g.marker.result(g.at.node)
	rest.Broken = true
	config, err := g.config(ctx, g.at.node, g.marker.VMID)
	switch {
	case noConfig(err):
		return nil, g.removeLeaked(ctx)
	case err != nil:
	case g.isOurs(config), config["lock"] == "create":
		err = g.destroy(ctx, g.at.node, g.marker.VMID, config)
	default:
		return nil, nil //nolint:nilnil // somebody else's by now
	}
	if err != nil {
		return rest, fmt.Errorf("VM %d of the failed deployment stays on node %s: %w", g.marker.VMID, g.at.node, err)
	}
	return nil, nil //nolint:nilnil // all is gone
}

// removeLeaked removes an EFI disk or a TPM's that the server forgot. The VM is gone, and its id has nothing else that is new.
func (g *generation) removeLeaked(ctx context.Context) error {
	if !g.wants.UEFI && !g.wants.TPM {
		return nil
	}
	now, err := g.volumesOf(ctx)
	for _, v := range now {
		if !slices.Contains(g.before, v) {
			if e := g.removeVolume(ctx, g.at.node, v); e != nil {
				err = errors.Join(err, fmt.Errorf("the disk %s stays; remove it with `pvesm free %s` on node %s: %w", v, v, g.at.node, e))
			}
		}
	}
	return err
}
