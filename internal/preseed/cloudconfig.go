package preseed

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// seedConfig is what cloud-init does at the first boot of a base image; what is empty is left as the image has it.
// Source: https://cloudinit.readthedocs.io/en/latest/reference/modules.html
type seedConfig struct {
	Bootcmd          [][]string  `yaml:"bootcmd,omitempty"`
	Hostname         string      `yaml:"hostname,omitempty"`
	FQDN             string      `yaml:"fqdn,omitempty"`
	PreserveHostname bool        `yaml:"preserve_hostname"`
	Timezone         string      `yaml:"timezone,omitempty"`
	Locale           string      `yaml:"locale,omitempty"`
	Keyboard         *keyboard   `yaml:"keyboard,omitempty"`
	Users            []cloudUser `yaml:"users"` // an empty list: the image's default user belongs to its clones
	SSHDeleteKeys    bool        `yaml:"ssh_deletekeys"`
	SSHGenKeyTypes   []string    `yaml:"ssh_genkeytypes"`
	APT              cloudAPT    `yaml:"apt"`
	PackageUpdate    bool        `yaml:"package_update,omitempty"`
	Packages         []string    `yaml:"packages,omitempty"`
	Runcmd           [][]string  `yaml:"runcmd,omitempty"`
}

type cloudAPT struct {
	PreserveSourcesList bool `yaml:"preserve_sources_list"`
}

type cloudUser struct {
	Name           string   `yaml:"name"`
	Gecos          string   `yaml:"gecos,omitempty"`
	Groups         []string `yaml:"groups"`
	Shell          string   `yaml:"shell"`
	LockPasswd     bool     `yaml:"lock_passwd"`
	HashedPassword string   `yaml:"hashed_passwd,omitempty"`
	Sudo           string   `yaml:"sudo,omitempty"`
}

// fetchKeys gives an account the authorized keys that are at a URL, as the installer's post-install script does.
const fetchKeys = `set -eu
case $2 in https:*) apt-get install -q -y --no-install-recommends ca-certificates ;; esac
home=$(getent passwd "$1" | cut -d: -f6)
install -d -m 700 -o "$1" -g "$1" "$home/.ssh"
/usr/lib/apt/apt-helper download-file "$2" "$home/.ssh/authorized_keys"
chown "$1:$1" "$home/.ssh/authorized_keys"
chmod 600 "$home/.ssh/authorized_keys"`

// addLocale has Debian's locale-gen know a locale before cloud-init runs it: unlike Ubuntu's, it takes none as an argument.
const addLocale = `set -eu
case $1 in C|C.*|POSIX) exit ;; esac
known=/usr/share/i18n/SUPPORTED
line=$(awk -v name="$1" '$1 == name { print; exit }' $known) && [ -n "$line" ] ||
    { echo "the locale $1 is not in $known, a file of the package locales" >&2; exit 1; }
grep -q -x -F "$line" /etc/locale.gen || echo "$line" >>/etc/locale.gen`

// CloudConfig renders the user-data of a base image's boot. access is a shell script that is run before anything else,
// and lets the build in; "" leaves it out. Of v only what a base image can take over is used, and HTTPProxy is not: it
// is access's business.
func CloudConfig(v Values, access string) ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("cannot render the base image's seed: %w", err)
	}
	c := seedConfig{
		Hostname: v.Hostname, Timezone: v.Timezone, Locale: localeOf(v.Locale), Users: []cloudUser{},
		SSHGenKeyTypes: []string{"ed25519"}, // access has put it there: no other is made
		APT:            cloudAPT{PreserveSourcesList: true},
		PackageUpdate:  len(v.Packages) > 0, Packages: v.Packages,
	}
	if access != "" {
		c.Bootcmd = append(c.Bootcmd, []string{"sh", "-c", access})
	}
	if c.Locale != "" {
		c.Bootcmd = append(c.Bootcmd, []string{"sh", "-c", addLocale, "sh", c.Locale})
	}
	if v.Domain != "" {
		c.FQDN = v.Hostname + "." + v.Domain
	}
	if v.Keyboard != "" {
		k := keyboardOf(v.Keyboard)
		c.Keyboard = &k
	}
	if v.Username != "" {
		c.Users = append(c.Users, account(v))
	}
	if v.AuthorizedKeysURL != "" {
		c.PackageUpdate = true
		c.Runcmd = [][]string{{"sh", "-c", fetchKeys, "sh", v.Username, v.AuthorizedKeysURL}}
	}
	out := bytes.NewBufferString("#cloud-config\n")
	enc := yaml.NewEncoder(out)
	enc.SetIndent(2) // with its own 4, no other parser reads a text that begins with a line break
	if err := errors.Join(enc.Encode(c), enc.Close()); err != nil {
		return nil, fmt.Errorf("cannot render the base image's seed: %w", err)
	}
	return out.Bytes(), nil
}

// localeOf adds the character set that a name without one means to the installers.
func localeOf(name string) string {
	if strings.Contains(name, "_") && !strings.ContainsAny(name, ".@") {
		name += ".UTF-8"
	}
	return name
}

// account is the user that the installer would have made. Without a password sudo has nothing to ask for; the account
// is then opened by keys alone.
func account(v Values) cloudUser {
	u := cloudUser{Name: v.Username, Gecos: v.Fullname, Groups: []string{"sudo"}, Shell: "/bin/bash", LockPasswd: true}
	if v.PasswordHash == "" || v.PasswordHash == locked {
		u.Sudo = "ALL=(ALL:ALL) NOPASSWD:ALL"
	} else {
		u.LockPasswd, u.HashedPassword = false, v.PasswordHash
	}
	return u
}
