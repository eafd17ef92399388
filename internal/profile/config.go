package profile

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Options say where the configuration is. Each may be empty, and a directory that does not exist holds nothing.
type Options struct {
	ConfigDir  string // the user's, usually ~/.config/pim
	ProjectDir string // the project's; its files hide the user's files of the same relative path
	WorkDir    string // what a script's path is relative to, "" for the process's working directory
}

// Config is everything the directories say but for targets.d (see LoadTargets), checked as far as it can be without a
// request. It does not change, and is safe for concurrent use; scripts and templates are read when a profile is resolved.
type Config struct {
	Settings Settings

	workDir  string
	files    map[string]file
	embedded map[string]layer // what every image has, by installer
	base     layer            // pim.yml's build section, then the profile "default"
	profiles map[string]layer
	isos     map[string]isoEntries
}

const (
	defaultProfile = "default"
	embeddedBase   = "profiles.d/default.yml"
)

// Load reads the configuration. It fails with Errors: every fault of every file.
//
// A file of the project hides the user's file of the same relative path, and that hides the embedded one. An entry of
// the project hides the user's entry of the same name wherever it stands; twice in one directory it is an error. The
// embedded default profile cannot be hidden: it is what everything is merged on top of.
func Load(o Options) (*Config, error) {
	files, errs := findFiles(o, "autoinstalls.d", "installs.d", "isos.d", "preseeds.d", "profiles.d", "scripts.d")
	c := &Config{
		workDir: o.WorkDir, files: files,
		profiles: map[string]layer{}, isos: map[string]isoEntries{},
	}
	c.embedded = builtIn(&errs)
	c.base.put(c.loadSettings(&errs))

	entries(files, "profiles.d", &errs, func(d *decoder, name string, n *yaml.Node) {
		l := layer{at: d.at}
		d.object(n, "", l.fields())
		l.checkSource(d)
		c.profiles[name] = l
	})
	entries(files, "isos.d", &errs, func(d *decoder, name string, n *yaml.Node) {
		c.isos[name] = decodeISOs(d, name, n)
	})
	c.base.put(c.profiles[defaultProfile])
	delete(c.profiles, defaultProfile)
	if len(errs) > 0 {
		return nil, errs
	}
	return c, nil
}

// Profiles are the names of the profiles, sorted, "default" left out.
func (c *Config) Profiles() []string { return slices.Sorted(maps.Keys(c.profiles)) }

// builtIn are the embedded default profiles, whatever a user's file of that name says: "default", and by the name of an
// installer what is different there.
func builtIn(errs *Errors) map[string]layer {
	data, err := defaults.ReadFile(path.Join("defaults", embeddedBase))
	if err != nil {
		panic(err) // the file is part of this package
	}
	layers := map[string]layer{}
	d := &decoder{file: embeddedPrefix + embeddedBase, errs: errs}
	if root := d.parse(data); root != nil {
		d.pairs(root, "", func(key, n *yaml.Node) {
			l := layer{at: map[string]place{}}
			d.at = l.at
			d.object(n, "", l.fields())
			layers[key.Value] = l
		})
	}
	return layers
}

var validName = matches(`[A-Za-z0-9][A-Za-z0-9._-]*`, "a name: letters, digits, dots, hyphens and underscores")

// entries reads the maps name → fields of a directory's YAML files and calls decode for each entry, lower trees
// first, so that a later one replaces an earlier one.
func entries(files map[string]file, dir string, errs *Errors, decode func(d *decoder, name string, n *yaml.Node)) {
	type origin struct {
		tree int
		at   string
	}
	seen := map[string]origin{}
	for _, f := range in(files, dir) {
		if f.name == embeddedBase && f.tree == 0 {
			continue
		}
		top := &decoder{file: f.path, at: map[string]place{}, errs: errs}
		data, e := f.read()
		if e != nil {
			*errs = append(*errs, e)
			continue
		}
		root := top.parse(data)
		if root == nil {
			continue
		}
		top.pairs(root, "", func(key, n *yaml.Node) {
			name := key.Value
			if e := validName(name); e != nil {
				top.fail(key, "", e)
				return
			}
			if o, ok := seen[name]; ok && o.tree == f.tree {
				top.fail(key, name, &Error{Msg: "defined twice, first at " + o.at})
				return
			}
			seen[name] = origin{f.tree, fmt.Sprintf("%s:%d", f.path, key.Line)}
			decode(&decoder{file: f.path, entry: name, at: map[string]place{}, errs: errs}, name, n)
		})
	}
}

// Settings is pim.yml. All directories are absolute, "" where pim.yml does not say.
type Settings struct {
	ISODir   string // iso.iso_dir
	ImageDir string // build.image_dir

	Builders          map[host.Arch][]string // build.builders: Local or names of remotes, in order
	Remotes           map[string]Remote      // build.remotes
	MaxParallelBuilds int64                  // build.max_parallel_builds on this machine, 0 for no limit

	Serve   Serve
	SSHUser string // build.ssh.user
	SSHPort int64  // build.ssh.port
}

// Remote is a machine of build.remotes. How to reach it is left to SSH's own configuration where it is "" or 0.
type Remote struct {
	Type              string // "ssh"
	Host              string // a name, an address, or an alias of ~/.ssh/config
	Port              int64
	User              string
	IdentityFile      string // absolute path
	JumpHost          string // [user@]host[:port], several separated by commas
	KnownHosts        string // absolute path
	WorkDir           string // folder on that machine, absolute or below "~/"
	MaxParallelBuilds int64  // 0 for no limit
}

// DefaultWorkDir is the folder on a remote that does not say.
const DefaultWorkDir = "~/.local/share/pim"

// Serve is pim.yml's serve section.
type Serve struct {
	Profile string
	Port    int64
}
