package profile

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// templates reads all preseed templates, since one may include another, and finds the one the profile names.
func (c *Config) templates(l *layer, res *Resolved) Errors {
	t := &templateSet{files: map[string]file{}, trees: map[string]*parse.Tree{}}
	res.Templates = map[string]string{}
	add := func(name string, f file) {
		body, e := f.read()
		if e != nil {
			t.errs = append(t.errs, e)
			return
		}
		res.Templates[name] = t.add(name, f, string(body))
	}
	for _, f := range in(c.files, "preseeds.d") {
		add(path.Base(f.name), f)
	}

	name, f, e := c.template(value(l.Preseed))
	if e != nil {
		return append(t.errs, l.fault("preseed", e))
	}
	if _, known := res.Templates[name]; !known {
		add(name, f)
	}
	if len(t.errs) == 0 {
		t.follow(name, nil, map[string]bool{})
	}
	res.PreseedTemplate = name
	return t.errs
}

// template finds the template a profile refers to. A path is its own name, so that it hides nothing in preseeds.d.
func (c *Config) template(ref string) (string, file, *Error) {
	if strings.Contains(ref, "/") {
		f, e := c.outside(ref)
		return ref, f, e
	}
	if name, ok := c.templateName(ref); ok {
		return name, file{}, nil
	}
	return "", file{}, &Error{
		Msg:  fmt.Sprintf("no template %q in preseeds.d", ref),
		Hint: suggest(ref, c.names("preseeds.d", ".tmpl", ".cfg")),
	}
}

// templateName finds the template that "debian", "debian.cfg" or "debian.cfg.tmpl" stands for. Of a debian.cfg and
// a debian.cfg.tmpl the one in the higher tree counts.
func (c *Config) templateName(ref string) (string, bool) {
	f, ok := c.highest("preseeds.d", ref, ".tmpl", ".cfg.tmpl", ".cfg")
	return path.Base(f.name), ok
}

// templateSet checks what rendering would only find in the middle of a build: syntax, missing templates, cycles.
type templateSet struct {
	files map[string]file // by template name
	trees map[string]*parse.Tree
	errs  Errors
}

// add parses a template and returns its text. A .cfg file is taken literally: no brace in it is an action.
func (t *templateSet) add(name string, f file, text string) string {
	if strings.HasSuffix(f.name, ".cfg") {
		text = strings.ReplaceAll(text, "{{", `{{"{{"}}`)
	}
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		t.errs = append(t.errs, templateError(f.path, err))
	}
	for n, tr := range trees {
		t.trees[n], t.files[n] = tr, f
	}
	if t.trees[name] == nil { // an empty template has no tree
		t.trees[name], t.files[name] = &parse.Tree{Root: &parse.ListNode{}}, f
	}
	return text
}

var templateLine = regexp.MustCompile(`^template: .*?:(\d+)(?::\d+)?: `)

func templateError(file string, err error) *Error {
	e := &Error{File: file, Msg: "cannot parse the template: " + err.Error()}
	if m := templateLine.FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Column = 1
		e.Msg = "cannot parse the template: " + strings.TrimPrefix(err.Error(), m[0])
	}
	return e
}

// follow visits the templates that name includes, each once; path is the way to it.
func (t *templateSet) follow(name string, path []string, done map[string]bool) {
	path = append(slices.Clone(path), name)
	for _, inc := range includes(t.trees[name].Root) {
		at := func(msg, hint string) {
			t.errs = append(t.errs, &Error{File: t.files[name].path, Line: inc.Line, Column: 1, Msg: msg, Hint: hint})
		}
		switch {
		case t.trees[inc.Name] == nil:
			at(fmt.Sprintf("no template %q", inc.Name), suggest(inc.Name, slices.Collect(maps.Keys(t.trees))))
		case slices.Contains(path, inc.Name):
			at("includes itself: "+strings.Join(append(path, inc.Name), " → "),
				"a template that extends an embedded one needs a name of its own")
		case !done[inc.Name]:
			t.follow(inc.Name, path, done)
		}
	}
	done[name] = true
}

// includes lists the {{template}} actions in n.
func includes(n parse.Node) (found []*parse.TemplateNode) {
	branch := func(b *parse.BranchNode) []*parse.TemplateNode {
		return append(includes(b.List), includes(b.ElseList)...)
	}
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, c := range n.Nodes {
				found = append(found, includes(c)...)
			}
		}
	case *parse.TemplateNode:
		found = append(found, n)
	case *parse.IfNode:
		found = branch(&n.BranchNode)
	case *parse.RangeNode:
		found = branch(&n.BranchNode)
	case *parse.WithNode:
		found = branch(&n.BranchNode)
	}
	return found
}
