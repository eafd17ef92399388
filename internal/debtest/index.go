package debtest

import (
	"regexp"
	"slices"
	"strings"
)

// verdict is what the repaired index does with one udeb.
type verdict int

const (
	// keep leaves the entry as it is: its file is there, or nobody will ask for it.
	keep verdict = iota
	// merge drops the entry and lets the overlay's own module udeb provide it.
	merge
	// repack replaces the entry by one for a udeb made of the ordinary package; dropped when there is none.
	repack
)

func (v verdict) String() string {
	return [...]string{"keep", "merge", "repack"}[v]
}

// installer is what the initrd says about itself.
type installer struct {
	kernel    string          // the running kernel's version, such as 6.12.1+deb13-amd64
	installed map[string]bool // the udebs inside the initrd
}

// moduleUdeb matches the name of a kernel's udeb, such as ext4-modules-6.12.1+deb13-amd64-di, and captures the
// part before the version, which is also the name other udebs depend on.
var moduleUdeb = regexp.MustCompile(`^(.+?)-\d+\.\d+\.\d+[^-]*-.*-di$`)

// diskModules is the module udeb no installation can do without: when the mirror has none for the installer's
// kernel, its udeb index belongs to another kernel.
const diskModules = "ext4-modules"

// relevant says whether an installer with this initrd may ask for the udeb: kernel modules of another kernel
// are never asked for, so their files need not be looked for.
func (i installer) relevant(name string) bool {
	return !moduleUdeb.MatchString(name) || strings.HasSuffix(name, "-"+i.kernel+"-di")
}

// decide is the rule of the repaired index. present tells whether the mirror has the udeb's file.
//
//	file there, or inside the initrd already, or another kernel's  keep
//	missing, a module udeb of the installer's kernel               merge
//	missing, anything else                                         repack
func (i installer) decide(name string, present bool) verdict {
	switch {
	case present, i.installed[name], !i.relevant(name):
		return keep
	case strings.HasSuffix(name, "-"+i.kernel+"-di"):
		return merge
	default:
		return repack
	}
}

// parseInstaller reads the initrd's var/lib/dpkg/status. ok is false when it names no kernel image.
func parseInstaller(status string) (i installer, ok bool) {
	i.installed = map[string]bool{}
	for _, s := range parseStanzas(status) {
		name := s.get("Package")
		i.installed[name] = true
		if version, found := strings.CutPrefix(name, "kernel-image-"); found {
			i.kernel = strings.TrimSuffix(version, "-di")
		}
	}
	return i, i.kernel != ""
}

// twinName is the ordinary package a udeb is made of: the same name without -udeb.
func twinName(udeb string) string { return strings.TrimSuffix(udeb, "-udeb") }

// plan is what to do with every entry of an index.
type plan struct {
	keep, merge, repack []stanza
	// modules says that the installer's kernel lacks modules on the mirror: some files are gone, or the index
	// has only other kernels' modules.
	modules bool
}

// complete says that nothing needs repair.
func (p plan) complete() bool { return !p.modules && len(p.repack) == 0 }

// plan sorts the index's entries by verdict; present is by position.
func (i installer) plan(stanzas []stanza, present []bool) plan {
	p := plan{modules: true}
	for n, s := range stanzas {
		switch i.decide(s.get("Package"), present[n]) {
		case keep:
			p.keep = append(p.keep, s)
			if s.get("Package") == diskModules+"-"+i.kernel+"-di" {
				p.modules = false
			}
		case merge:
			p.merge = append(p.merge, s)
		case repack:
			p.repack = append(p.repack, s)
		}
	}
	p.modules = p.modules || len(p.merge) > 0
	return p
}

// provides is every name the stand-in for the missing module udebs answers to, sorted: the merged ones' own
// names, the general name (ext4-modules) of any kernel's module udeb, and what these provided, unless a kept udeb
// of the installer's kernel has that general name.
func (i installer) provides(p plan) []string {
	var names []string
	for _, s := range p.merge {
		names = append(append(names, s.get("Package")), commaList(s.get("Provides"))...)
	}
	kept := map[string]bool{"kernel-image": true}
	for _, s := range p.keep {
		name := s.get("Package")
		match := moduleUdeb.FindStringSubmatch(name)
		switch {
		case match == nil:
		case i.relevant(name):
			kept[match[1]] = true
		default:
			names = append(append(names, match[1]), commaList(s.get("Provides"))...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(name string) bool { return kept[name] })
}
