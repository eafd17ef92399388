package proxmox

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// fileStorages are the types of storages that keep disks as files, so that these can be qcow2.
var fileStorages = []string{"dir", "nfs", "cifs", "glusterfs"}

// thickStorages are the types that take a disk's whole size at once.
var thickStorages = []string{"lvm", "zfs", "iscsi"}

func (at *site) isOf(storage string, types []string) bool {
	return slices.Contains(types, at.storages[storage]["type"])
}

// holds tells whether a storage of the node is for that content.
func (at *site) holds(storage, content string) bool {
	return slices.Contains(strings.Split(at.storages[storage]["content"], ","), content)
}

// unpacks is a storage where 8.3 can unpack an appliance: of files, for images. "" when there is none.
func (at *site) unpacks(s *Settings) string {
	names := []string{s.ImportStorage, s.Storage}
	for name := range at.storages {
		names = append(names, name)
	}
	slices.Sort(names[2:])
	for _, name := range names {
		if at.isOf(name, fileStorages) && at.holds(name, "images") && at.storages[name].is("enabled") {
			return name
		}
	}
	return ""
}

// checkArch refuses what a host of Proxmox VE cannot run.
func checkArch(arch host.Arch) error {
	if arch != host.X86_64 {
		return fmt.Errorf("the image is for %s, and Proxmox VE runs on x86_64: build it for x86_64, or deploy it elsewhere", arch)
	}
	return nil
}

// platformOf tells what an image wants of its machine, and that it can travel: it has to stand alone.
func platformOf(image deploy.Image) (deploy.Platform, error) {
	d, err := disk.Open(image.Host, image.Path)
	if err != nil {
		return deploy.Platform{}, err
	}
	defer d.Close()
	return image.Platform()
}

// machine are the options of the VM that becomes the template, all of them, so that it takes one request.
//
// It has a serial console beside the usual display, which works for any image: xterm.js and `qm terminal` use the one,
// noVNC the other. With vga=serial0 an image that says nothing on its serial port would have none.
func (t *target) machine(at *site, m marker, importFrom string, platform deploy.Platform) params {
	s := t.s
	scsi0 := s.Storage + ":0,import-from=" + importFrom
	if at.isOf(s.Storage, fileStorages) {
		scsi0 += ",format=qcow2" // else an import by path becomes raw
	}
	p := params{
		"vmid":        strconv.FormatInt(m.VMID, 10),
		"name":        vmName(m.Name),
		"description": m.notes(),
		"tags":        strings.Join(s.tags(), ";"),
		"smbios1":     "uuid=" + m.UUID,
		"ostype":      "l26",
		"cores":       strconv.FormatInt(s.Cores, 10),
		"cpu":         s.CPUType,
		"memory":      strconv.FormatInt(s.Memory, 10),
		"scsihw":      "virtio-scsi-single", // a controller for each disk, which iothread needs
		"scsi0":       scsi0 + ",discard=on,iothread=1,ssd=1",
		"ide2":        s.CloudInitStorage + ":cloudinit",
		"boot":        "order=scsi0",
		"serial0":     "socket",
		"agent":       "enabled=1",
		"net0":        "virtio,bridge=" + s.Bridge,
	}
	if platform.UEFI {
		p["bios"], p["machine"] = "ovmf", "q35"
		p["efidisk0"] = s.Storage + ":1,efitype=4m,pre-enrolled-keys=0" // without keys: the image need not be signed
	}
	if platform.Secure {
		p["efidisk0"] = s.Storage + ":1,efitype=4m,pre-enrolled-keys=1" // those of Microsoft and distributions: Secure Boot is on
	}
	if platform.TPM {
		p["tpmstate0"] = s.Storage + ":1,version=v2.0" // empty until a clone's first start
	}
	if at.way.wrapped {
		p["import-working-storage"] = at.unpacks(&s)
	}
	if s.Pool != "" {
		p["pool"] = s.Pool
	}
	return p
}

// newUUID is a random UUID, RFC 9562.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
