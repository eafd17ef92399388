package profile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
)

// The installers: debian-installer, which reads a preseed, and Ubuntu's subiquity, which reads autoinstall data.
const (
	Debian = "debian"
	Ubuntu = "autoinstall"
)

// seedAnswers are answers on a volume of their own.
const seedAnswers = "seed"

// chooseInstaller takes what the profile says, then what the ISO's entry says, then what a local ISO holds. An ISO with
// a URL is never looked into: a plan must come to the same before and after the download.
func chooseInstaller(said *layer, iso ISO) (string, *Error) {
	switch {
	case said.Installer != nil:
		return *said.Installer, nil
	case iso.Installer != "":
		return iso.Installer, nil
	case iso.Path == "":
		return Debian, nil
	}
	casper, err := holdsCasper(iso.Path)
	switch {
	case err != nil: // a guess would call an image stale whose ISO is only out of reach
		return Debian, &Error{
			Field: "iso", Msg: "cannot look which installer is on it", Err: err,
			Hint: `see that the file can be read, or set installer ("debian" or "autoinstall") in its entry in isos.d, in the profile or in the image`,
		}
	case casper:
		return Ubuntu, nil
	}
	return Debian, nil
}

// holdsCasper tells whether a file is one of Ubuntu's live ISOs. Errors: what keeps it from being read; what it else is, its
// reader says.
func holdsCasper(file string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	inst, err := media.Open(f, info.Size())
	return err == nil && inst.Kind == media.UbuntuCasper, nil
}

// inexpressible is a field that an installer has no answer for.
type inexpressible struct {
	field string
	but   []string // values that ask for nothing
	hint  string
}

var cannot = map[string][]inexpressible{
	Debian: {
		{"autoinstall", []string{""}, "add lines to a template of your own in preseeds.d instead"},
		{"answers", []string{"http"}, "Debian's installer gets its answers over HTTP alone; leave it out"},
	},
	Ubuntu: {
		{"preseed", []string{""}, "put what the fields cannot say into a document in autoinstalls.d, and name that in autoinstall"},
		{"tasksel", []string{""}, "name the packages in packages"},
		{"grub_device", []string{""}, "the boot loader goes to the disk installed to; leave it out"},
		{"partitioning_recipe", []string{"", "root"}, "root is what it does: one file system over the disk; for another layout set storage in an autoinstall document"},
	},
}

var installerNames = map[string]string{Debian: "Debian's installer", Ubuntu: "Ubuntu's installer"}

// cannotSay refuses each field that a person set and the installer cannot express: it is never ignored.
func cannotSay(installer string, said *layer) Errors {
	var errs Errors
	leaves("", said.fields(), func(path string, f field) {
		i := slices.IndexFunc(cannot[installer], func(c inexpressible) bool { return c.field == path })
		if i < 0 || f.value.IsZero() {
			return
		}
		c := cannot[installer][i]
		if v := f.value.Elem().String(); !slices.Contains(c.but, v) {
			errs = append(errs, said.fault(path, &Error{Msg: fmt.Sprintf("%s cannot do %q", installerNames[installer], v), Hint: c.hint}))
		}
	})
	if installer == Ubuntu && said.Username != nil && slices.Contains(strings.Fields(reservedByUbuntu), *said.Username) {
		errs = append(errs, said.fault("username", &Error{Msg: fmt.Sprintf("%q is a name that Ubuntu's installer refuses", *said.Username)}))
	}
	return errs
}

// reservedByUbuntu are names that Ubuntu's installer refuses beside Debian's. Source: subiquity's reserved-usernames.
const reservedByUbuntu = `admin alias asterisk bind ceph crontab cupsys dcc dhcp dictd dnsmasq dovecot fetchmail firebird
	ftn gdm gnats grsec-proc grsec-sock-all grsec-sock-clt grsec-sock-srv grsec-tpe haclient hacluster haldaemon hplilp
	identd jwhois klog libvirt-qemu lpadmin maas mysql mythtv netdev opensrf powerdev qmail qmaild qmaill qmailp qmailq
	qmailr qmails radvd saned sbuild scanner sgx slocate slurm ssl-cert sslwrap statd tac-plus telnetd tftpd vchkpw
	vpopmail`

// document reads and checks the document a profile names, if it names one.
func (c *Config) document(l *layer, res *Resolved) Errors {
	ref := value(l.Autoinstall)
	if ref == "" {
		return nil
	}
	f, e := c.documentFile(ref)
	if e != nil {
		return Errors{l.fault("autoinstall", e)}
	}
	body, e := f.read()
	if e != nil {
		return Errors{l.fault("autoinstall", &Error{Msg: "cannot read " + f.path, Err: e.Err})}
	}
	res.Autoinstall = Document{Name: ref, Path: f.path, Body: string(body)}
	var wrong preseed.KeyErrors
	if !errors.As(preseed.CheckAutoinstall(body), &wrong) {
		return nil
	}
	var errs Errors
	for _, w := range wrong {
		errs = append(errs, &Error{File: f.path, Line: w.Line, Column: w.Column, Field: w.Key, Of: "autoinstall", Msg: w.Msg})
	}
	return errs
}

// documentFile finds "lean" or "lean.yml" in autoinstalls.d, and any name with a slash as a path.
func (c *Config) documentFile(ref string) (file, *Error) {
	if strings.Contains(ref, "/") {
		return c.outside(ref)
	}
	f, ok := c.highest("autoinstalls.d", ref, ".yml", ".yaml")
	if !ok {
		return f, &Error{
			Msg:  fmt.Sprintf("no document %q in autoinstalls.d", ref),
			Hint: suggest(ref, c.names("autoinstalls.d", ".yml", ".yaml")),
		}
	}
	return f, nil
}
