package preseed

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"unicode"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Values are the data of a template, which sees them as its dot.
type Values struct {
	Hostname, Domain           string
	Username, Fullname         string
	PasswordHash               string // crypt(3) hash, "!" or "" for an account without a password
	Locale, Keyboard, Timezone string // "en_US.UTF-8", "us", "Etc/UTC"
	MirrorHost, MirrorPath     string // "" leaves the installer's default
	HTTPProxy                  string // URL, "" for none; may hold credentials
	PartitioningMethod         string // "regular", "lvm", "crypto"; "" leaves it to the template
	PartitioningRecipe         string // "atomic", "home", …
	Tasksel                    string // tasks, comma separated; "" for none
	Packages                   []string
	GrubDevice                 string
	AuthorizedKeysURL          string
	Firmware                   string // the installer's, "bios" or "uefi"; also "uefi" where the image will boot by "uefi-secure"
	Arch                       host.Arch
	Disk                       string // the guest's disk, as "/dev/vda"
	InstallURL                 string // where the guest fetches the post-install script, known once the server runs
	ReportURL                  string // where Ubuntu's installer posts its events, and
	LogURL                     string // below which it posts its logs when it has failed, with a slash at its end
}

// freeText are the fields that may hold spaces and quotes. All others are single words, which templates put between
// single quotes in shell commands.
var freeText = map[string]bool{"Fullname": true, "Tasksel": true, "PartitioningRecipe": true, "GrubDevice": true}

// locked is a password field that no password matches; see crypt(5).
const locked = "!"

// WithoutSecrets is v without what differs from build to build or must not be seen: the rendering of it can be
// shown, and be part of a cache key. It is the same whether a password is set or not.
func (v Values) WithoutSecrets() Values {
	v.PasswordHash = locked
	v.HTTPProxy, v.InstallURL, v.ReportURL, v.LogURL = "", "", "", ""
	return v
}

// plain prints as a Values would if it did not hide its secrets.
type plain Values

// LogValue keeps secrets out of logs.
func (v Values) LogValue() slog.Value { return slog.AnyValue(plain(v.WithoutSecrets())) }

// Format keeps secrets out of messages, whatever the verb.
func (v Values) Format(s fmt.State, verb rune) {
	fmt.Fprintf(s, fmt.FormatString(s, verb), plain(v.WithoutSecrets()))
}

// check refuses what would leave its place: a line break or a backslash, which joins lines, begins an answer of
// its own; a space or a quote in a word ends it. The error names the field, never its value.
func (v Values) check() error {
	fields := reflect.ValueOf(v)
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		if field := fields.Field(i); field.Kind() == reflect.String {
			if err := checkValue(field.String(), freeText[name]); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
		}
	}
	for i, p := range v.Packages {
		err := checkValue(p, false)
		if p == "" {
			err = errors.New("must not be empty")
		}
		if err != nil {
			return fmt.Errorf("value Packages[%d] %w", i, err)
		}
	}
	return nil
}

func checkValue(s string, free bool) error {
	switch {
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("must not hold a line break or another control character")
	case strings.Contains(s, `\`):
		return errors.New("must not hold a backslash")
	case !free && strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\'' || r == '"' }):
		return errors.New("must not hold a space or a quote")
	}
	return nil
}
