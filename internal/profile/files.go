package profile

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed defaults
var defaults embed.FS

// file is one file of the configuration: the one that hides its namesakes in the trees below.
type file struct {
	name string // relative to its tree, with slashes: "scripts.d/base.sh"
	path string // to show and to report
	tree int    // rank of its tree; the greater hides the smaller
	fsys fs.FS
}

func (f file) read() ([]byte, *Error) {
	b, err := fs.ReadFile(f.fsys, f.name)
	if err != nil {
		return nil, &Error{File: f.path, Msg: "cannot read the file", Err: cause(err)}
	}
	return b, nil
}

// directories of a configuration, and what the names of the files that count end in.
var directories = map[string][]string{
	"profiles.d": {".yml", ".yaml"},
	"isos.d":     {".yml", ".yaml"},
	"targets.d":  {".yml", ".yaml"},
	"preseeds.d": {".cfg.tmpl", ".cfg"},
	"installs.d": {".sh"},
	"scripts.d":  {".sh"},

	"autoinstalls.d": {".yml", ".yaml"},
}

const settingsFile = "pim.yml"

// findFiles lists pim.yml and the files of some directories: the embedded ones, hidden by the user's, hidden by the
// project's.
func findFiles(o Options, dirs ...string) (map[string]file, Errors) {
	embedded, err := fs.Sub(defaults, "defaults")
	if err != nil {
		panic(err) // the directive above is wrong
	}
	found := map[string]file{}
	var errs Errors
	errs = append(errs, scan(found, 0, embedded, dirs, func(name string) string { return embeddedPrefix + name })...)
	for i, dir := range []string{o.ConfigDir, o.ProjectDir} {
		if dir == "" {
			continue
		}
		show := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
		errs = append(errs, scan(found, i+1, os.DirFS(dir), dirs, show)...)
	}
	return found, errs
}

func scan(found map[string]file, tree int, fsys fs.FS, dirs []string, show func(string) string) Errors {
	var errs Errors
	add := func(name string) {
		switch info, err := fs.Stat(fsys, name); {
		case errors.Is(err, fs.ErrNotExist) && name == settingsFile:
		case err != nil:
			errs = append(errs, &Error{File: show(name), Msg: "cannot read the file", Err: cause(err)})
		case info.Mode().IsRegular():
			found[name] = file{name: name, path: show(name), tree: tree, fsys: fsys}
		}
	}
	add(settingsFile)
	for _, dir := range dirs {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, &Error{File: show(dir), Msg: "cannot read the directory", Err: cause(err)})
		}
		for _, e := range entries {
			if counts(dir, e.Name()) {
				add(path.Join(dir, e.Name()))
			}
		}
	}
	return errs
}

func counts(dir, base string) bool {
	return !strings.HasPrefix(base, ".") &&
		slices.ContainsFunc(directories[dir], func(end string) bool { return strings.HasSuffix(base, end) })
}

// in lists the files of one directory, lower trees first, sorted by name within a tree.
func in(files map[string]file, dir string) []file {
	var fs []file
	for name, f := range files {
		if path.Dir(name) == dir {
			fs = append(fs, f)
		}
	}
	slices.SortFunc(fs, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.tree, b.tree), strings.Compare(a.name, b.name))
	})
	return fs
}

// cause is what an operating system's error says less the path, which Error already gives.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// expand makes a directory or file given by a person absolute: "~/" is the home directory, and anything relative is
// relative to base.
func expand(p, base string) (string, error) {
	if p == "" {
		return "", nil
	}
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("cannot find the home directory: %w", err)
		}
		return filepath.Join(home, rest), nil
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(base, p)
	}
	return filepath.Abs(p)
}
