// Package profile reads the configuration directories of pim (pim.yml, profiles.d, isos.d, targets.d, preseeds.d,
// autoinstalls.d, installs.d, scripts.d) and resolves a profile: what to install, from which ISO, with which scripts.
//
// Files hold maps of name → fields and are read in sorted order; maps merge, scalars and lists replace. Everything has
// an embedded default, so no directory at all is a valid configuration.
package profile

import (
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Profile is a profile as written: nil is "not said here", an empty list is "none". The zero Profile says nothing.
type Profile struct {
	ISO       *string // name in the ISO catalog
	Base      *ISO    // disk image to begin with, instead of an installer's ISO; see NewBase
	Installer *string // Debian or Ubuntu; nil for what the ISO holds
	Firmware  *string // "bios", "uefi" or "uefi-secure"
	TPM       *bool
	Preseed   *string // template: a name in preseeds.d, or a path
	// Autoinstall is a document merged over the answers to Ubuntu's installer: a name in autoinstalls.d, or a path.
	Autoinstall *string
	Answers     *string // how the installer gets its answers: "http" or "seed"
	Install     *string // post-install script: a name in installs.d, or a path
	BootArgs    []string

	Username        *string
	Password        *Secret
	PasswordVersion *int64 // raise it to have a new password count as a change; the password itself never does
	Fullname        *string
	Locale          *string
	Keyboard        *string
	Timezone        *string
	Hostname        *string
	Domain          *string

	MirrorHost         *string
	MirrorPath         *string
	HTTPProxy          *string
	PartitioningMethod *string
	PartitioningRecipe *string
	GrubDevice         *string
	Tasksel            *string
	Packages           []string
	AuthorizedKeysURL  *string
	Scripts            []string // names in scripts.d, or paths
	Architectures      []host.Arch
	DiskSize           *int64 // build.disk_size, bytes
	Memory             *int64 // build.memory, MiB
	CPUs               *int64 // build.cpus
	Verify             *bool
	OnError            *string // "destroy" or "keep"
	InstallTimeout     *time.Duration
	SSHTimeout         *time.Duration
	ScriptTimeout      *time.Duration
	StallTimeout       *time.Duration
}

// Resolved is a profile with every value filled in and every reference followed.
type Resolved struct {
	Name          string // "" when only the defaults and the override were asked for
	Arch          host.Arch
	Architectures []host.Arch // all the profile allows, Arch among them

	ISO             ISO // zero only with a Base, or when Request.NoISO allows it and there is none
	Base            ISO // zero for an installed image; Installer, Templates, Install and what is for installers are zero else
	Installer       string
	InstallerSaid   bool // whether it comes from the profile or the request, not from the ISO
	Firmware        string
	TPM             bool
	Templates       map[string]string // every preseed template by name
	PreseedTemplate string            // a key of Templates
	Autoinstall     Document          // zero for none
	Answers         string            // "http" or "seed"
	Install         Script
	Scripts         []Script // in order of execution, names unique
	BootArgs        []string

	Username        string
	Password        Secret // "" for a locked account
	PasswordVersion int64
	Fullname        string
	Locale          string
	Keyboard        string
	Timezone        string
	Hostname        string
	Domain          string

	MirrorHost         string // "" for the installer's default
	MirrorPath         string
	HTTPProxy          string
	PartitioningMethod string
	PartitioningRecipe string
	GrubDevice         string // "" for the disk installed to
	Tasksel            string // "" for no task
	Packages           []string
	AuthorizedKeysURL  string

	DiskSize int64 // bytes
	Memory   int64 // MiB
	CPUs     int64
	Verify   bool
	OnError  string // "destroy" or "keep"

	InstallTimeout, SSHTimeout, ScriptTimeout, StallTimeout time.Duration
}

// Script is a shell script with the bytes that will run.
type Script struct {
	Name   string // unique in a profile: the name in scripts.d, or the path as written
	Path   string // file it was read from, "embedded:…" for a default
	Body   []byte
	SHA256 string // 64 hex digits
}

// Document is a YAML document for Ubuntu's installer that preseed.CheckAutoinstall accepts.
type Document struct {
	Name string // in autoinstalls.d, or the path as written
	Path string // file it was read from
	Body string
}

// ISO is one entry of the catalog. URL and Path exclude each other.
type ISO struct {
	Name        string // its name in the catalog, "" for one given inline
	Title       string // the entry's own name field, for people
	URL         string // http or https
	Path        string // absolute path of a local file
	SHA256      string // 64 hex digits, "" when ChecksumURL or the local file tells
	ChecksumURL string // SHA256SUMS file, "" for none
	Filename    string // its name in the cache and in SHA256SUMS
	Installer   string // what it holds, "" when the entry does not say
	Arch        host.Arch
}
