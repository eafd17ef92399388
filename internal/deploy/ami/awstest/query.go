package awstest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// query is the parameters of a request in EC2's and STS's query protocol. The first error is kept for done.
type query struct {
	form url.Values
	used map[string]bool
	err  error
}

// bad is an error of EC2 about what the client sent.
func bad(code, format string, args ...any) *apiError {
	return &apiError{status: 400, code: code, message: fmt.Sprintf(format, args...)}
}

func newQuery(form url.Values) *query {
	return &query{form: form, used: map[string]bool{"Action": true, "Version": true}}
}

func (q *query) fail(err error) {
	if q.err == nil {
		q.err = err
	}
}

// text is a parameter's value, "" when it is not given.
func (q *query) text(name string) string {
	q.used[name] = true
	if len(q.form[name]) > 1 {
		q.fail(bad("InvalidParameterValue", "The parameter %s is given twice", name))
	}
	return q.form.Get(name)
}

// need is the value of a parameter that must be given.
func (q *query) need(name string) string {
	v := q.text(name)
	if v == "" {
		q.fail(bad("MissingParameter", "The request must contain the parameter %s", name))
	}
	return v
}

// one is a parameter that has few values, the first of which is the default.
func (q *query) one(name string, values ...string) string {
	v := q.text(name)
	if v == "" {
		return values[0]
	}
	if !slices.Contains(values, v) {
		q.fail(bad("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", v, name))
	}
	return v
}

// flag is a parameter that is true or false, nil when it is not given.
func (q *query) flag(name string) *bool {
	switch v := q.text(name); v {
	case "":
		return nil
	case "true", "false":
		b := v == "true"
		return &b
	default:
		q.fail(bad("InvalidParameterValue", "Invalid value '%s' for boolean %s", v, name))
		return nil
	}
}

// on tells if a flag is true.
func (q *query) on(name string) bool {
	b := q.flag(name)
	return b != nil && *b
}

// number is a parameter within bounds, 0 when it is not given.
func (q *query) number(name string, low, high int64) int64 {
	v := q.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < low || n > high {
		q.fail(bad("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Expected: %d to %d", v, name, low, high))
	}
	return n
}

// list is the values of NAME.1, NAME.2 and so on.
func (q *query) list(name string) []string {
	var values []string
	for i := 1; ; i++ {
		key := fmt.Sprintf("%s.%d", name, i)
		if !q.form.Has(key) {
			return values
		}
		values = append(values, q.text(key))
	}
}

// groups is the prefixes NAME.1, NAME.2 and so on that parameters begin with.
func (q *query) groups(name string) []string {
	var prefixes []string
	for i := 1; ; i++ {
		prefix := fmt.Sprintf("%s.%d.", name, i)
		if !q.has(prefix) {
			return prefixes
		}
		prefixes = append(prefixes, prefix)
	}
}

// has tells if a parameter begins like that.
func (q *query) has(prefix string) bool {
	for key := range q.form {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// done is to be called when all parameters were read, and before anything is done. It refuses parameters that nobody
// asked for. A dry run ends here.
func (q *query) done() error {
	dry := q.on("DryRun")
	for _, key := range slices.Sorted(maps.Keys(q.form)) {
		if !q.used[key] {
			return bad("UnknownParameter", "The parameter %s is not recognized", key)
		}
	}
	if q.err != nil {
		return q.err
	}
	if dry {
		return &apiError{
			status: 412, code: "DryRunOperation", message: "Request would have succeeded, but DryRun flag is set.",
		}
	}
	return nil
}

// fingerprint is what is asked, without the client token.
func (q *query) fingerprint() string {
	form := maps.Clone(q.form)
	form.Del("ClientToken")
	return form.Encode()
}
