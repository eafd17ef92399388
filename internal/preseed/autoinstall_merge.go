package preseed

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxNodes bounds a user's document once its aliases are written out.
const maxNodes = 20000

// CheckAutoinstall finds what is wrong in a user's own autoinstall document: YAML with or without a first line
// "#cloud-config" and a top-level key "autoinstall" around it. The error is a KeyErrors.
func CheckAutoinstall(text []byte) error {
	_, err := parseOver(text)
	return err
}

// parseOver reads a user's document into a tree without aliases, and checks it; nil is an empty document.
func parseOver(text []byte) (*yaml.Node, error) {
	root, err := parseYAML(text)
	if root == nil || err != nil {
		return nil, err
	}
	if inner := child(root, "autoinstall"); inner != nil {
		if len(root.Content) > 2 {
			// As subiquity has it for autoinstall.yaml.
			return nil, KeyErrors{at(root, "", "no other key may stand beside autoinstall")}
		}
		root = inner
	}
	if root.Tag == "!!null" {
		return nil, nil
	}
	errs := checkDocument(root, false)
	if root.Kind == yaml.MappingNode {
		errs = append(errs, checkOver(root)...)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func parseYAML(text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		m := yamlLine.FindStringSubmatch(err.Error())
		if m == nil {
			return nil, KeyErrors{{Msg: "cannot parse YAML: " + err.Error()}}
		}
		line, _ := strconv.Atoi(m[1]) // 0 says that there is none
		return nil, KeyErrors{{Line: line, Column: min(line, 1), Msg: "cannot parse YAML: " + strings.TrimPrefix(err.Error(), m[0])}}
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, KeyErrors{at(&second, "", "more than one YAML document, or text after the first")}
	}
	left := maxNodes
	root, e := written(doc.Content[0], nil, &left)
	if e != nil {
		return nil, KeyErrors{e}
	}
	return root, nil
}

// oldBools are what YAML 1.1, which Ubuntu reads the document by, takes for truth values when it is not quoted.
var oldBools = map[string]string{"yes": "true", "on": "true", "no": "false", "off": "false"}

// written is a copy of a tree without comments, with every alias replaced by what it stands for.
func written(n *yaml.Node, above []*yaml.Node, left *int) (*yaml.Node, *KeyError) {
	place := n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if *left--; *left < 0 {
		return nil, at(place, "", "the document is too large")
	}
	if slices.Contains(above, n) {
		return nil, at(place, "", "an alias stands inside what it stands for")
	}
	out := yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Line: n.Line, Column: n.Column}
	if yes, old := oldBools[strings.ToLower(n.Value)]; old && n.Kind == yaml.ScalarNode && n.Style == 0 {
		out.Tag, out.Value = "!!bool", yes
	}
	seen := map[string]bool{}
	for i, c := range n.Content {
		w, e := written(c, append(above, n), left)
		if e != nil {
			return nil, e
		}
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			switch {
			case w.Tag == "!!merge":
				return nil, at(c, "", "merge keys are not supported")
			case seen[w.Value]:
				return nil, at(c, w.Value, "given twice")
			}
			seen[w.Value] = true
		}
		out.Content = append(out.Content, w)
	}
	return &out, nil
}

// checkOver refuses what would take from the build what it needs, say in two places what a profile's field says, or have no
// effect: what subiquity hands to cloud-init for a first boot goes with the post-install script.
func checkOver(root *yaml.Node) KeyErrors {
	var errs KeyErrors
	refuse := func(path, msg string) {
		n := root
		for key := range strings.SplitSeq(path, "/") {
			if n = child(n, key); n == nil {
				return
			}
		}
		errs = append(errs, at(n, strings.ReplaceAll(path, "/", "."), msg))
	}
	refuse("interactive-sections", "nobody is there to be asked")
	for _, name := range []string{"username", "password", "hostname"} {
		refuse("identity/"+name, "is the profile's to say: set "+name+" there, so that scripts know it as well")
	}
	refuse("identity/realname", "is the profile's to say: set fullname there")
	for _, name := range []string{"locale", "timezone"} {
		refuse(name, "is the profile's to say: set "+name+" there")
	}
	for _, key := range []string{"user-data", "snaps", "ubuntu-pro", "ubuntu-advantage"} {
		refuse(key, "is for a first boot, which an image does not have: use a script, or the user-data of its instances")
	}
	refuse("ssh/authorized-keys", "is for a first boot, which an image does not have: set authorized_keys_url in the profile, or use a script")
	refuse("storage/layout/password", "must be left out: nobody is there to type it when the image boots")
	refuse("reporting/"+reportName, "is the build's own destination: give yours another name")
	if n := child(child(root, "ssh"), "install-server"); n != nil && !strings.EqualFold(n.Value, "true") {
		errs = append(errs, at(n, "ssh.install-server", "must be true: the build comes in by SSH"))
	}
	if n := child(child(root, "ssh"), "allow-pw"); n != nil && !strings.EqualFold(n.Value, "false") {
		errs = append(errs, at(n, "ssh.allow-pw", "must be false: no password opens SSH in an image"))
	}
	return errs
}

