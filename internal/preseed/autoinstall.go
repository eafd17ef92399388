package preseed

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// The documents of cloud-init's NoCloud data source, by the names it asks for them. The last two may be empty, but a
// client that gets no answer for one asks again for seconds.
const (
	UserData      = "user-data"
	MetaData      = "meta-data"
	VendorData    = "vendor-data"
	NetworkConfig = "network-config"
)

// Autoinstall are the answers to Ubuntu's installer, subiquity: what the values come to, with a document of the user's
// own merged over it. Maps merge, scalars and lists replace; only the user's late-commands and error-commands come
// before the build's, which are always there.
//
// Source: https://canonical-subiquity.readthedocs-hosted.com/en/latest/reference/autoinstall-reference.html
type Autoinstall struct {
	Values Values
	// Over is YAML as CheckAutoinstall accepts it, empty for none.
	Over []byte
}

// Documents are the NoCloud documents by name. They hold the account's password hash and whatever secrets the user's
// document holds. Errors: a value that cannot stand in a document; what CheckAutoinstall or subiquity's rules refuse.
// No error holds a value of Values.
func (a Autoinstall) Documents() (map[string][]byte, error) {
	doc, err := a.merged()
	if err != nil {
		return nil, err
	}
	userData, err := cloudConfig(doc)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		UserData: userData, MetaData: []byte("instance-id: pim-install\n"), VendorData: nil, NetworkConfig: nil,
	}, nil
}

// Shown is the user-data without what differs from build to build or must not be seen: it can be shown, and be part of
// a cache key. It is the same whether a password is set or not, and whatever the secrets in the user's document are.
func (a Autoinstall) Shown() ([]byte, error) {
	a.Values = a.Values.WithoutSecrets()
	doc, err := a.merged()
	if err != nil {
		return nil, err
	}
	eachSecret(doc, func(n *yaml.Node) { n.SetString(locked) })
	return cloudConfig(doc)
}

// Secrets are the values that must not stand in a log of the installer, longest first.
func (a Autoinstall) Secrets() []string { return secretsOf(a) }

func cloudConfig(doc *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("#cloud-config\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(map[string]*yaml.Node{"autoinstall": doc}); err != nil {
		return nil, fmt.Errorf("cannot write the autoinstall data: %w", err)
	}
	return out.Bytes(), nil
}

// merged is the whole autoinstall mapping, checked.
func (a Autoinstall) merged() (*yaml.Node, error) {
	if err := a.Values.check(); err != nil {
		return nil, fmt.Errorf("cannot render the autoinstall data: %w", err)
	}
	var doc yaml.Node
	if err := doc.Encode(documentOf(a.Values)); err != nil {
		return nil, fmt.Errorf("cannot render the autoinstall data: %w", err)
	}
	forget(&doc)
	if len(a.Over) > 0 {
		over, err := parseOver(a.Over)
		if err != nil {
			return nil, err
		}
		makeRoom(&doc, over)
		merge(&doc, over)
	}
	if err := addBuild(&doc, a.Values); err != nil {
		return nil, err
	}
	if errs := checkDocument(&doc, true); len(errs) > 0 {
		return nil, errs
	}
	return &doc, nil
}

// The document, as far as a profile's fields decide it.
type (
	document struct {
		Version  int      `yaml:"version"`
		Locale   string   `yaml:"locale"`
		Keyboard keyboard `yaml:"keyboard"`
		Timezone string   `yaml:"timezone"`
		Identity identity `yaml:"identity"`
		SSH      ssh      `yaml:"ssh"`
		Storage  storage  `yaml:"storage"`
		Apt      apt      `yaml:"apt"`
		Packages []string `yaml:"packages,omitempty"`
		Updates  string   `yaml:"updates"`
	}
	keyboard struct {
		Layout  string `yaml:"layout"`
		Variant string `yaml:"variant,omitempty"`
	}
	identity struct {
		Realname string `yaml:"realname"`
		Username string `yaml:"username"`
		Hostname string `yaml:"hostname"`
		Password string `yaml:"password"`
	}
	ssh struct {
		InstallServer bool `yaml:"install-server"`
		AllowPassword bool `yaml:"allow-pw"`
	}
	storage struct {
		Layout layout           `yaml:"layout"`
		Swap   map[string]int64 `yaml:"swap"`
	}
	layout struct {
		Name         string            `yaml:"name"`
		Match        map[string]string `yaml:"match"`
		SizingPolicy string            `yaml:"sizing-policy,omitempty"`
	}
	apt struct {
		Primary    []primary `yaml:"primary,omitempty"`
		GeoIP      bool      `yaml:"geoip"`
		Fallback   string    `yaml:"fallback"`
		HTTPProxy  string    `yaml:"http_proxy,omitempty"`
		HTTPSProxy string    `yaml:"https_proxy,omitempty"`
	}
	primary struct {
		Arches []string `yaml:"arches,flow"`
		URI    string   `yaml:"uri"`
	}
)

