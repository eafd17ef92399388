package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

const privUpload = "Datastore.AllocateTemplate"

// vmPrivileges are those on a VM, or on the pool that it goes into.
var vmPrivileges = []string{
	"VM.Allocate", "VM.Audit", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType",
	"VM.Config.Memory", "VM.Config.Network", "VM.Config.Options",
}

// checkPrivileges looks for what the login may not do. root@pam may do everything.
func (t *target) checkPrivileges(ctx context.Context, _ *site, r deploy.Request) ([]deploy.Problem, error) {
	if t.asRoot() {
		return nil, nil
	}
	id := max(t.s.TemplateID, t.s.TemplateIDStart)
	if r.Current != nil {
		id = r.Current.VMID
	}
	var c checker
	for _, need := range []struct {
		field, path, or string
		privileges      []string
		warning         string
	}{
		{"storage", "/storage/" + t.s.Storage, "", []string{"Datastore.AllocateSpace"}, ""},
		{"cloud_init_storage", "/storage/" + t.s.ownCloudInitStorage(), "", []string{"Datastore.AllocateSpace"}, ""},
		{"import_storage", "/storage/" + t.s.ImportStorage, "", []string{privUpload, "Datastore.Audit"}, ""},
		{"import_storage", "/storage/" + t.s.ImportStorage, "", []string{"Datastore.Allocate"}, "Without it the uploaded file stays there."},
		{"api_token", "/vms/" + strconv.FormatInt(id, 10), t.s.Pool, vmPrivileges, ""},
	} {
		if need.path == "/storage/" {
			continue
		}
		lacks, err := t.lacks(ctx, need.path, need.privileges...)
		if err == nil && len(lacks) > 0 && need.or != "" {
			lacks, err = t.lacks(ctx, "/pool/"+need.or, lacks...)
		}
		if err != nil {
			return nil, err
		}
		if len(lacks) == 0 {
			continue
		}
		c.want(false, need.field, "Privileges are missing", "%s lacks %s on %s. A token has its user's privileges only when it was "+
			"made without privilege separation. %s", t.user(), strings.Join(lacks, ", "), need.path, need.warning)
		c.problems[len(c.problems)-1].Warning = need.warning != ""
	}
	return c.problems, nil
}

// lacks are those of the privileges that the login does not have on a path.
func (c *client) lacks(ctx context.Context, path string, privileges ...string) ([]string, error) {
	var granted map[string]map[string]any
	if err := c.get(ctx, "/access/permissions", params{"path": path}, &granted); err != nil {
		return nil, fmt.Errorf("cannot look at the privileges: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(privileges), func(p string) bool {
		_, ok := granted[path][p]
		return ok
	}), nil
}

var _ deploy.Target = (*target)(nil)
