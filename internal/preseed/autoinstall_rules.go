package preseed

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// rule is what a value of autoinstall data must be.
type rule struct {
	is    []string        // the kinds it may be, by the names below
	keys  map[string]rule // of a map: the keys it may have; nil for any
	need  []string        // of a map: the keys it must have
	items *rule           // of a list: its items; nil for any
	oneOf []string        // of text
}

// The kinds of values, named for people, by YAML's tags.
var kinds = map[string]string{
	"!!str": "text", "!!int": "a whole number", "!!bool": "true or false", "!!map": "a map", "!!seq": "a list", "!!null": "empty",
}

var (
	text   = rule{is: []string{"text"}}
	number = rule{is: []string{"a whole number"}}
	truth  = rule{is: []string{"true or false"}}
	object = rule{is: []string{"a map"}}
	array  = rule{is: []string{"a list"}}
	null   = rule{is: []string{"empty"}}
)

func oneOf(words ...string) rule { return rule{is: text.is, oneOf: words} }

func listOf(items rule) rule { return rule{is: array.is, items: &items} }

func mapOf(keys map[string]rule, need ...string) rule {
	return rule{is: object.is, keys: keys, need: need}
}

// either is a rule for values of one kind or the other.
func either(a, b rule) rule {
	a.is = slices.Concat(a.is, b.is)
	if a.keys == nil {
		a.keys, a.need = b.keys, b.need
	}
	if a.items == nil {
		a.items = b.items
	}
	if a.oneOf == nil {
		a.oneOf = b.oneOf
	}
	return a
}

// autoinstallRules are subiquity's: its autoinstall-schema.json of August 2026, and where that leaves a section open
// the reference manual's keys for it. subiquity itself only warns of unknown keys, and then ignores them.
//
// Source: https://github.com/canonical/subiquity, autoinstall-schema.json and doc/reference/autoinstall-reference.rst
func autoinstallRules() rule {
	commands := listOf(either(text, listOf(text)))
	install := mapOf(map[string]rule{"install": truth})
	return mapOf(map[string]rule{
		"version":              number,
		"interactive-sections": listOf(text),
		"early-commands":       commands,
		"late-commands":        commands,
		"error-commands":       commands,
		"reporting":            object,
		"user-data":            object,
		"packages":             listOf(text),
		"debconf-selections":   text,
		"locale":               text,
		"timezone":             text,
		"refresh-installer":    mapOf(map[string]rule{"update": truth, "channel": text}),
		"kernel":               mapOf(map[string]rule{"package": text, "flavor": text}),
		"kernel-crash-dumps":   mapOf(map[string]rule{"enabled": either(truth, null)}, "enabled"),
		"keyboard":             mapOf(map[string]rule{"layout": text, "variant": text, "toggle": either(text, null)}, "layout"),
		"zdevs":                listOf(mapOf(map[string]rule{"id": text, "enabled": truth})),
		"source":               mapOf(map[string]rule{"search_drivers": truth, "id": text}),
		"network":              networkRules(),
		"ubuntu-pro":           object,
		"ubuntu-advantage":     object,
		"proxy":                either(text, null),
		"apt":                  aptRules(),
		"storage":              storageRules(),
		"identity":             identityRules(),
		"ssh":                  mapOf(map[string]rule{"install-server": truth, "authorized-keys": listOf(text), "allow-pw": truth}),
		"snaps":                listOf(mapOf(map[string]rule{"name": text, "channel": text, "classic": truth}, "name")),
		"active-directory":     mapOf(map[string]rule{"admin-name": text, "domain-name": text}),
		"codecs":               install,
		"drivers":              install,
		"oem":                  mapOf(map[string]rule{"install": either(truth, oneOf("auto"))}, "install"),
		"updates":              oneOf("security", "all"),
		"shutdown":             oneOf("reboot", "poweroff"),
	}, "version")
}

// networkRules are those of netplan's first level, which may stand below another "network".
func networkRules() rule {
	netplan := map[string]rule{"version": number, "renderer": text}
	for _, kind := range []string{"ethernets", "wifis", "bridges", "bonds", "tunnels", "vlans", "modems", "vrfs", "dummy-devices"} {
		netplan[kind] = object
	}
	outer := maps.Clone(netplan)
	outer["network"] = mapOf(netplan, "version")
	return mapOf(outer)
}

