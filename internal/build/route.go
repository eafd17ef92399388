package build

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// localBuilder is the name of the builder that is this machine, as host.Local has it.
const localBuilder = "local"

// RouteInput is what the choice of a builder depends on.
type RouteInput struct {
	Host, Target host.Arch // this machine's and the image's
	Named        []string  // builders named for Target: "local" or remotes, in order
	Emulation    bool      // whether this machine may emulate Target
}

// Route says where an image is built.
type Route struct {
	Builders []string // candidates: "local" and names of remotes, in order; never empty
	Emulated bool     // the only candidate is this machine, by emulation
	Why      string   // for people
}

// ChooseRoute picks the machines that may build an image. Named builders win. Without any, this machine builds what
// it can run, and anything else by emulation where that is allowed. A machine that would emulate is never one of
// several candidates: it would take ten times as long as any other. Whether a remote can run the guest is not known
// before it is asked.
func ChooseRoute(in RouteInput) (Route, error) {
	own := in.Host == in.Target
	named := in.Named
	if !own && len(named) > 1 {
		named = slices.DeleteFunc(slices.Clone(named), func(name string) bool { return name == localBuilder })
	}
	emulates := !own && (len(named) == 0 || slices.Equal(named, []string{localBuilder}))
	switch {
	case emulates && !in.Emulation:
		return Route{}, fmt.Errorf("the image is for %s, this machine is %s and no other is named for it: name one in build.builders.%s of pim.yml "+
			"or in the provider's builders, or set emulation = true, which takes about ten times as long", in.Target, in.Host, in.Target)
	case emulates:
		return Route{[]string{localBuilder}, true, fmt.Sprintf("this machine is %s and emulates %s, which is allowed", in.Host, in.Target)}, nil
	case len(named) == 0:
		return Route{[]string{localBuilder}, false, "this machine is " + string(in.Host) + " itself, and no builder is named for it"}, nil
	case len(named) < len(in.Named):
		return Route{named, false, fmt.Sprintf("builders named for %s, less this machine, which would emulate it: %s",
			in.Target, strings.Join(named, ", "))}, nil
	}
	return Route{named, false, fmt.Sprintf("builders named for %s: %s", in.Target, strings.Join(named, ", "))}, nil
}
