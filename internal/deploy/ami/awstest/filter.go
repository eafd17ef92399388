package awstest

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// filters are the filters of a description, all of which must match.
type filters []struct {
	name   string
	values []string // one of which must match; * and ? are wildcards
}

// filters reads the filters, of which an action knows some, and tags.
func (c *ec2Call) filters(known ...string) filters { return c.filtersNamed("Filter", known...) }

func (c *ec2Call) filtersNamed(param string, known ...string) filters {
	var f filters
	for _, p := range c.groups(param) {
		name, values := c.need(p+"Name"), c.list(p+"Value")
		if !slices.Contains(known, name) && name != "tag-key" && !strings.HasPrefix(name, "tag:") {
			c.fail(bad("InvalidParameterValue", "The filter '%s' is invalid", name))
		}
		if len(values) == 0 || len(values) > 200 {
			c.fail(bad("InvalidParameterValue", "The filter '%s' has %d values", name, len(values)))
		}
		f = append(f, struct {
			name   string
			values []string
		}{name, values})
	}
	return f
}

// match tells if something with these properties and tags passes.
func (f filters) match(properties map[string][]string, tags map[string]string) bool {
	for _, one := range f {
		have := properties[one.name]
		if key, ok := strings.CutPrefix(one.name, "tag:"); ok {
			have = nil
			if v, ok := tags[key]; ok {
				have = []string{v}
			}
		}
		if one.name == "tag-key" {
			for key := range tags {
				have = append(have, key)
			}
		}
		if !slices.ContainsFunc(one.values, func(want string) bool {
			return slices.ContainsFunc(have, func(v string) bool { return wild(want, v) })
		}) {
			return false
		}
	}
	return true
}

// wild matches a value with a pattern of * and ?.
func wild(pattern, value string) bool {
	const slash = "\x00" // path.Match's wildcards do not match a slash
	pattern = strings.NewReplacer("/", slash, "[", `\[`).Replace(pattern)
	ok, err := path.Match(pattern, strings.ReplaceAll(value, "/", slash))
	return err == nil && ok
}

// owners reads whose things are asked for. Everything here is the account's own.
func (c *ec2Call) owners() (mine bool) {
	names := c.list("Owner")
	for _, n := range names {
		if n == "self" || n == Account {
			mine = true
		}
	}
	return mine || len(names) == 0
}

// paging reads which part of a description is asked for.
func (c *ec2Call) paging(low int64, ids []string) (first, most int) {
	most = int(c.number("MaxResults", low, 1000))
	if most > 0 && len(ids) > 0 {
		c.fail(bad("InvalidParameterCombination", "The parameter MaxResults cannot be used with ids"))
	}
	if token := c.text("NextToken"); token != "" {
		n, err := openToken(token, c.form.Get("Action"))
		if err != nil {
			c.fail(bad("InvalidNextToken", "The token '%s' is invalid", token))
		}
		first = int(n)
	}
	if page := c.s.o.Page; page > 0 && len(ids) == 0 && (most == 0 || page < most) {
		most = page
	}
	return first, most
}

// pageOf is a part of the items, and the token for the next, "" for none.
func pageOf[T any](c *ec2Call, items []T, first, most int) ([]T, string) {
	items = items[min(first, len(items)):]
	if most == 0 || len(items) <= most {
		return items, ""
	}
	return items[:most], sealToken(c.form.Get("Action"), int64(first+most))
}

// yesNo is a property that is true or false, for filters.
func yesNo(b bool) []string { return []string{strconv.FormatBool(b)} }
