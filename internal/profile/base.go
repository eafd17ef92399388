package profile

import (
	"cmp"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// baseField is a profile's base: a disk image to begin with instead of an installer's ISO.
func baseField(p **ISO) field {
	return field{name: "base", value: reflect.ValueOf(p).Elem(), check: func(string, func(string, *Error)) {}, decode: func(d *decoder, n *yaml.Node, path string) {
		var base ISO
		var source string
		faults := len(*d.errs)
		d.object(n, path, []field{
			plain("source", &source, text),
			plain("sha256", &base.SHA256, text, matches(`(?:sha256:)?[0-9a-fA-F]{64}`, "64 hexadecimal digits")),
			plain("checksum_url", &base.ChecksumURL, text, webURL),
			plain("filename", &base.Filename, text, fileName),
		})
		base.SHA256 = strings.ToLower(strings.TrimPrefix(base.SHA256, "sha256:"))
		if e := base.locateBase(source, filepath.Dir(d.file)); e != nil && len(*d.errs) == faults {
			d.fail(n, path, e)
		}
		*p = &base
	}}
}

// NewBase is a base image given inline: source is an http or https URL, a file URL or a path, relative to workDir. The
// others may be empty. The error is an *Error with the field "base".
func NewBase(source, sha256, checksumURL, filename, workDir string) (*ISO, error) {
	base := &ISO{SHA256: sha256, ChecksumURL: checksumURL, Filename: filename}
	if e := base.locateBase(source, workDir); e != nil {
		e.Field = "base"
		return nil, e
	}
	return base, nil
}

// locateBase is locate in the words of a base image.
func (iso *ISO) locateBase(source, dir string) *Error {
	if source == "" {
		return &Error{Msg: "has no source", Hint: "add source: an http or https URL, or the path of a local file"}
	}
	faults := iso.locate(source, dir)
	if len(faults) == 0 {
		return nil
	}
	if iso.URL != "" && iso.SHA256 == "" && iso.ChecksumURL == "" {
		faults[0].Hint = "add sha256, or checksum_url: the URL of its SHA256SUMS file, so that a plan knows the image without a download"
	}
	return faults[0]
}

// installerOnly are the settings that only an installer can put into effect.
var installerOnly = map[string]string{
	"installer":           "there is none",
	"preseed":             "there is no installer to answer",
	"autoinstall":         "there is no installer to answer",
	"answers":             "there is no installer to answer",
	"install":             "there is no installer to run it; use scripts",
	"boot_args":           "there is no installer to boot",
	"partitioning_method": "its partitions are what they are",
	"partitioning_recipe": "its partitions are what they are",
	"grub_device":         "its boot loader is installed",
	"tasksel":             "there is no installer to select them; use packages",
	"mirror_host":         "it brings its package sources along; change them in a script",
	"mirror_path":         "it brings its package sources along; change them in a script",
}

// imagesOwn are the settings that a base image has already. The built-in defaults of them are for installed systems.
var imagesOwn = []string{"username", "fullname", "locale", "keyboard", "timezone"}

// embeddedPrefix begins the name of a file that is part of the provider.
const embeddedPrefix = "embedded:"

// said tells whether somebody set a value, and not the built-in defaults. "" and an empty list ask for nothing.
func (l *layer) said(path string, f field) bool {
	v := f.value
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 {
		return false
	}
	at, known := l.at[path]
	return !known || !strings.HasPrefix(at.file, embeddedPrefix)
}

// settleBase takes the base image of a layer: settings that only an installer knows are faults, and what nobody said is
// left to the image.
func (l *layer) settleBase(arch host.Arch) (ISO, Errors) {
	var errs Errors
	said := map[string]bool{}
	leaves("", l.fields(), func(path string, f field) {
		said[path] = l.said(path, f)
		if why, ok := installerOnly[path]; ok && said[path] {
			errs = append(errs, l.fault(path, &Error{Msg: "cannot be had with a base image: " + why, Hint: "leave it out, or use an iso"}))
		}
	})
	for _, path := range []string{"fullname", "password", "password_version", "authorized_keys_url"} {
		if said[path] && !said["username"] {
			errs = append(errs, l.fault(path, &Error{
				Msg: "is for an account that nothing names", Hint: "set username: with a base image there is none by default",
			}))
		}
	}
	leaves("", l.fields(), func(path string, f field) {
		if !said[path] && (installerOnly[path] != "" || slices.Contains(imagesOwn, path)) {
			f.value.SetZero()
		}
	})
	base := *l.Base
	base.Arch = arch
	base.Name = cmp.Or(base.Name, base.Filename)
	return base, errs
}

// oneSource has what over says of its iso or base replace the other one below it.
func (l *layer) oneSource(over layer) {
	switch {
	case over.Base != nil:
		l.ISO = nil
		delete(l.at, "iso")
	case over.ISO != nil:
		l.Base = nil
	}
}

// checkSource refuses an entry with both. n is where it stands.
func (l *layer) checkSource(d *decoder) {
	if l.Base == nil || l.ISO == nil {
		return
	}
	e := l.fault("base", &Error{Msg: "cannot be given together with iso", Hint: "leave one of them out"})
	*d.errs = append(*d.errs, e)
}
