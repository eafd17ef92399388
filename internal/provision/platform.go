package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Places that show a Linux system its platform.
const (
	efiDir     = "/sys/firmware/efi"
	secureBoot = efiDir + "/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	tpmDevice  = "/dev/tpm0"
)

// inForce is the variable when Secure Boot is: four bytes of attributes and one of value. It is read whole, because not
// every kernel lets one seek in it. Sources: the kernel's Documentation/filesystems/efivarfs.rst; UEFI 2.10, 3.3.
const inForce = "6 0 0 0 1"

// platform is what the guest's system sees. Any user may ask.
func (g *Guest) platform(ctx context.Context) (Platform, error) {
	out, err := g.Output(ctx, "ls -d "+efiDir+" "+tpmDevice+" 2>/dev/null; od -An -t u1 "+secureBoot+" 2>/dev/null; :")
	if err != nil {
		return Platform{}, fmt.Errorf("cannot ask for the guest's firmware: %w", err)
	}
	seen := strings.Fields(string(out))
	p := Platform{Firmware: "bios", TPM: slices.Contains(seen, tpmDevice)}
	switch {
	case !slices.Contains(seen, efiDir):
	case strings.HasSuffix(strings.Join(seen, " "), " "+inForce):
		p.Firmware = "uefi-secure"
	default:
		p.Firmware = "uefi"
	}
	return p, nil
}

// differs says in what a platform is not the one that is wanted.
func (p Platform) differs(want Platform) error {
	switch {
	case p.Firmware != want.Firmware:
		return fmt.Errorf("the system was booted by %q, not by %q", p.Firmware, want.Firmware)
	case want.TPM && !p.TPM:
		return fmt.Errorf("the system has no %s: its kernel lacks the driver", tpmDevice)
	}
	return nil
}
