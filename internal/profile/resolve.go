package profile

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Request asks for one image's settings.
type Request struct {
	Name     string    // profile, "" for the defaults alone
	Arch     host.Arch // "" for the profile's only architecture, or HostArch when it allows several
	HostArch host.Arch // preferred when Arch is empty
	ISO      *ISO      // given inline, instead of the catalog's; see NewISO
	NoISO    bool      // a catalog without an ISO for the architecture is no fault: Resolved.ISO is then zero
	Override Profile   // wins over the profile
}

// Resolve merges the embedded defaults of the installer, pim.yml, the profile "default", the profile and the override, in
// this order, and follows every reference. It fails with Errors; those of the request itself have no File.
func (c *Config) Resolve(r Request) (*Resolved, error) {
	said, errs := c.said(r)
	if len(errs) > 0 {
		return nil, errs
	}
	l := c.merge(Debian, said)
	arch, e := chooseArch(r, l)
	if e != nil {
		return nil, Errors{e}
	}
	var base, iso ISO
	var installer string
	if l.Base != nil {
		base, errs = l.settleBase(arch)
	} else {
		if iso, e = c.chooseISO(r, l, arch); e != nil { // no installer has a default for it
			errs = append(errs, e)
		}
		if installer, e = chooseInstaller(said, iso); e != nil {
			errs = append(errs, said.fault("iso", e))
		}
		l = c.merge(installer, said)
		errs = append(errs, cannotSay(installer, said)...)
	}
	res := l.plain()
	res.Name, res.Arch, res.ISO, res.Base = r.Name, arch, iso, base
	res.Installer, res.InstallerSaid = installer, said.Installer != nil
	if res.Firmware, e = chooseFirmware(l, arch); e != nil {
		errs = append(errs, e)
	}
	errs = append(errs, c.follow(l, res)...)
	if len(errs) > 0 {
		return nil, errs
	}
	return res, nil
}

// merge lays what a person said over the defaults of an installer.
func (c *Config) merge(installer string, said *layer) *layer {
	l := &layer{}
	l.put(c.embedded[defaultProfile])
	l.put(c.embedded[installer])
	l.put(*said)
	return l
}

// said is everything but the defaults.
func (c *Config) said(r Request) (*layer, Errors) {
	l := &layer{}
	l.put(c.base)
	if r.Name != "" && r.Name != defaultProfile {
		p, ok := c.profiles[r.Name]
		if !ok {
			return nil, Errors{{
				Field: "name", Msg: fmt.Sprintf("no profile %q in profiles.d", r.Name), Hint: suggest(r.Name, c.Profiles()),
			}}
		}
		l.put(p)
	}
	over := layer{Profile: r.Override}
	errs := over.check()
	l.put(over)
	if r.ISO != nil {
		l.Base = nil
	}
	return l, errs
}

func chooseArch(r Request, l *layer) (host.Arch, *Error) {
	allowed := l.Architectures
	switch {
	case len(allowed) == 0:
		return "", l.fault("architectures", &Error{Msg: "is empty", Hint: "name x86_64, arm64 or both"})
	case r.Arch != "" && slices.Contains(allowed, r.Arch):
		return r.Arch, nil
	case r.Arch != "" && validArch(r.Arch) != nil:
		e := validArch(r.Arch)
		e.Field = "arch"
		return "", e
	case r.Arch != "":
		return "", &Error{
			Field: "arch", Msg: fmt.Sprintf("%s is not among the profile's architectures, %v", r.Arch, allowed),
			Hint: "choose one of them, or add it to the profile",
		}
	case len(allowed) == 1:
		return allowed[0], nil
	case slices.Contains(allowed, r.HostArch):
		return r.HostArch, nil
	}
	return "", &Error{Field: "arch", Msg: fmt.Sprintf("the profile allows several architectures, %v", allowed), Hint: "set arch to one of them"}
}

// chooseFirmware: an x86_64 image boots by BIOS unless told otherwise, as every hypervisor's default machine does; arm64 has only UEFI.
func chooseFirmware(l *layer, arch host.Arch) (string, *Error) {
	said := value(l.Firmware)
	if arch == host.ARM64 {
		if said == "bios" {
			return "", l.fault("firmware", &Error{Msg: "arm64 has no bios", Hint: `set firmware to "uefi" or leave it out`})
		}
		return cmp.Or(said, "uefi"), nil
	}
	return cmp.Or(said, "bios"), nil
}

// plain copies every value; what nothing says is zero.
func (p *Profile) plain() *Resolved {
	return &Resolved{
		Architectures: p.Architectures, BootArgs: p.BootArgs,
		Username: value(p.Username), Password: value(p.Password), PasswordVersion: value(p.PasswordVersion),
		Fullname: value(p.Fullname), Locale: value(p.Locale), Keyboard: value(p.Keyboard), Timezone: value(p.Timezone),
		Hostname: value(p.Hostname), Domain: value(p.Domain),
		MirrorHost: value(p.MirrorHost), MirrorPath: value(p.MirrorPath), HTTPProxy: value(p.HTTPProxy),
		PartitioningMethod: value(p.PartitioningMethod), PartitioningRecipe: value(p.PartitioningRecipe),
		GrubDevice: value(p.GrubDevice), Tasksel: value(p.Tasksel), Packages: p.Packages,
		AuthorizedKeysURL: value(p.AuthorizedKeysURL), TPM: value(p.TPM), Answers: value(p.Answers),
		DiskSize: value(p.DiskSize), Memory: value(p.Memory), CPUs: value(p.CPUs),
		Verify: value(p.Verify), OnError: value(p.OnError),
		InstallTimeout: value(p.InstallTimeout), SSHTimeout: value(p.SSHTimeout),
		ScriptTimeout: value(p.ScriptTimeout), StallTimeout: value(p.StallTimeout),
	}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// LogValue names the profile and nothing it holds.
func (r *Resolved) LogValue() slog.Value {
	return slog.GroupValue(slog.String("profile", r.Name), slog.String("arch", string(r.Arch)))
}
