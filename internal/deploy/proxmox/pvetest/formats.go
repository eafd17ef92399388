package pvetest

import (
	"regexp"
	"strconv"
	"strings"
)

// checks are the named formats of single values (PVE::JSONSchema, PVE::QemuServer, PVE::Storage::Plugin). An error's
// text is the server's.
var checks = map[string]func(string) error{
	"address":              either("value does not look like a valid address: %s", ipAddress, dnsName),
	"dns-name":             matches("value does not look like a valid DNS name", dnsName),
	"disk-size":            matches("value does not look like a valid disk size: %s", `\d+(\.\d+)?([KMGT](iB)?)?`),
	"mac-addr":             matches("value does not look like a valid unicast MAC address", `(?i)[a-f0-9][02468ace](:[a-f0-9]{2}){5}`),
	"pve-bridge-id":        matches("invalid bridge ID '%s'", `[a-zA-Z][a-zA-Z0-9_.-]{0,14}|[a-z][a-zA-Z0-9.\-_]*`),
	"pve-configid":         matches("invalid configuration ID '%s'", `[a-zA-Z][a-zA-Z0-9_-]+`),
	"pve-cpuset":           matches("value does not look like a valid CPU set: %s", `\d+(-\d+)?(,\d+(-\d+)?)*`),
	"pve-hotplug-features": matches("unable to parse hotplug option", `[01]|(disk|network|usb|memory|cpu|cloudinit)([,;](disk|network|usb|memory|cpu|cloudinit))*`),
	"pve-node":             matches("value does not look like a valid node name", `[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?`),
	"pve-poolid":           matches("value does not look like a valid pool name", `[A-Za-z0-9.\-_]+(/[A-Za-z0-9.\-_]+){0,2}`),
	"pve-priv":             matches("invalid privilege name '%s'", `[A-Z][A-Za-z]+(\.[A-Z][A-Za-z]+)+`),
	"pve-qm-bootdev":       matches("invalid boot device '%s'", `(ide|sata|scsi|virtio|net|usb|hostpci)\d+|efidisk0|tpmstate0`),
	"pve-qm-bootdisk":      matches("invalid boot disk '%s'", `(ide|sata|scsi|virtio)\d+`),
	"pve-realm":            matches("value does not look like a valid realm", `[A-Za-z][A-Za-z0-9.\-_]+`),
	"pve-startup-order":    matches("unable to parse startup options", `((order=)?\d+|up=\d+|down=\d+)(,((order=)?\d+|up=\d+|down=\d+))*`),
	"pve-storage-content":  matches("invalid content type '%s'", `images|rootdir|vztmpl|iso|backup|snippets|import|none`),
	"pve-storage-id":       matches("storage ID '%s' contains illegal characters", `(?i)[a-z][a-z0-9\-_.]*[a-z0-9]`),
	"pve-tag":              matches("invalid characters in tag", `(?i)[a-z0-9_][a-z0-9_\-+.]*`),
	"pve-task-status-type": matches("invalid status '%s'", `(?i)ok|error|warning|unknown`),
	"pve-userid":           matches("value '%s' does not look like a valid user name", `[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+`),
	"pve-vmid":             matches("value does not look like a valid VM ID", `[1-9][0-9]{2,8}`),
	"pve-volume-id":        matches("unable to parse volume ID '%s'", volumeID),
	"urlencoded":           matches("invalid urlencoded string: %s", `[-%a-zA-Z0-9_.!~*'()]*`),
	"pve-volume-id-or-absolute-path": either("unable to parse volume ID '%s'",
		`(?s)/.*`, volumeID),
	"pve-volume-id-or-qm-path": either("unable to parse volume ID '%s'",
		`none|cdrom|(?s:/.*)`, volumeID, `\d+(\.\d+)?`),
}

const (
	ipAddress = `\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*`
	dnsName   = `([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?`
	volumeID  = `(?i:[a-z][a-z0-9\-_.]*[a-z0-9]):.+`
	cpuModels = `host|max|kvm(32|64)|qemu(32|64)|x86-64-v(2|2-AES|3|4)|486|pentium[23]?|coreduo|core2duo|athlon|phenom|` +
		`(Conroe|Penryn|Nehalem|Westmere|SandyBridge|IvyBridge|Haswell|Broadwell|Skylake|Cascadelake|Cooperlake|KnightsMill|` +
		`Icelake|SapphireRapids|GraniteRapids|SierraForest|Opteron_G[1-5]|EPYC)(-[A-Za-z0-9-]+)?|` +
		`(cortex|neoverse)-[an]\d+|a64fx|custom-[a-zA-Z0-9_-]+`
)

