package profile

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func oneOf(known ...string) rule[string] {
	return func(v string) *Error {
		if slices.Contains(known, v) {
			return nil
		}
		return &Error{Msg: fmt.Sprintf("unknown value %q", v), Hint: suggest(v, known)}
	}
}

func matches(pattern, meaning string) rule[string] {
	re := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return func(v string) *Error {
		if re.MatchString(v) {
			return nil
		}
		return &Error{Msg: fmt.Sprintf("%q is not %s", v, meaning)}
	}
}

func atLeast(least int64, unit string) rule[int64] {
	return func(v int64) *Error {
		if v >= least {
			return nil
		}
		return &Error{Msg: fmt.Sprintf("must be at least %d%s, not %d", least, unit, v)}
	}
}

func tcpPort(v int64) *Error {
	if v >= 1 && v <= 65535 {
		return nil
	}
	return &Error{Msg: fmt.Sprintf("must be a port between 1 and 65535, not %d", v)}
}

func positive(v time.Duration) *Error {
	if v > 0 {
		return nil
	}
	return &Error{Msg: fmt.Sprintf("must be longer than nothing, not %v", v)}
}

func notNegative(v time.Duration) *Error {
	if v >= 0 {
		return nil
	}
	return &Error{Msg: fmt.Sprintf("must be at least 0s, not %v", v)}
}

// atLeastGiB keeps out a size given in the wrong unit.
func atLeastGiB(v int64) *Error {
	if v >= 1<<30 {
		return nil
	}
	return &Error{Msg: "must be at least 1G"}
}

// oneLine keeps a value from adding lines to the installer's answers.
func oneLine(v string) *Error {
	if strings.ContainsAny(v, "\n\r") {
		return &Error{Msg: "must be one line"}
	}
	return nil
}

func oneLineSecret(v Secret) *Error { return oneLine(string(v)) }

var knownArch = map[host.Arch]host.Arch{
	"amd64": host.X86_64, "x86-64": host.X86_64, "x64": host.X86_64, "aarch64": host.ARM64,
}

// validArch hints at the name meant by those who say it in Debian's or Go's way: by spelling alone amd64 would be
// next to arm64.
func validArch(a host.Arch) *Error {
	if slices.Contains(host.Arches, a) {
		return nil
	}
	e := &Error{Msg: fmt.Sprintf("unknown architecture %q", string(a)), Hint: "known are x86_64 and arm64"}
	if meant, ok := knownArch[a]; ok {
		e.Hint = fmt.Sprintf("did you mean %q?", string(meant))
	}
	return e
}

// reserved are names that Debian's installer refuses with a question nobody is there to answer, or that its base
// system gives to accounts of its own (user-setup's reserved-usernames). "admin" is among them there, but the
// default preseed knows how to create it.
const reserved = ` root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody adm tty
	disk kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff users
	nogroup netplan ftp fuse input kvm messagebus netdev render ssh sshd syslog `

func userName(v string) *Error {
	e := matches(`[a-z][a-z0-9_-]{0,31}`, "a user name: a small letter, then up to 31 small letters, digits, - or _")(v)
	if e == nil && slices.Contains(strings.Fields(reserved), v) {
		e = &Error{Msg: fmt.Sprintf("%q is a name of Debian's own, which its installer refuses", v)}
	}
	return e
}

// webURL wants an http or https URL that needs no quoting in a shell.
func webURL(v string) *Error {
	u, err := url.Parse(v)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.ContainsAny(v, " \t\r\n'\"`\\") {
		return nil
	}
	return &Error{Msg: "must be an http or https URL"}
}

// orEmpty lets "" pass, for fields where it means "none".
func orEmpty(r rule[string]) rule[string] {
	return func(v string) *Error {
		if v == "" {
			return nil
		}
		return r(v)
	}
}

func checksum(v string) *Error {
	return matches(`sha256:[0-9a-fA-F]{64}`, `"sha256:" and 64 hexadecimal digits`)(v)
}

// fileName keeps a catalog entry from reaching outside the ISO cache.
func fileName(v string) *Error {
	if v == path.Base(v) && v != "." && v != ".." && !strings.ContainsAny(v, "\\\n\r") {
		return nil
	}
	return &Error{Msg: fmt.Sprintf("%q is not a file name without directories", v)}
}

var sizePattern = regexp.MustCompile(`^(\d+)([KMGT])(?:i?B)?$`)

// ParseSize reads a size as qemu-img writes it: a whole number and K, M, G or T, powers of 1024 each ("20G",
// "20GiB"). The result is in bytes.
func ParseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size: write a whole number and K, M, G or T, such as 20G", s)
	}
	shift := 10 * (1 + strings.Index("KMGT", m[2]))
	v, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || v > (1<<62)>>shift {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	return v << shift, nil
}