// documentOf says what debian.cfg.tmpl says of the same values: one file system over the disk, no swap, no task but
// openssh-server, all updates, no password for SSH.
func documentOf(v Values) document {
	d := document{
		Version: 1, Locale: v.Locale, Keyboard: keyboardOf(v.Keyboard), Timezone: v.Timezone,
		Identity: identity{v.Fullname, v.Username, v.Hostname, cmp.Or(v.PasswordHash, locked)},
		SSH:      ssh{InstallServer: true},
		Storage:  storage{Layout: layout{Name: "direct", Match: map[string]string{"path": v.Disk}}, Swap: map[string]int64{"size": 0}},
		Apt:      aptOf(v),
		Packages: v.Packages,
		Updates:  "all",
	}
	if v.PartitioningMethod == "lvm" {
		d.Storage.Layout.Name, d.Storage.Layout.SizingPolicy = "lvm", "all" // the default leaves half of the disk alone
	}
	return d
}

// aptOf names the mirror in curtin's format, which every version of subiquity knows; mirror-selection is silently
// ignored by those of 2022. An image is the same wherever it is built: no country mirror, and no system made from the
// medium alone because the mirror was down; only where subiquity sees no default route it asks no mirror, whatever fallback
// says. The proxy is apt's own, as in a preseed: subiquity's proxy key would also
// send its reports to us through it.
func aptOf(v Values) apt {
	a := apt{Fallback: "abort", HTTPProxy: v.HTTPProxy, HTTPSProxy: v.HTTPProxy}
	if v.MirrorHost != "" {
		path := cmp.Or(v.MirrorPath, map[bool]string{true: "/ubuntu-ports", false: "/ubuntu"}[v.Arch == host.ARM64])
		a.Primary = []primary{{Arches: []string{"default"}, URI: "http://" + v.MirrorHost + path}}
	}
	return a
}

var layoutVariant = regexp.MustCompile(`^(\w+)\((.+)\)$`)

// keyboardOf reads a keymap as Debian's installer has it: "de", "de(nodeadkeys)", and "dvorak" for that of the US.
func keyboardOf(keymap string) keyboard {
	if keymap == "dvorak" {
		return keyboard{"us", "dvorak"}
	}
	if m := layoutVariant.FindStringSubmatch(keymap); m != nil {
		return keyboard{m[1], m[2]}
	}
	return keyboard{Layout: keymap}
}

// reportName is the build's destination among those of the reporting key.
const reportName = "pim"

// addBuild adds what the build itself needs: the post-install script, the installer's reports and, when it fails, its
// logs.
func addBuild(doc *yaml.Node, v Values) error {
	for _, add := range []struct {
		key   string
		value any
	}{
		{"late-commands", []string{lateCommand(v)}},
		{"error-commands", []string{errorCommand(v)}},
		{"reporting", map[string]any{reportName: map[string]string{"type": "webhook", "endpoint": v.ReportURL}}},
	} {
		var value yaml.Node
		if err := value.Encode(add.value); err != nil {
			return fmt.Errorf("cannot render the autoinstall data: %w", err)
		}
		forget(&value)
		switch there := child(doc, add.key); {
		case there == nil:
			put(doc, add.key, &value)
		case there.Kind == yaml.SequenceNode:
			there.Content = append(there.Content, value.Content...)
		default:
			merge(there, &value)
		}
	}
	return nil
}

// lateCommand runs the post-install script inside the new system, which is mounted at /target then, as
// preseed/late_command does under Debian's installer. It fails when the script does, and subiquity then fails as well.
// Locale and time zone are among the settings because subiquity leaves them to the first boot.
func lateCommand(v Values) string {
	return strings.NewReplacer(
		"@URL@", quote(v.InstallURL),
		"@ENV@", strings.Join([]string{
			"PIM_USERNAME=" + quote(v.Username), "PIM_FULLNAME=" + quote(v.Fullname), "PIM_HOSTNAME=" + quote(v.Hostname),
			"PIM_DOMAIN=" + quote(v.Domain), "PIM_LOCALE=" + quote(v.Locale), "PIM_TIMEZONE=" + quote(v.Timezone),
			"PIM_AUTHORIZED_KEYS_URL=" + quote(v.AuthorizedKeysURL),
		}, " "),
	).Replace(`(
    umask 077
    http_proxy= wget -q -O /target/root/pim-install.sh @URL@ ||
        http_proxy= curl -fsS -o /target/root/pim-install.sh @URL@
) || exit 1
curtin in-target --target=/target -- env @ENV@ sh /root/pim-install.sh
status=$?
shred -n 1 -u /target/root/pim-install.sh
exit $status
`)
}

// errorCommand sends the logs that help, a file at a time and at most a mebibyte of each, and tells the end. It leaves
// out what holds the answers themselves, such as autoinstall-user-data.
func errorCommand(v Values) string {
	return strings.ReplaceAll(`url=@URL@
export http_proxy=
send() { # NAME, content on standard input
    tail -c 1048576 >/run/pim-log
    wget -q -O /dev/null --post-file=/run/pim-log "$url$1" || curl -fsS -o /dev/null --data-binary @/run/pim-log "$url$1"
}
for f in /var/log/installer/*.log /var/log/installer/*/*.log /var/log/cloud-init*.log; do
    [ ! -f "$f" ] || send "$(echo "${f#/var/log/}" | tr -c 'A-Za-z0-9.\n-' _)" <"$f"
done
journalctl -b --no-pager 2>/dev/null | send journal.log
echo failed | send `+LogsEnd+`
`, "@URL@", quote(v.LogURL))
}

// LogsEnd is the name below LogURL that the installer posts to when it has failed and sent all its logs.
const LogsEnd = "end"
