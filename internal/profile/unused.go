package profile

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Unused names the settings of pim.yml that are set and that nothing acts on yet, such as "iso.iso_dir": whoever
// set one expects something of it. A builder is named when it is a remote; CheckBuilder refuses to use it.
func (c *Config) Unused() []string {
	s := c.Settings
	var names []string
	for _, setting := range []struct {
		name string
		set  bool
	}{
		{"serve.profile", s.Serve.Profile != ""},
		{"serve.port", s.Serve.Port != 0},
		{"iso.iso_dir", s.ISODir != ""},
		{"build.image_dir", s.ImageDir != ""},
		{"build.ssh.user", s.SSHUser != ""},
		{"build.ssh.port", s.SSHPort != 0},
		{"build.remotes", len(s.Remotes) > 0},
	} {
		if setting.set {
			names = append(names, setting.name)
		}
	}
	for _, arch := range slices.Sorted(maps.Keys(s.Builders)) {
		if s.Builders[arch] != Local {
			names = append(names, builderOf(arch))
		}
	}
	return names
}

// CheckBuilder tells whether images of an architecture are built on this machine. The error, an *Error, is that
// pim.yml sends them to a remote.
func (c *Config) CheckBuilder(arch host.Arch) error {
	name, said := c.Settings.Builders[arch]
	if !said || name == Local {
		return nil
	}
	return c.base.fault(builderOf(arch), &Error{
		Msg:  fmt.Sprintf("builds on remote machines, here %q, are not supported yet", name),
		Hint: "set it to local or remove it",
	})
}

// builderOf is the path of an architecture's builder in pim.yml.
func builderOf(arch host.Arch) string { return "build.builders." + string(arch) }
