package build

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// Recipe is the version of what this package itself does to an image: raise it when the same inputs would give
// a different image, and every image built before becomes stale.
const Recipe = "1"

// partFirmware is the part of the key that is the image's firmware, in the layer's key the installer's.
const partFirmware = "firmware"

// Format is the format images are stored in.
const Format = "qcow2"

// Spec says what an image contains and how to build it. It is plain and fully known: the provider makes one
// only when nothing in it is unknown, and plan and build compute the same key from it.
type Spec struct {
	Name    string // names the image's file; letters, digits, dot, dash, underscore
	Profile string // profile it came from, "" for none

	// Content: every field below goes into the key.
	Arch     host.Arch
	Firmware string    // "bios", "uefi" or "uefi-secure"
	TPM      bool      // the guest has an emulated TPM 2.0 when scripts run and when it is verified
	ISO      cache.ISO // with SHA256 filled in; only the digest is in the key
	Base     cache.ISO // disk image to begin with instead of ISO, Install and BootArgs; zero for none
	Preseed  Preseed   // rendered without the per-build values
	Install  Script    // post-install script, run by the installer in the target
	Scripts  []Script  // provisioning scripts, run over SSH in this order
	DiskSize int64     // bytes
	BootArgs []string  // added to the installer's kernel command line
	Triggers map[string]string
	// PasswordVersion stands for the password, whose salted hash cannot be in the key; 0 when it is not counted.
	PasswordVersion int64
	// SamePassword tells whether a crypt(3) hash is one of the password; nil where there is none.
	SamePassword func(hash string) bool
	// Autoinstall has Ubuntu's installer answered with Preseed's values, instead of Debian's; nil for Debian's.
	Autoinstall *Autoinstall

	// How: none of it changes the image.
	Memory    int64 // MiB
	CPUs      int64
	Emulation bool // build by emulation when the host cannot accelerate this architecture
	Verify    bool // boot the image once before it is published
	KeepGuest bool // on_error = "keep": leave a failed guest running
	Timeouts  Timeouts
}

// Preseed is the installer's answers: the named template of a set, and the values it is rendered with.
type Preseed struct {
	Templates preseed.Templates
	Name      string
	Values    preseed.Values
}

// Autoinstall is how Ubuntu's installer is answered. Seed is not part of the key: it does not change the image.
type Autoinstall struct {
	Over []byte // a document of the user's, merged over the answers; see preseed.Autoinstall
	Seed bool   // whether the answers are on a volume of their own, instead of being fetched over HTTP
}

// Script is a shell script that runs in the guest as root.
type Script struct {
	Name string
	Body []byte
}

// Timeouts bound the waits of a build. Build is the whole of it, counted from when the build begins, not while
// another run builds the same image; 0 for no bound. Stall ends an installation that writes no disk block, prints nothing on
// the console and makes no HTTP request for that long.
type Timeouts struct {
	Build, Install, SSH, Script, Stall time.Duration
}

// InstallFirmware is what the installer runs with for an image with a kind of firmware: without Secure Boot, which would
// refuse a kernel that QEMU starts directly, since only the distribution's boot loader knows its signature. What is
// installed is the same, so both kinds of image share it; templates see this kind, too.
func InstallFirmware(firmware string) string {
	if firmware == qemu.UEFISecure {
		return qemu.UEFI
	}
	return firmware
}

// Answers are the installer's answers, or a base image's seed, without what differs from build to build or must not be seen, and the name of the
// part of the key that they are.
func (s Spec) Answers() (part string, text []byte, err error) {
	if s.FromBase() {
		text, err = preseed.CloudConfig(s.Preseed.Values.WithoutSecrets(), "")
		return "seed", text, err
	}
	if s.Autoinstall != nil {
		text, err = preseed.Autoinstall{Values: s.Preseed.Values, Over: s.Autoinstall.Over}.Shown()
		return "autoinstall", text, err
	}
	text, err = preseed.Render(s.Preseed.Templates, s.Preseed.Name, s.Preseed.Values.WithoutSecrets())
	return "preseed", text, err
}

// installInputs are the parts that decide what the installer leaves on the disk.
func (s Spec) installInputs() (cache.Inputs, error) {
	name, answers, err := s.Answers()
	if err != nil {
		return nil, err
	}
	in := cache.Inputs{
		{Name: "recipe", Value: Recipe},
		{Name: "arch", Value: string(s.Arch)},
		{Name: partFirmware, Value: InstallFirmware(s.Firmware)},
		{Name: "iso", Value: "sha256:" + s.ISO.SHA256},
		{Name: name, Value: cache.Digest(answers)},
		{Name: "install", Value: cache.Digest(s.Install.Body)},
		{Name: "disk_size", Value: strconv.FormatInt(s.DiskSize, 10)},
		{Name: "boot_args", Value: strings.Join(s.BootArgs, " ")},
	}
	return append(in, s.ownersInputs()...), nil
}

// ownersInputs are the parts that their owner counts.
func (s Spec) ownersInputs() (in cache.Inputs) {
	if s.PasswordVersion > 0 {
		in = append(in, cache.Part{Name: "password_version", Value: strconv.FormatInt(s.PasswordVersion, 10)})
	}
	for _, k := range slices.Sorted(maps.Keys(s.Triggers)) {
		in = append(in, cache.Part{Name: "trigger:" + k, Value: cache.Digest([]byte(s.Triggers[k]))})
	}
	return in
}

// Inputs are the named parts of the cache key. A script is named "script:NAME" and digested by its bytes;
// "scripts" is their order. Errors: a preseed template that does not render.
func (s Spec) Inputs() (cache.Inputs, error) {
	begin := s.installInputs
	if s.FromBase() {
		begin = s.baseInputs
	}
	in, err := begin()
	if err != nil {
		return nil, err
	}
	for i := range in {
		if in[i].Name == partFirmware {
			in[i].Value = s.Firmware
		}
	}
	if s.TPM {
		in = append(in, cache.Part{Name: "tpm", Value: "true"})
	}
	in = append(in, cache.Part{Name: "format", Value: Format})
	names := make([]string, len(s.Scripts))
	for i, sc := range s.Scripts {
		names[i] = sc.Name
		in = append(in, cache.Part{Name: "script:" + sc.Name, Value: cache.Digest(sc.Body)})
	}
	return append(in, cache.Part{Name: "scripts", Value: strings.Join(names, " ")}), nil
}

// layerInputs are the parts of the key of the installed disk, before any script ran.
func (s Spec) layerInputs() (cache.Inputs, error) {
	in, err := s.installInputs()
	if err != nil {
		return nil, fmt.Errorf("cannot compute the install layer's key: %w", err)
	}
	return append(in, cache.Part{Name: "layer", Value: "install"}), nil
}