// keyed are the named formats of property strings that the schemas do not spell out.
var keyed = map[string]map[string]*property{
	"pve-qm-boot": {
		"legacy": {Type: "string", Optional: 1, DefaultKey: 1, Pattern: `[acdn]{1,4}`},
		"order":  {Type: "string", Optional: 1, Format: format{Name: "pve-qm-bootdev-list"}},
	},
	"pve-qm-smbios1": {
		"uuid":         {Type: "string", Optional: 1, Pattern: `[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}`},
		"base64":       {Type: "boolean", Optional: 1},
		"version":      smbios,
		"serial":       smbios,
		"manufacturer": smbios,
		"product":      smbios,
		"sku":          smbios,
		"family":       smbios,
	},
	"pve-vm-cpu-conf": {
		"cputype":         {Type: "string", Optional: 1, DefaultKey: 1, Pattern: cpuModels},
		"reported-model":  {Type: "string", Optional: 1},
		"hidden":          {Type: "boolean", Optional: 1},
		"hv-vendor-id":    {Type: "string", Optional: 1, Pattern: `[a-zA-Z0-9]{1,12}`},
		"flags":           {Type: "string", Optional: 1, Pattern: `[+-][a-zA-Z0-9\-_.]+(;[+-][a-zA-Z0-9\-_.]+)*`},
		"guest-phys-bits": {Type: "integer", Optional: 1},
		"phys-bits":       {Type: "string", Optional: 1, Pattern: `host|\d+`},
		"level":           {Type: "integer", Optional: 1},
	},
	"pve-qm-ipconfig": {
		"ip":  {Type: "string", Optional: 1, Pattern: `dhcp|manual|[0-9.]+/\d+`},
		"gw":  {Type: "string", Optional: 1, Requires: "ip", Pattern: ipAddress},
		"ip6": {Type: "string", Optional: 1, Pattern: `auto|dhcp|manual|[0-9a-fA-F:.]+/\d+`},
		"gw6": {Type: "string", Optional: 1, Requires: "ip6", Pattern: ipAddress},
	},
	"pve-qm-cicustom": {"meta": snippet, "network": snippet, "user": snippet, "vendor": snippet},
	"pve-qm-rng": {
		"source":    {Type: "string", DefaultKey: 1, Enum: []string{"/dev/urandom", "/dev/random", "/dev/hwrng"}},
		"max_bytes": {Type: "integer", Optional: 1},
		"period":    {Type: "integer", Optional: 1},
	},
	"pve-qm-watchdog": {
		"model":  {Type: "string", Optional: 1, DefaultKey: 1, Enum: []string{"i6300esb", "ib700"}},
		"action": {Type: "string", Optional: 1, Enum: []string{"reset", "shutdown", "poweroff", "pause", "debug", "none"}},
	},
}

var (
	smbios  = &property{Type: "string", Optional: 1, Pattern: `[A-Za-z0-9+/]+={0,2}`}
	snippet = &property{Type: "string", Optional: 1, Format: format{Name: "pve-volume-id"}}
)

// unchecked are formats of options that no deployment of an image sets.
var unchecked = map[string]bool{
	"pve-qm-ide": true, "pve-qm-hostpci": true, "pve-qemu-sev-fmt": true, "pve-qemu-tdx-fmt": true,
}

// knownFormat tells whether checkFormat can check it.
func knownFormat(name string) bool {
	single, _ := cutKind(name)
	return checks[single] != nil || keyed[name] != nil || unchecked[name]
}

// cutKind parts "pve-tag-list" into "pve-tag" and "list".
func cutKind(name string) (single, kind string) {
	for _, kind := range []string{"list", "opt"} {
		if s, ok := strings.CutSuffix(name, "-"+kind); ok {
			return s, kind
		}
	}
	return name, ""
}

// checkFormat checks a value as PVE::JSONSchema::check_format does.
func checkFormat(f format, value, path string) error {
	switch {
	case f.Keys != nil:
		_, err := parseKeyed(f.Keys, value, path)
		return err
	case keyed[f.Name] != nil:
		_, err := parseKeyed(keyed[f.Name], value, path)
		return err
	case unchecked[f.Name]:
		return nil
	}
	single, kind := cutKind(f.Name)
	check := checks[single]
	switch {
	case check == nil:
		return die("undefined format '%s'", f.Name)
	case kind == "list":
		for _, v := range splitList(value) {
			if err := check(v); err != nil {
				return err
			}
		}
		return nil
	case kind == "opt" && value == "":
		return nil
	}
	return check(value)
}

// splitList parts a list by commas, semicolons, spaces and NULs (PVE::Tools::split_list).
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",; \t\n\x00", r) })
}

func matches(message, expr string) func(string) error { return either(message, expr) }

func either(message string, exprs ...string) func(string) error {
	re := regexp.MustCompile("^(?:" + strings.Join(exprs, "|") + ")$")
	return func(s string) error {
		if re.MatchString(s) {
			return nil
		}
		if strings.Contains(message, "%s") {
			return die(message, s)
		}
		return die("%s", message)
	}
}

var sizeText = regexp.MustCompile(`^(\d+(?:\.\d+)?)([KMGT]?)(?:iB)?$`)

// parseSize reads a size such as "32G" into bytes.
func parseSize(s string) (int64, bool) {
	m := sizeText.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	for range strings.Index("KMGT", m[2]) + 1 - btoi(m[2] == "") {
		n *= 1024
	}
	return int64(n), true
}

// formatSize writes bytes as PVE::JSONSchema::format_size does: in the largest unit that divides them.
func formatSize(n int64) string {
	for _, unit := range []string{"", "K", "M", "G"} {
		if n%1024 != 0 || n == 0 {
			return strconv.FormatInt(n, 10) + unit
		}
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + "T"
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
