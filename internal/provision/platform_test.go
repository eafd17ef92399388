package provision_test

import (
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
)

// What the commands print in a guest.
const (
	noFirmware = "exit 2"
	efi        = "echo /sys/firmware/efi; exit 2"
	efiTPM     = "echo /dev/tpm0; echo /sys/firmware/efi"
	noVariable = "exit 1"
	off        = "echo '   6   0   0   0   0'"
	on         = "echo '   6   0   0   0   1'"
)

func TestVerificationOfThePlatform(t *testing.T) {
	bios, uefi, secure := provision.Platform{Firmware: "bios"}, provision.Platform{Firmware: "uefi"}, provision.Platform{Firmware: "uefi-secure"}
	withTPM := provision.Platform{Firmware: "uefi-secure", TPM: true}
	for name, c := range map[string]struct {
		ls, od    string
		want, see provision.Platform
		says      string // "" when it passes
	}{
		"bios":                      {noFirmware, noVariable, bios, bios, ""},
		"uefi":                      {efi, off, uefi, uefi, ""},
		"uefi-secure":               {efi, on, secure, secure, ""},
		"uefi-secure with a TPM":    {efiTPM, on, withTPM, withTPM, ""},
		"a TPM nobody asked for":    {efiTPM, on, secure, withTPM, ""},
		"bios instead of uefi":      {noFirmware, noVariable, uefi, bios, `booted by "bios", not by "uefi"`},
		"Secure Boot is off":        {efi, off, secure, uefi, `booted by "uefi", not by "uefi-secure"`},
		"no variables":              {efi, noVariable, secure, uefi, `booted by "uefi", not by "uefi-secure"`},
		"Secure Boot unasked":       {efi, on, uefi, secure, `booted by "uefi-secure", not by "uefi"`},
		"no TPM":                    {efi, on, withTPM, secure, "no /dev/tpm0"},
		"a variable without a UEFI": {noFirmware, on, secure, bios, `booted by "bios"`},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := provision.NewVerification(c.want)
			if err != nil {
				t.Fatal(err)
			}
			s, id := clone(t, v, seeded(t, v, "hostname: "), "pimcheck", done)
			s.Stub("ls", c.ls)
			s.Stub("od", c.od)
			console := func() ([]byte, error) { return []byte(begin + id.HostKey() + "\r\n" + end), nil }
			facts, err := v.Check(t.Context(), s.Dial, s.Addr, console, every, nil)
			if facts.Platform != c.see {
				t.Errorf("saw %+v, want %+v", facts.Platform, c.see)
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got error %v, want %q", err, c.says)
			}
		})
	}
}
