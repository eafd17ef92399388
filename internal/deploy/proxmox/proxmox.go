package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Options are how a target goes about its work.
type Options struct {
	Pace deploy.Pace // the zero value for deploy.DefaultPace
}

// target is a deploy.Target.
type target struct {
	*client
	s Settings
}

// New gives the target of completed settings. It reads the files that these name and makes no request.
func New(_ context.Context, s Settings, o Options) (deploy.Target, error) {
	c, err := s.credentials()
	if err != nil {
		return nil, err
	}
	api, err := newClient(c, o.Pace.OrDefault())
	if err != nil {
		return nil, err
	}
	return &target{client: api, s: s}, nil
}

// site is where a template goes, as the server describes it.
type site struct {
	version  string
	way      way
	node     string
	storages map[string]object // by name, those of the node
}

// survey looks at the site. What a person has to mend is a *deploy.FieldError.
func (t *target) survey(ctx context.Context, c *client) (*site, error) {
	var version object
	if err := c.get(ctx, "/version", nil, &version); err != nil {
		return nil, t.denied(err)
	}
	at := &site{version: version["version"], storages: map[string]object{}}
	var err error
	if at.way, err = wayInto(at.version); err != nil {
		return nil, &deploy.FieldError{Field: "endpoint", Err: err}
	}
	if at.node, err = t.node(ctx, c); err != nil {
		return nil, err
	}
	var storages []object
	if err := c.get(ctx, "/nodes/"+at.node+"/storage", nil, &storages); err != nil {
		return nil, fmt.Errorf("cannot list the storages of node %s: %w", at.node, err)
	}
	for _, st := range storages {
		at.storages[st["storage"]] = st
	}
	return at, nil
}

// node is the node that the settings name, or the only one.
func (t *target) node(ctx context.Context, c *client) (string, error) {
	var nodes []object
	if err := c.get(ctx, "/nodes", nil, &nodes); err != nil {
		return "", fmt.Errorf("cannot list the nodes: %w", t.denied(err))
	}
	var names []string
	for _, n := range nodes {
		if n["node"] == t.s.Node && n["status"] == "offline" {
			return "", &deploy.FieldError{Field: "node", Err: fmt.Errorf("node %s is offline: start it, or name another one", t.s.Node)}
		}
		names = append(names, n["node"])
	}
	slices.Sort(names)
	switch {
	case t.s.Node == "" && len(names) == 1:
		return names[0], nil
	case t.s.Node == "":
		return "", &deploy.FieldError{Field: "node", Err: fmt.Errorf("there is more than one, so say which: %s", strings.Join(names, ", "))}
	case !slices.Contains(names, t.s.Node):
		return "", &deploy.FieldError{Field: "node", Err: fmt.Errorf("there is no node %s, only %s", t.s.Node, strings.Join(names, ", "))}
	}
	return t.s.Node, nil
}

// denied points a rejected login at the field that has it.
func (t *target) denied(err error) error {
	if !unauthorized(err) {
		return err
	}
	if t.APIToken != "" {
		return &deploy.FieldError{Field: "api_token", Err: fmt.Errorf("the server rejects the token %s: is its secret right, "+
			"has it expired? %w", t.user(), err)}
	}
	return &deploy.FieldError{Field: "password", Err: fmt.Errorf("the server rejects the password of %s: %w", t.user(), err)}
}

// vms are the VMs of the cluster that the login may see, templates included. Their names and tags may be ten seconds
// old.
func (c *client) vms(ctx context.Context) ([]object, error) {
	var rows []object
	if err := c.get(ctx, "/cluster/resources", params{"type": "vm"}, &rows); err != nil {
		return nil, fmt.Errorf("cannot list the VMs: %w", err)
	}
	return slices.DeleteFunc(rows, func(r object) bool { return r["type"] != "qemu" }), nil
}