// aptRules leave the keys of curtin's own apt configuration open, as the schema does.
func aptRules() rule {
	mirror := either(oneOf("country-mirror"), mapOf(map[string]rule{"uri": text, "arches": listOf(text)}, "uri"))
	r := mapOf(map[string]rule{
		"preserve_sources_list": truth,
		"primary":               array,
		"mirror-selection":      mapOf(map[string]rule{"primary": listOf(mirror)}),
		"geoip":                 truth,
		"sources":               object,
		"disable_components":    listOf(oneOf("universe", "multiverse", "restricted", "contrib", "non-free")),
		"preferences": listOf(mapOf(map[string]rule{"package": text, "pin": text, "pin-priority": number},
			"package", "pin", "pin-priority")),
		"fallback": oneOf("abort", "continue-anyway", "offline-install"),
	})
	for _, key := range []string{
		"security", "disable_suites", "conf", "debconf_selections", "sources_list", "add_apt_repo_match", "proxy", "http_proxy",
		"https_proxy", "ftp_proxy",
	} {
		r.keys[key] = rule{}
	}
	return r
}

func storageRules() rule {
	return mapOf(map[string]rule{
		"layout": mapOf(map[string]rule{
			"name":  oneOf("direct", "lvm", "zfs", "hybrid", "dd"),
			"mode":  oneOf("reformat_disk", "use_gap"),
			"match": either(object, array), "ptable": text, "password": text, "sizing-policy": oneOf("scaled", "all"),
			"encrypted": truth, "recovery-key": either(truth, object), "reset-partition": either(truth, either(text, number)),
			"reset-partition-only": truth,
		}, "name"),
		"config": listOf(object), "swap": object, "grub": object, "version": number,
	})
}

func identityRules() rule {
	groups := either(listOf(text), mapOf(map[string]rule{"override": listOf(text), "append": listOf(text)}))
	return mapOf(map[string]rule{
		"realname": text, "username": text, "hostname": text, "password": text, "groups": groups,
	}, "username", "hostname", "password")
}

// checkDocument finds all mistakes of a document. One that is not whole may leave out what subiquity must have.
func checkDocument(root *yaml.Node, whole bool) KeyErrors {
	c := &checker{whole: whole}
	c.value(root, "", autoinstallRules())
	if v := child(root, "version"); v != nil && v.Tag == "!!int" && v.Value != "1" {
		c.fail(v, "version", "must be 1")
	}
	if k := child(root, "kernel"); k != nil && k.Kind == yaml.MappingNode && len(k.Content) != 2 {
		c.fail(k, "kernel", "must have either package or flavor")
	}
	reporting := child(root, "reporting")
	for i := 0; reporting != nil && i+1 < len(reporting.Content); i += 2 {
		c.value(reporting.Content[i+1], join("reporting", reporting.Content[i].Value), rule{is: object.is, need: []string{"type"}})
	}
	return c.errs
}

type checker struct {
	whole bool
	errs  KeyErrors
}

func (c *checker) fail(n *yaml.Node, path, format string, args ...any) {
	c.errs = append(c.errs, at(n, path, fmt.Sprintf(format, args...)))
}

func (c *checker) value(n *yaml.Node, path string, r rule) {
	if is := kinds[n.Tag]; r.is != nil && !slices.Contains(r.is, is) {
		c.fail(n, path, "must be %s, not %s", strings.Join(r.is, " or "), describe(n, is))
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		c.mapping(n, path, r)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if r.items != nil {
				c.value(item, fmt.Sprintf("%s[%d]", path, i), *r.items)
			}
		}
	case yaml.ScalarNode:
		if n.Tag != "!!str" {
			return
		}
		if r.oneOf != nil && !slices.Contains(r.oneOf, n.Value) {
			c.fail(n, path, "must be one of %s", strings.Join(r.oneOf, ", "))
		}
	}
}

func (c *checker) mapping(n *yaml.Node, path string, r rule) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		one, known := r.keys[key.Value]
		if !known && r.keys != nil {
			c.fail(key, join(path, key.Value), "unknown key, known are %s", strings.Join(slices.Sorted(maps.Keys(r.keys)), ", "))
			continue
		}
		c.value(value, join(path, key.Value), one)
	}
	for _, key := range r.need {
		if c.whole && child(n, key) == nil {
			c.fail(n, join(path, key), "is missing")
		}
	}
}

func describe(n *yaml.Node, is string) string {
	switch n.Tag {
	case "!!int", "!!float", "!!bool":
		return n.Value
	}
	if is == "" {
		return n.Tag
	}
	return is
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
