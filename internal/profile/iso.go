package profile

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

type isoEntry struct {
	ISO
	place place
}

// decodeISO reads one entry of the catalog.
func decodeISO(d *decoder, name string, n *yaml.Node) isoEntry {
	iso := ISO{Name: name}
	var location, sum string
	d.object(n, "", []field{
		plain("name", &iso.Title, text),
		plain("url", &location, text),
		plain("checksum", &sum, text, checksum),
		plain("checksum_url", &iso.ChecksumURL, text, webURL),
		plain("filename", &iso.Filename, text, fileName),
		plain("architecture", &iso.Arch, textAs, validArch),
		plain("installer", &iso.Installer, text, oneOf(Debian, Ubuntu)),
	})
	iso.SHA256 = strings.ToLower(strings.TrimPrefix(sum, "sha256:"))
	for _, e := range iso.locate(location, filepath.Dir(d.file)) {
		d.fail(n, "", e)
	}
	if _, said := d.at["architecture"]; !said {
		d.fail(n, "", &Error{Msg: "has no architecture", Hint: "add architecture: x86_64 or arm64"})
	}
	return isoEntry{iso, place{d.file, n.Line, n.Column, name}}
}

// locate tells a web address from a local file, fills in what follows from it, and says what is missing. base is
// what a relative path is relative to.
func (iso *ISO) locate(location, base string) []*Error {
	if location == "" {
		return []*Error{{Msg: "has no url", Hint: "add url: an http or https URL, or the path of a local file"}}
	}
	u, err := url.Parse(location)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		iso.URL = location
		if iso.Filename == "" {
			iso.Filename = path.Base(u.Path)
		}
		if iso.SHA256 == "" && iso.ChecksumURL == "" {
			return []*Error{{
				Msg:  "has no checksum",
				Hint: "add checksum: sha256:… or checksum_url: the URL of its SHA256SUMS file, so that a plan knows the ISO without a download",
			}}
		}
		if fileName(iso.Filename) != nil || iso.Filename == "/" {
			return []*Error{{Msg: "has a url without a file name", Hint: "add filename"}}
		}
		return nil
	case err == nil && u.Scheme == "file" && strings.HasPrefix(u.Path, "/"):
		location = u.Path
	case err == nil && u.Scheme != "":
		return []*Error{{Msg: "has a url that is neither http, https, file:/// nor a path"}}
	}
	if iso.Path, err = expand(location, base); err != nil {
		return []*Error{{Msg: "has a path that cannot be used", Err: err}}
	}
	if iso.Filename == "" {
		iso.Filename = filepath.Base(iso.Path)
	}
	return nil
}

// NewISO is an ISO given inline: location is an http or https URL, a file URL or a path, relative to workDir.
// sha256 ("sha256:" and 64 digits), checksumURL and filename may be empty as in the catalog. The error is an Errors
// whose Field is the catalog's name for the value: "url", "checksum", "checksum_url", "filename".
func NewISO(location, sha256, checksumURL, filename, workDir string) (ISO, error) {
	iso := ISO{ChecksumURL: checksumURL, Filename: filename}
	var errs Errors
	for _, f := range []struct {
		field, value string
		rule         rule[string]
	}{
		{"checksum", sha256, checksum},
		{"checksum_url", checksumURL, webURL},
		{"filename", filename, fileName},
	} {
		if e := orEmpty(f.rule)(f.value); e != nil {
			e.Field = f.field
			errs = append(errs, e)
		}
	}
	iso.SHA256 = strings.ToLower(strings.TrimPrefix(sha256, "sha256:"))
	for _, e := range iso.locate(location, workDir) {
		e.Field = "url"
		errs = append(errs, e)
	}
	return iso, errs.orNil()
}

// chooseISO follows the request, then the profile's iso, then takes the only ISO there is for the architecture.
func (c *Config) chooseISO(r Request, l *layer, arch host.Arch) (ISO, *Error) {
	if r.ISO != nil {
		iso := *r.ISO
		if iso.Arch != "" && iso.Arch != arch {
			return iso, &Error{Field: "iso", Msg: fmt.Sprintf("the ISO is for %s, the image for %s", iso.Arch, arch)}
		}
		iso.Arch = arch
		return iso, nil
	}
	if l.ISO != nil && *l.ISO != "" {
		entries, ok := c.isos[*l.ISO]
		iso, fits := entries.forArch(arch)
		switch {
		case !ok:
			return ISO{}, l.fault("iso", &Error{
				Msg: fmt.Sprintf("no ISO %q in isos.d", *l.ISO), Hint: suggest(*l.ISO, slices.Collect(maps.Keys(c.isos))),
			})
		case !fits:
			return ISO{}, l.fault("iso", &Error{
				Msg:  fmt.Sprintf("ISO %q is for %s, the image for %s", *l.ISO, entries.archs(), arch),
				Hint: "name an ISO of the right architecture, add one to its architectures, or leave iso out to have the only one chosen",
			})
		}
		return iso, nil
	}
	return c.onlyISO(r, arch)
}

// onlyISO never guesses: the first of several would silently change with the next file in isos.d.
func (c *Config) onlyISO(r Request, arch host.Arch) (ISO, *Error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.isos)) {
		if _, fits := c.isos[name].forArch(arch); fits {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 1:
		iso, _ := c.isos[names[0]].forArch(arch)
		return iso, nil
	case len(names) == 0 && r.NoISO:
		return ISO{}, nil
	case len(names) == 0:
		return ISO{}, &Error{
			Field: "iso", Msg: fmt.Sprintf("no ISO for %s in isos.d", arch),
			Hint: "add one with url, checksum and architecture",
		}
	}
	return ISO{}, &Error{
		Field: "iso", Msg: fmt.Sprintf("several ISOs for %s: %s", arch, strings.Join(names, ", ")),
		Hint: "set iso to one of them",
	}
}