// makeRoom drops what subiquity would not take beside something the user's document has.
func makeRoom(doc, over *yaml.Node) {
	if child(child(over, "storage"), "config") != nil { // a layout wins over it
		drop(child(doc, "storage"), "layout")
	}
	if child(child(over, "apt"), "mirror-selection") != nil {
		drop(child(doc, "apt"), "primary")
	}
}

// merge lays src over dst: maps merge, all else replaces.
func merge(dst, src *yaml.Node) {
	if src == nil {
		return
	}
	if dst.Kind != yaml.MappingNode || src.Kind != yaml.MappingNode {
		*dst = *src
		return
	}
	for i := 0; i+1 < len(src.Content); i += 2 {
		if there := child(dst, src.Content[i].Value); there != nil {
			merge(there, src.Content[i+1])
		} else {
			dst.Content = append(dst.Content, src.Content[i], src.Content[i+1])
		}
	}
}

// child is the value of a key of a mapping, nil for none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func put(n *yaml.Node, key string, value *yaml.Node) {
	k := &yaml.Node{}
	k.SetString(key)
	n.Content = append(n.Content, k, value)
}

func drop(n *yaml.Node, key string) {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

// forget removes the places of a tree that comes from no file.
func forget(n *yaml.Node) {
	n.Line, n.Column = 0, 0
	for _, c := range n.Content {
		forget(c)
	}
}

// secretKeys are the keys whose values nobody must see: of the account, of netplan, of a reporting webhook.
var secretKeys = []string{"password", "consumer_secret", "token_secret"}

// eachSecret calls do with every scalar that is the value of a secret key.
func eachSecret(n *yaml.Node, do func(*yaml.Node)) {
	for i, c := range n.Content {
		secret := n.Kind == yaml.MappingNode && i%2 == 1 && slices.Contains(secretKeys, n.Content[i-1].Value)
		if secret && c.Kind == yaml.ScalarNode && c.Tag != "!!bool" && c.Tag != "!!null" {
			do(c)
		}
		eachSecret(c, do)
	}
}

func secretsOf(a Autoinstall) []string {
	secrets := []string{a.Values.PasswordHash, a.Values.HTTPProxy}
	if _, rest, ok := strings.Cut(a.Values.HTTPProxy, "://"); ok {
		if user, _, ok := strings.Cut(rest, "@"); ok {
			secrets = append(secrets, user)
		}
	}
	if over, err := parseOver(a.Over); err == nil && over != nil {
		eachSecret(over, func(n *yaml.Node) { secrets = append(secrets, n.Value) })
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return s == "" || s == locked })
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(secrets)
}

// KeyError is a mistake in autoinstall data.
type KeyError struct {
	Line, Column int    // in the user's document, from 1; 0 for what is not in it
	Key          string // path of the key: "storage.layout.name", "" for the whole
	Msg          string
}

func (e *KeyError) Error() string {
	var parts []string
	if e.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d", e.Line))
	}
	if e.Key != "" {
		parts = append(parts, e.Key)
	}
	return strings.Join(append(parts, e.Msg), ": ")
}

// KeyErrors are all mistakes of a document.
type KeyErrors []*KeyError

func (es KeyErrors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func at(n *yaml.Node, key, msg string) *KeyError {
	return &KeyError{Line: n.Line, Column: n.Column, Key: key, Msg: msg}
}
