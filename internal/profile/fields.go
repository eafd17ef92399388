package profile

import (
	"maps"
	"strings"
)

// fields is the schema of a profile, and where each value goes.
func (p *Profile) fields() []field {
	const label = `[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?`
	hostName := matches(label, "a host name: letters, digits and hyphens, no dot")
	domainName := orEmpty(matches(label+`(?:\.`+label+`)*`, "a domain name"))
	return []field{
		optional("iso", &p.ISO, text),
		baseField(&p.Base),
		optional("installer", &p.Installer, text, oneOf(Debian, Ubuntu)),
		optional("firmware", &p.Firmware, text, oneOf("bios", "uefi", "uefi-secure")),
		optional("tpm", &p.TPM, boolean),
		optional("preseed", &p.Preseed, text),
		optional("autoinstall", &p.Autoinstall, text),
		optional("answers", &p.Answers, text, oneOf("http", seedAnswers)),
		optional("install", &p.Install, text),
		words("boot_args", &p.BootArgs, matches(`\S+`, "one kernel parameter")),

		optional("username", &p.Username, text, userName),
		optional("password", &p.Password, textAs[Secret], oneLineSecret),
		optional("password_version", &p.PasswordVersion, whole),
		optional("fullname", &p.Fullname, text, oneLine),
		optional("locale", &p.Locale, text, matches(`[A-Za-z0-9_.@-]+`, "a locale such as en_US.UTF-8")),
		optional("keyboard", &p.Keyboard, text, matches(`[A-Za-z0-9_()-]+`, "a keyboard layout such as us")),
		optional("timezone", &p.Timezone, text, matches(`[A-Za-z0-9_+/-]+`, "a time zone such as Europe/Berlin")),
		optional("hostname", &p.Hostname, text, hostName),
		optional("domain", &p.Domain, text, domainName),

		optional("mirror_host", &p.MirrorHost, text, orEmpty(matches(`[A-Za-z0-9.:\[\]-]+`, "a host, or host:port"))),
		optional("mirror_path", &p.MirrorPath, text, orEmpty(matches(`/\S*`, "a path that begins with /"))),
		optional("http_proxy", &p.HTTPProxy, text, orEmpty(webURL)),
		optional("partitioning_method", &p.PartitioningMethod, text, oneOf("regular", "lvm")),
		optional("partitioning_recipe", &p.PartitioningRecipe, text, matches(`[a-z0-9_-]+`, "a recipe's name such as atomic")),
		optional("grub_device", &p.GrubDevice, text, orEmpty(matches(`default|/dev/\S+`, `a device such as /dev/vda, or "default"`))),
		optional("tasksel", &p.Tasksel, text, oneLine),
		words("packages", &p.Packages, matches(`[a-z0-9][a-z0-9+.:/=~-]*`, "a package name")),
		optional("authorized_keys_url", &p.AuthorizedKeysURL, text, orEmpty(webURL)),
		list("scripts", &p.Scripts, text, matches(`\S.*`, "a script's name or path")),
		list("architectures", &p.Architectures, textAs, validArch),

		group("build",
			optional("disk_size", &p.DiskSize, size, atLeastGiB),
			optional("memory", &p.Memory, whole, atLeast(256, " (MiB)")),
			optional("cpus", &p.CPUs, whole, atLeast(1, "")),
		),
		optional("verify", &p.Verify, boolean),
		optional("on_error", &p.OnError, text, oneOf("destroy", "keep")),
		optional("install_timeout", &p.InstallTimeout, duration, positive),
		optional("ssh_timeout", &p.SSHTimeout, duration, positive),
		optional("script_timeout", &p.ScriptTimeout, duration, positive),
		optional("stall_timeout", &p.StallTimeout, duration, positive),
	}
}

// layer is a profile with the places its values were written at.
type layer struct {
	Profile
	at map[string]place
}

// put lays over on top of l: what over says wins, scalars and lists whole.
func (l *layer) put(over layer) {
	if l.at == nil {
		l.at = map[string]place{}
	}
	l.oneSource(over)
	said := map[string]bool{}
	below := map[string]field{}
	leaves("", l.fields(), func(path string, f field) { below[path] = f })
	leaves("", over.fields(), func(path string, f field) {
		if !f.value.IsZero() {
			below[path].value.Set(f.value)
			said[path] = true
		}
	})
	maps.DeleteFunc(l.at, func(path string, _ place) bool { return said[listOf(path)] })
	maps.Copy(l.at, over.at)
}

// check gives every fault of values that did not come through a decoder.
func (l *layer) check() Errors {
	var errs Errors
	leaves("", l.fields(), func(path string, f field) {
		f.check(path, func(path string, e *Error) {
			e.Field = path
			errs = append(errs, e)
		})
	})
	return errs
}

// fault is e at the place of a value.
func (l *layer) fault(path string, e *Error) *Error {
	p, ok := l.at[path]
	if !ok {
		p, ok = l.at[listOf(path)] // a word of a string
	}
	if !ok {
		p.field = path
	}
	e.File, e.Line, e.Column, e.Field = p.file, p.line, p.column, p.field
	return e
}

// listOf is the path of the list an item belongs to, and any other path as it is.
func listOf(path string) string {
	path, _, _ = strings.Cut(path, "[")
	return path
}
