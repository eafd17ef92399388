package debtest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
)

// MirrorEnv names the environment variable that overrides the mirror of the machine's apt configuration, for
// machines that have none for Debian (Ubuntu, for instance). Its value is the address of a Debian archive,
// http or https, with a path that ends in /debian.
const MirrorEnv = "PIM_DEBTEST_MIRROR"

// ErrNoMirror says that the machine's apt configuration names no Debian mirror that can be used.
var ErrNoMirror = errors.New("no Debian mirror found: apt's sources name no http or https address whose path " +
	"ends in /debian; set " + MirrorEnv + " to one")

// Mirrors are the archives the proxy may ask.
type Mirrors struct {
	Main     *url.URL // path ends in /debian/
	Security *url.URL // path ends in /debian-security/; nil when the machine has none
}

// source is one archive of apt's configuration.
type source struct {
	uri     string
	enabled bool
	binary  bool // has type deb, not only deb-src
}

// FindMirrors takes the first usable main and security archive of apt's sources below root, which is the
// machine's root folder. Both formats of sources.list(5) are read, one-line (.list) and deb822 (.sources),
// in the order apt uses. The environment variable MirrorEnv wins over the configured main archive.
func FindMirrors(root fs.FS, getenv func(string) string) (Mirrors, error) {
	sources, err := aptSources(root)
	if err != nil {
		return Mirrors{}, err
	}
	var found Mirrors
	for _, s := range sources {
		if !s.enabled || !s.binary {
			continue
		}
		if u := archiveURL(s.uri, "/debian"); u != nil && found.Main == nil {
			found.Main = u
		}
		if u := archiveURL(s.uri, "/debian-security"); u != nil && found.Security == nil {
			found.Security = u
		}
	}
	if value := getenv(MirrorEnv); value != "" {
		found.Main = archiveURL(value, "/debian")
		if found.Main == nil {
			return Mirrors{}, fmt.Errorf("%s is not an http or https address whose path ends in /debian", MirrorEnv)
		}
	}
	if found.Main == nil {
		return Mirrors{}, ErrNoMirror
	}
	return found, nil
}

// archiveURL is the address as a base (with a final slash), or nil when it is not http(s) or its path does not
// end in suffix.
func archiveURL(uri, suffix string) *url.URL {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil
	}
	trimmed := strings.TrimRight(u.Path, "/")
	if !strings.HasSuffix(trimmed, suffix) {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: trimmed + "/"}
}

// aptSources reads etc/apt/sources.list and the files beside it in sources.list.d by apt's rule: names end in
// .list or .sources, in lexical order.
func aptSources(root fs.FS) ([]source, error) {
	names := []string{"etc/apt/sources.list"}
	entries, err := fs.ReadDir(root, "etc/apt/sources.list.d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read apt's sources: %w", err)
	}
	for _, e := range entries {
		if ext := path.Ext(e.Name()); ext == ".list" || ext == ".sources" {
			names = append(names, "etc/apt/sources.list.d/"+e.Name())
		}
	}
	var all []source
	for _, name := range names {
		data, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt's sources: %w", err)
		}
		if path.Ext(name) == ".sources" {
			all = append(all, deb822Sources(string(data))...)
		} else {
			all = append(all, listSources(string(data))...)
		}
	}
	return all, nil
}

// deb822Sources reads the stanza format of sources.list(5); a stanza may name several types and addresses.
func deb822Sources(text string) []source {
	var out []source
	for _, s := range parseStanzas(dropComments(text)) {
		enabled := !slices.Contains([]string{"no", "false", "0", "off", "without", "disable"}, strings.ToLower(s.get("Enabled")))
		binary := slices.Contains(strings.Fields(s.get("Types")), "deb")
		for _, uri := range strings.Fields(s.get("URIs")) {
			out = append(out, source{uri: uri, enabled: enabled, binary: binary})
		}
	}
	return out
}

// dropComments removes whole-line comments, which deb822 sources allow, also between a field's lines.
func dropComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// listSources reads the one-line format: type, options in brackets, address, suite, components.
func listSources(text string) []source {
	var out []source
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		kind, rest, ok := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if !ok || (kind != "deb" && kind != "deb-src") {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			if _, rest, ok = strings.Cut(rest, "]"); !ok {
				continue
			}
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		out = append(out, source{uri: fields[0], enabled: true, binary: kind == "deb"})
	}
	return out
}
