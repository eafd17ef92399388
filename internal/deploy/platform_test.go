package deploy_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// disk is a qcow2 with one partition of a type.
func disk(t *testing.T, partition byte) string {
	t.Helper()
	qemutest.Need(t)
	dir := t.TempDir()
	mbr := make([]byte, 1<<20)
	mbr[446+4], mbr[510], mbr[511] = partition, 0x55, 0xaa
	raw, file := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	if err := os.WriteFile(raw, mbr, 0o600); err != nil {
		t.Fatal(err)
	}
	h := host.NewLocal()
	if err := h.Run(t.Context(), host.Cmd{Argv: []string{"qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, file}}); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPlatform(t *testing.T) {
	const esp, linux = 0xef, 0x83
	for name, c := range map[string]struct {
		image     deploy.Image
		partition byte // of the disk; 0 for an image that must not be read
		want      deploy.Platform
	}{
		"bios":             {deploy.Image{Arch: host.X86_64, Firmware: qemu.BIOS}, 0, deploy.Platform{}},
		"uefi":             {deploy.Image{Arch: host.X86_64, Firmware: qemu.UEFI}, 0, deploy.Platform{UEFI: true}},
		"uefi-secure":      {deploy.Image{Arch: host.X86_64, Firmware: qemu.UEFISecure}, 0, deploy.Platform{UEFI: true, Secure: true}},
		"arm64":            {deploy.Image{Arch: host.ARM64}, 0, deploy.Platform{UEFI: true}},
		"arm64, secure":    {deploy.Image{Arch: host.ARM64, Firmware: qemu.UEFISecure}, 0, deploy.Platform{UEFI: true, Secure: true}},
		"TPM":              {deploy.Image{Arch: host.X86_64, Firmware: qemu.BIOS, TPM: true}, 0, deploy.Platform{TPM: true}},
		"unknown, ESP":     {deploy.Image{Arch: host.X86_64}, esp, deploy.Platform{UEFI: true}},
		"unknown, no ESP":  {deploy.Image{Arch: host.X86_64}, linux, deploy.Platform{}},
		"unknown with TPM": {deploy.Image{Arch: host.X86_64, TPM: true}, esp, deploy.Platform{UEFI: true, TPM: true}},
	} {
		t.Run(name, func(t *testing.T) {
			c.image.Host, c.image.Path = host.NewLocal(), "/nonexistent"
			if c.partition != 0 {
				c.image.Path = disk(t, c.partition)
			}
			if got, err := c.image.Platform(); err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	if _, err := (deploy.Image{Host: host.NewLocal(), Path: "/nonexistent", Arch: host.X86_64}).Platform(); err == nil {
		t.Error("it knows an image that is not there")
	}
}
