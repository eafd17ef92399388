package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Places that show a Linux system its platform. The variable's first four bytes are its attributes, the fifth is 1 when
// Secure Boot is in force. Sources: the kernel's Documentation/filesystems/efivarfs.rst; UEFI 2.10, 3.3.
const (
	efiDir     = "/sys/firmware/efi"
	secureBoot = efiDir + "/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	tpmDevice  = "/dev/tpm0"
)

// platform is what the guest's system sees. Any user may ask.
func (g *Guest) platform(ctx context.Context) (Platform, error) {
	out, err := g.Output(ctx, "ls -d "+efiDir+" "+tpmDevice+" 2>/dev/null; od -An -t u1 -j 4 -N 1 "+secureBoot+" 2>/dev/null; :")
	if err != nil {
		return Platform{}, fmt.Errorf("cannot ask for the guest's firmware: %w", err)
	}
	seen := strings.Fields(string(out))
	p := Platform{Firmware: "bios", TPM: slices.Contains(seen, tpmDevice)}
	switch {
	case !slices.Contains(seen, efiDir):
	case slices.Contains(seen, "1"):
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
