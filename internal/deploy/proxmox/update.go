package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Update makes a template's options those of the settings.
func (t *target) Update(ctx context.Context, r deploy.Request, have deploy.Result) (*deploy.Result, error) {
	node, config, err := t.locate(ctx, have)
	if err != nil {
		return nil, err
	}
	have.Name, have.Node, have.ID = r.Name, node, resultID(node, have.VMID)
	_, options := t.differences(t.wanted(have, r.Image.Profile), config)
	if lock := config["lock"]; lock != "" {
		return nil, fmt.Errorf("VM %d is locked (%s): wait until that is done, or run `qm unlock %d` on node %s", have.VMID, lock, have.VMID, node)
	}
	if len(options) > 0 {
		if err := t.configure(ctx, node, have.VMID, options); err != nil {
			return nil, err
		}
	}
	return &have, nil
}

// wanted is what the notes of a generation should say.
func (*target) wanted(have deploy.Result, profile string) marker {
	return marker{
		Name: have.Name, Key: have.ImageKey, Profile: profile, UUID: have.UUID, VMID: have.VMID, DeployedAt: have.DeployedAt.UTC(),
	}
}

// differences compares a template's configuration with the settings: a line for each difference, and the options that
// end them.
func (t *target) differences(want marker, config object) (lines []string, options map[string]string) {
	options = map[string]string{}
	differs := func(what, have, want string) {
		lines = append(lines, fmt.Sprintf("%s is %s, not %s", what, quoted(have), quoted(want)))
	}
	for _, o := range []struct{ option, missing, want string }{
		{"name", "", vmName(want.Name)},
		{"cores", "1", strconv.FormatInt(t.s.Cores, 10)},
		{"memory", "512", strconv.FormatInt(t.s.Memory, 10)},
		{"cpu", "kvm64", t.s.CPUType},
		{"template", "0", "1"},
	} {
		have, ok := config[o.option]
		if !ok {
			have = o.missing
		}
		if have != o.want {
			differs(o.option, have, o.want)
			options[o.option] = o.want
		}
	}
	if have, want := tagsOf(config), t.s.tags(); !slices.Equal(have, want) {
		differs("tags", strings.Join(have, ";"), strings.Join(want, ";"))
		options["tags"] = strings.Join(want, ";")
	}
	switch net := config["net0"]; {
	case net == "":
		lines = append(lines, "net0 is missing")
		options["net0"] = "virtio,bridge=" + t.s.Bridge
	case property(net, "bridge") != t.s.Bridge:
		differs("bridge", property(net, "bridge"), t.s.Bridge)
		options["net0"] = withProperty(net, "bridge", t.s.Bridge)
	}
	if m, ok := markerOf(want.VMID, config); !ok || m.notes() != want.notes() {
		lines = append(lines, "the notes do not have pim's mark, or another one")
		options["description"] = want.notes()
	}
	if lock := config["lock"]; lock != "" {
		lines = append(lines, "it is locked: "+lock)
	}
	return lines, options
}

func quoted(s string) string {
	if _, err := strconv.Atoi(s); err == nil {
		return s
	}
	return strconv.Quote(s)
}

func retired(config object) bool { return slices.Contains(tagsOf(config), tagRetired) }
