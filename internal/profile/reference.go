package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// follow reads the scripts and templates a profile refers to into res.
func (c *Config) follow(l *layer, res *Resolved) Errors {
	var errs Errors
	if l.Base == nil {
		var e *Error
		if res.Install, e = c.script("installs.d", value(l.Install)); e != nil {
			errs = append(errs, l.fault("install", e))
		}
	}
	first := map[string]int{}
	for i, ref := range l.Scripts {
		s, e := c.script("scripts.d", ref)
		if e != nil {
			errs = append(errs, l.fault(index("scripts", i), e))
			continue
		}
		if j, ok := first[s.Name]; ok {
			errs = append(errs, l.fault(index("scripts", i), sameName(s.Name, l.Scripts[j], ref)))
			continue
		}
		first[s.Name] = i
		res.Scripts = append(res.Scripts, s)
	}
	switch {
	case l.Base != nil:
		return errs
	case res.Installer == Ubuntu:
		return append(errs, c.document(l, res)...)
	}
	return append(errs, c.templates(l, res)...)
}

// sameName: a script's name names a part of the cache key, so it must be unique.
func sameName(name, first, second string) *Error {
	if first == second {
		return &Error{Msg: fmt.Sprintf("script %q is listed twice", first)}
	}
	return &Error{Msg: fmt.Sprintf("%q and %q are both named %q", first, second, name), Hint: "rename one of the files"}
}

// script reads the script a profile refers to: "base" is base.sh in dir, "./base.sh" or "base.sh" a path. It is named
// by its file either way, so that moving a file changes no image.
func (c *Config) script(dir, ref string) (Script, *Error) {
	f, ok := c.files[path.Join(dir, ref+".sh")]
	if strings.Contains(ref, "/") || strings.HasSuffix(ref, ".sh") {
		var e *Error
		if f, e = c.outside(ref); e != nil {
			return Script{}, e
		}
	} else if !ok {
		return Script{}, &Error{
			Msg:  fmt.Sprintf("no script %q in %s", ref, dir),
			Hint: suggest(ref, c.names(dir, ".sh")),
		}
	}
	body, e := f.read()
	switch {
	case e != nil:
		return Script{}, &Error{Msg: fmt.Sprintf("cannot read the script %s", f.path), Err: e.Err}
	case !strings.HasPrefix(string(body), "#!"):
		return Script{}, &Error{Msg: fmt.Sprintf("the script %s does not begin with #!", f.path), Hint: "begin it with #!/bin/sh"}
	}
	sum := sha256.Sum256(body)
	return Script{
		Name: strings.TrimSuffix(path.Base(f.name), ".sh"), Path: f.path, Body: body, SHA256: hex.EncodeToString(sum[:]),
	}, nil
}

// outside is a file given by its path.
func (c *Config) outside(ref string) (file, *Error) {
	p, err := expand(ref, c.workDir)
	if err != nil {
		return file{}, &Error{Msg: fmt.Sprintf("cannot use the path %q", ref), Err: err}
	}
	return file{name: filepath.Base(p), path: p, fsys: os.DirFS(filepath.Dir(p))}, nil
}

// highest finds the file in dir that is called ref, with or without one of the endings: of several the one in the higher
// tree, and in one tree the first.
func (c *Config) highest(dir, ref string, endings ...string) (file, bool) {
	best := file{tree: -1}
	for _, end := range append([]string{""}, endings...) {
		if f, ok := c.files[path.Join(dir, ref+end)]; ok && f.tree > best.tree {
			best = f
		}
	}
	return best, best.tree >= 0
}

// names lists what may be referred to in a directory.
func (c *Config) names(dir string, endings ...string) []string {
	set := map[string]bool{}
	for _, f := range in(c.files, dir) {
		name := path.Base(f.name)
		for _, end := range endings {
			name = strings.TrimSuffix(name, end)
		}
		set[name] = true
	}
	return slices.Collect(maps.Keys(set))
}
