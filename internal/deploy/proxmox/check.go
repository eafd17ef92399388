package proxmox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// checkAttempts are those of a request in Check: a plan does not wait long for a server that is away.
const checkAttempts = 2

// Check looks at the server: version, login, node, storages, room, privileges, bridge, pool and id.
func (t *target) Check(ctx context.Context, r deploy.Request) ([]deploy.Problem, error) {
	quick := &target{client: t.patient(min(checkAttempts, t.pace.Attempts)), s: t.s}
	at, err := quick.survey(ctx, quick.client)
	var field *deploy.FieldError
	if errors.As(err, &field) {
		return []deploy.Problem{{Field: field.Field, Summary: "Cannot deploy there", Detail: field.Err.Error()}}, nil
	}
	if err != nil {
		return nil, err
	}
	var problems []deploy.Problem
	if err := checkArch(r.Image.Arch); err != nil {
		problems = append(problems, deploy.Problem{Summary: "Not for this architecture", Detail: err.Error()})
	}
	problems = append(problems, quick.checkWay(at)...)
	problems = append(problems, quick.checkStorages(at, r)...)
	for _, check := range []func(context.Context, *site, deploy.Request) ([]deploy.Problem, error){
		quick.checkPrivileges, quick.checkBridge, quick.checkPool, quick.checkID,
	} {
		found, err := check(ctx, at, r)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// checkWay looks whether the login may go the way that the version takes.
func (t *target) checkWay(at *site) []deploy.Problem {
	var c checker
	if at.way.asRoot {
		c.want(t.asRoot(), "username", "Only root can import disks there", "Proxmox VE %s imports a disk by its path, and lets "+
			"nobody but root do that, not even a token of root's; the login is %s. Give username = %q and its password, or "+
			"upgrade to 8.4, where an API token will do.", at.version, t.user(), root)
	}
	if at.way.wrapped {
		c.want(at.unpacks(&t.s) != "", "import_storage", "No storage to unpack on", "Proxmox VE %s unpacks the upload on a "+
			"storage that keeps files and holds disk images, and node %s has none. Allow disk images on storage %s, or upgrade to 8.4.",
			at.version, at.node, t.s.ImportStorage)
	}
	return c.problems
}

// checkStorages looks at the storages: there, in use, for the content, with room.
func (t *target) checkStorages(at *site, r deploy.Request) []deploy.Problem {
	var c checker
	for _, s := range []struct{ field, name, content string }{
		{"storage", t.s.Storage, "images"},
		{"cloud_init_storage", t.s.ownCloudInitStorage(), "images"},
		{"import_storage", t.s.ImportStorage, at.way.content},
	} {
		st, ok := at.storages[s.name]
		switch {
		case s.name == "":
		case !ok:
			c.want(false, s.field, "No such storage", "Node %s has no storage %s, or %s may not see it (Datastore.Audit). It has %s.",
				at.node, s.name, t.user(), at.listed())
		case !st.is("enabled") || !st.is("active"):
			c.want(false, s.field, "Storage is not in use", "Storage %s is disabled, or not reachable from node %s.", s.name, at.node)
		default:
			c.want(at.holds(s.name, s.content), s.field, "Storage is not for that content",
				"Storage %s is for %s only. Allow %q in Datacenter → Storage, or run `pvesm set %s --content %s,%s`, or choose "+
					"another storage.", s.name, st["content"], s.content, s.name, st["content"], s.content)
		}
	}
	for _, room := range []struct {
		field, name string
		need        int64
	}{{"import_storage", t.s.ImportStorage, r.Image.SizeBytes}, {"storage", t.s.Storage, r.Image.SizeBytes}} {
		avail, known := at.avail(room.name)
		c.want(!known || avail >= room.need, room.field, "Not enough room", "Storage %s has %s free, and the image takes %s.",
			room.name, gib(avail), gib(room.need))
	}
	if avail, known := at.avail(t.s.Storage); known && avail < r.Image.VirtualBytes && avail >= r.Image.SizeBytes {
		c.want(false, "storage", "The disk may not fit", "Storage %s has %s free, and the disk is of %s.",
			t.s.Storage, gib(avail), gib(r.Image.VirtualBytes))
		c.problems[len(c.problems)-1].Warning = !at.isOf(t.s.Storage, thickStorages)
	}
	return c.problems
}

// avail is a storage's free space, if it is known.
func (at *site) avail(storage string) (int64, bool) {
	n, err := strconv.ParseInt(at.storages[storage]["avail"], 10, 64)
	return n, err == nil
}

func (at *site) listed() string {
	var names []string
	for name := range at.storages {
		names = append(names, name)
	}
	if slices.Sort(names); len(names) == 0 {
		return "none that is visible"
	}
	return strings.Join(names, ", ")
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// checkBridge looks for the bridge among those that the login may use. A server that does not list them is believed.
func (t *target) checkBridge(ctx context.Context, at *site, _ deploy.Request) ([]deploy.Problem, error) {
	var bridges []object
	err := t.get(ctx, "/nodes/"+at.node+"/network", params{"type": "any_bridge"}, &bridges)
	if forbidden(err) || answered(err, 501) {
		return nil, nil
	}
	var names []string
	for _, b := range bridges {
		names = append(names, b["iface"])
	}
	var c checker
	c.want(err != nil || slices.Contains(names, t.s.Bridge), "bridge", "No such bridge",
		"Node %s has no bridge %s that %s may use (SDN.Use on /sdn/zones/localnetwork/%s). There are: %s.",
		at.node, t.s.Bridge, t.user(), t.s.Bridge, strings.Join(names, ", "))
	return c.problems, err
}

func (t *target) checkPool(ctx context.Context, _ *site, _ deploy.Request) ([]deploy.Problem, error) {
	if t.s.Pool == "" {
		return nil, nil
	}
	var pools []object
	if err := t.get(ctx, "/pools", nil, &pools); err != nil {
		return nil, fmt.Errorf("cannot list the pools: %w", err)
	}
	var c checker
	c.want(slices.ContainsFunc(pools, func(p object) bool { return p["poolid"] == t.s.Pool }), "pool", "No such pool",
		"There is no pool %s, or %s may not see it (Pool.Audit on /pool/%s).", t.s.Pool, t.user(), t.s.Pool)
	return c.problems, nil
}

// checkID looks whether a fixed id is free, or will be.
func (t *target) checkID(ctx context.Context, at *site, r deploy.Request) ([]deploy.Problem, error) {
	if t.s.TemplateID == 0 {
		return nil, nil
	}
	free, err := t.free(ctx, t.s.TemplateID)
	if err != nil || free {
		return nil, err
	}
	o, err := t.owner(ctx, t.s.TemplateID)
	if err != nil {
		return nil, err
	}
	// A complete one of that name and image is for adoption.
	g := generation{target: t, at: at, r: r}
	adoptable := o.ours && o.marker.Name == r.Name && o.marker.Key == r.Image.Key
	var c checker
	c.want(g.replaces(o) || adoptable, "template_id", "The id is taken", "%d: %s. Choose another id, or remove what has it.",
		t.s.TemplateID, o.describe())
	return c.problems, nil
}
