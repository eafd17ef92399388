package profile

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// LoadSettings reads pim.yml and nothing else, so that no fault elsewhere keeps an image on a remote machine from being
// read or destroyed. It fails with Errors.
func LoadSettings(o Options) (Settings, error) {
	files, errs := findFiles(o)
	c := &Config{files: files}
	c.loadSettings(&errs)
	if len(errs) > 0 {
		return Settings{}, errs
	}
	return c.Settings, nil
}

// Local is the builder that is this machine.
const Local = "local"

// loadSettings reads pim.yml into c.Settings. What its build section says of every image is the layer returned.
func (c *Config) loadSettings(errs *Errors) layer {
	s := &c.Settings
	s.Builders, s.Remotes = map[host.Arch][]string{}, map[string]Remote{}
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
	c.checkBuilders(&l, errs)
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
			plain("max_parallel_builds", &s.MaxParallelBuilds, whole, atLeast(0, "")),
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
	d.record(value, path)
	var names []string
	switch one, e := text(value); {
	case e == nil && one != "":
		names = []string{one}
	case value.Kind == yaml.ScalarNode:
		d.fail(value, path, wrongType("a name or a list of names", value))
		return
	default:
		list("", &names, text).decode(d, value, path)
	}
	s.Builders[arch] = names
}

func (s *Settings) remote(d *decoder, key, value *yaml.Node, path string) {
	name, r := key.Value, Remote{Type: "ssh", WorkDir: DefaultWorkDir}
	if e := validName(name); e != nil {
		d.fail(key, path, e)
		return
	}
	if name == Local {
		d.fail(key, path, &Error{Msg: "is the name of this machine", Hint: "choose another name"})
		return
	}
	d.object(value, path, []field{
		plain("type", &r.Type, text, oneOf("ssh")),
		plain("host", &r.Host, text),
		plain("port", &r.Port, whole, tcpPort),
		plain("user", &r.User, text),
		plain("identity_file", &r.IdentityFile, text),
		plain("jump_host", &r.JumpHost, text),
		plain("known_hosts", &r.KnownHosts, text),
		plain("work_dir", &r.WorkDir, text, matches(`~?/.*[^/].*`, "an absolute path there, or one that begins with ~/")),
		plain("max_parallel_builds", &r.MaxParallelBuilds, whole, atLeast(0, "")),
		optional("reconnect_timeout", &r.ReconnectTimeout, duration, notNegative),
	})
	if r.Host == "" {
		d.fail(key, path, &Error{Msg: "has no host", Hint: "add host: the machine's name or address"})
	}
	for name, file := range map[string]*string{"identity_file": &r.IdentityFile, "known_hosts": &r.KnownHosts} {
		abs, err := expand(*file, filepath.Dir(d.file))
		if err != nil {
			d.fail(value, join(path, name), &Error{Msg: "cannot use the file", Err: err})
		}
		*file = abs
	}
	s.Remotes[name] = r
}

// checkBuilders wants every builder to be this machine or a remote that exists.
func (c *Config) checkBuilders(l *layer, errs *Errors) {
	known := append([]string{Local}, slices.Sorted(maps.Keys(c.Settings.Remotes))...)
	for _, arch := range slices.Sorted(maps.Keys(c.Settings.Builders)) {
		at, names := "build.builders."+string(arch), c.Settings.Builders[arch]
		if len(names) == 0 {
			*errs = append(*errs, l.fault(at, &Error{Msg: "names no builder", Hint: "name one, or remove it"}))
		}
		for i, name := range names {
			if !slices.Contains(known, name) {
				e := &Error{Msg: fmt.Sprintf("%q is neither local nor a remote of build.remotes", name), Hint: suggest(name, known)}
				*errs = append(*errs, l.fault(index(at, i), e))
			}
		}
	}
}
