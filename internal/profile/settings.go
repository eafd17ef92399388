package profile

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Local is the builder that is this machine.
const Local = "local"

// loadSettings reads pim.yml into c.Settings. What its build section says of every image is the layer returned.
func (c *Config) loadSettings(errs *Errors) layer {
	s := &c.Settings
	s.Builders, s.Remotes = map[host.Arch]string{}, map[string]Remote{}
	l := layer{at: map[string]place{}}
	f, ok := c.files[settingsFile]
	if !ok {
		return l
	}
	data, e := f.read()
	if e != nil {
		*errs = append(*errs, e)
		return l
	}
	d := &decoder{file: f.path, at: l.at, errs: errs}
	if root := d.parse(data); root != nil {
		d.object(root, "", s.fields(&l.Profile))
	}
	c.checkBuilders(d)
	for at, dir := range map[string]*string{"iso.iso_dir": &s.ISODir, "build.image_dir": &s.ImageDir} {
		abs, err := expand(*dir, filepath.Dir(f.path))
		if err != nil {
			*errs = append(*errs, l.fault(at, &Error{Msg: "cannot use the directory", Err: err}))
		}
		*dir = abs
	}
	return l
}

func (s *Settings) fields(p *Profile) []field {
	return []field{
		group("serve",
			plain("profile", &s.Serve.Profile, text),
			plain("port", &s.Serve.Port, whole, atLeast(1, "")),
		),
		group("iso", plain("iso_dir", &s.ISODir, text)),
		group("build",
			plain("image_dir", &s.ImageDir, text),
			optional("disk_size", &p.DiskSize, size, atLeastGiB),
			optional("memory", &p.Memory, whole, atLeast(256, " (MiB)")),
			optional("cpus", &p.CPUs, whole, atLeast(1, "")),
			group("ssh",
				plain("user", &s.SSHUser, text),
				plain("port", &s.SSHPort, whole, atLeast(1, "")),
				optional("timeout", &p.SSHTimeout, duration, positive),
			),
			dictionary("builders", s.builder),
			dictionary("remotes", s.remote),
		),
	}
}

func (s *Settings) builder(d *decoder, key, value *yaml.Node, path string) {
	arch := host.Arch(key.Value)
	if e := validArch(arch); e != nil {
		d.fail(key, path, e)
		return
	}
	name, e := text(value)
	if e != nil {
		d.fail(value, path, e)
		return
	}
	d.record(value, path)
	s.Builders[arch] = name
}

func (s *Settings) remote(d *decoder, key, value *yaml.Node, path string) {
	r := Remote{Type: "ssh"}
	d.object(value, path, []field{
		plain("type", &r.Type, text, oneOf("ssh")),
		plain("host", &r.Host, text),
		plain("user", &r.User, text),
	})
	if r.Host == "" {
		d.fail(key, path, &Error{Msg: "has no host", Hint: "add host: the machine's name or address"})
	}
	s.Remotes[key.Value] = r
}

// checkBuilders wants every builder to be this machine or a remote that exists.
func (c *Config) checkBuilders(d *decoder) {
	known := append([]string{Local}, slices.Sorted(maps.Keys(c.Settings.Remotes))...)
	for arch, name := range c.Settings.Builders {
		if !slices.Contains(known, name) {
			p := d.at[builderOf(arch)]
			*d.errs = append(*d.errs, &Error{
				File: p.file, Line: p.line, Column: p.column, Field: p.field,
				Msg: fmt.Sprintf("%q is neither local nor a remote of build.remotes", name), Hint: suggest(name, known),
			})
		}
	}
}
