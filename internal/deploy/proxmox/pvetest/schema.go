package pvetest

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the schemas
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// schemasGz is a gzip'd JSON map of version → endpoints: what Proxmox VE's own API schemas say about the endpoints that
// a deployment can want, without descriptions and results. To renew it from a folder with pve-api-schema-8.2.json,
// -8.3.json, -8.4.json and pve-api-schema.json (9.2), as proxmox/pve-docs' extractapi.pl makes them:
//
//	go test ./internal/deploy/proxmox/pvetest -run TestSchemas -schemas FOLDER
//
//go:embed testdata/schemas.json.gz
var schemasGz []byte

// endpoint is one method of one path.
type endpoint struct {
	Path        string   `json:"path"` // such as "/nodes/{node}/qemu"
	Method      string   `json:"method"`
	AllowToken  perlBool `json:"allowtoken,omitempty"`
	ProxyTo     string   `json:"proxyto,omitempty"` // the parameter that names the node which answers
	Permissions *struct {
		User  string `json:"user,omitempty"`
		Check []any  `json:"check,omitempty"`
	} `json:"permissions,omitempty"`
	Parameters struct {
		Properties map[string]*property `json:"properties,omitempty"`
	} `json:"parameters"`
}

// property is the schema of one parameter, or of one key of a property string ("key=value,key=value").
type property struct {
	Type       string   `json:"type,omitempty"`
	Optional   perlBool `json:"optional,omitempty"`
	Format     format   `json:"format,omitzero"`
	Pattern    string   `json:"pattern,omitempty"`
	Enum       []string `json:"enum,omitempty"`
	Minimum    *number  `json:"minimum,omitempty"`
	Maximum    *number  `json:"maximum,omitempty"`
	MinLength  int      `json:"minLength,omitempty"`
	MaxLength  int      `json:"maxLength,omitempty"`
	Requires   string   `json:"requires,omitempty"`
	DefaultKey perlBool `json:"default_key,omitempty"`
	Alias      string   `json:"alias,omitempty"`
	KeyAlias   string   `json:"keyAlias,omitempty"`
}

// format is the name of a format, or a property string's keys.
type format struct {
	Name string
	Keys map[string]*property
}

// IsZero is true for no format at all.
func (f format) IsZero() bool { return f.Name == "" && f.Keys == nil }

// MarshalJSON writes a name or an object.
func (f format) MarshalJSON() ([]byte, error) {
	if f.Keys != nil {
		return json.Marshal(f.Keys)
	}
	return json.Marshal(f.Name)
}

// UnmarshalJSON reads a name or an object.
func (f *format) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &f.Name)
	}
	return json.Unmarshal(data, &f.Keys)
}

// perlBool is a Perl boolean: 1 or "1".
type perlBool int

// UnmarshalJSON reads 0, 1, "0", "1".
func (f *perlBool) UnmarshalJSON(data []byte) error {
	*f = 0
	if s := strings.Trim(string(data), `"`); s != "0" && s != "" && s != "null" {
		*f = 1
	}
	return nil
}

// number is a bound: 1, "1" or 0.5.
type number float64

// UnmarshalJSON reads a number, quoted or not.
func (n *number) UnmarshalJSON(data []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(data), `"`), 64)
	*n = number(v)
	return err
}

func (n number) String() string { return strconv.FormatFloat(float64(n), 'f', -1, 64) }

// indexed is how many there are of what the schema calls "net[n]" (pve-docs: qm(1)).
var indexed = map[string]int{
	"hostpci": 16, "ide": 4, "ipconfig": 32, "net": 32, "numa": 8, "parallel": 3, "sata": 6, "scsi": 31, "serial": 4,
	"unused": 256, "usb": 14, "virtio": 16, "virtiofs": 10,
}

// endpoints are those of a version, their indexed parameters spelled out.
func endpoints(version string) ([]*endpoint, error) {
	all, err := schemas()
	if err != nil {
		return nil, err
	}
	list := all[version]
	if list == nil {
		return nil, fmt.Errorf("there is no API schema of version %q", version)
	}
	return list, nil
}

// schemas are read once: they are the same in every test.
var schemas = sync.OnceValues(func() (map[string][]*endpoint, error) {
	z, err := gzip.NewReader(bytes.NewReader(schemasGz))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	var all map[string][]*endpoint
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for _, list := range all {
		for _, e := range list {
			if err := e.spellOut(); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
})

func (e *endpoint) spellOut() error {
	props := e.Parameters.Properties
	for name, p := range props {
		base, ok := strings.CutSuffix(name, "[n]")
		if !ok {
			continue
		}
		delete(props, name)
		if indexed[base] == 0 {
			return fmt.Errorf("%s %s has %s, and nobody knows how many", e.Method, e.Path, name)
		}
		for i := range indexed[base] {
			props[base+strconv.Itoa(i)] = p
		}
	}
	return nil
}

// find is the endpoint of a request, with the parameters that are in its path; nil when there is none.
func find(list []*endpoint, method, path string) (*endpoint, map[string]any) {
	for _, e := range list {
		if e.Method != method {
			continue
		}
		if params, ok := matchPath(e.Path, path); ok {
			return e, params
		}
	}
	return nil, nil
}

// matchPath fits a path to a template. A volume takes the rest of the path, with its slashes.
func matchPath(template, path string) (map[string]any, bool) {
	want := strings.Split(strings.TrimPrefix(template, "/"), "/")
	params := map[string]any{}
	have := strings.Split(strings.Trim(path, "/"), "/")
	for i, w := range want {
		if i >= len(have) || have[i] == "" {
			return nil, false
		}
		switch {
		case w == "{volume}":
			params["volume"] = strings.Join(have[i:], "/")
			return params, true
		case strings.HasPrefix(w, "{"):
			params[strings.Trim(w, "{}")] = have[i]
		case w != have[i]:
			return nil, false
		}
	}
	return params, len(have) == len(want)
}

// patterns keeps compiled patterns: servers of many tests share them.
var patterns sync.Map

// perlFlags is how Perl prints a compiled expression: "(?^:…)", "(?^i:…)".
var perlFlags = regexp.MustCompile(`\(\?\^([a-z]*):`)

func pattern(p string) (*regexp.Regexp, error) {
	if re, ok := patterns.Load(p); ok {
		return re.(*regexp.Regexp), nil
	}
	text := perlFlags.ReplaceAllStringFunc(p, func(m string) string {
		flags := strings.NewReplacer("u", "", "a", "", "l", "").Replace(perlFlags.FindStringSubmatch(m)[1])
		return "(?" + flags + ":"
	})
	re, err := regexp.Compile("^(?:" + text + ")$")
	if err == nil {
		patterns.Store(p, re)
	}
	return re, err
}
