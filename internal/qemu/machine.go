package qemu

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// GuestGateway is the address under which a guest reaches the host's loopback (QEMU's user networking).
const GuestGateway = "10.0.2.2"

// diskID is the name of the guest's own disk in QMP.
const diskID = "disk0"

// SerialConsole is the name of a guest's first serial port, for console= on a Linux command line.
func SerialConsole(arch host.Arch) string {
	if arch == host.ARM64 {
		return "ttyAMA0"
	}
	return "ttyS0"
}

// Machine describes a virtual machine. All paths are absolute paths on the host. Every machine has one disk, a
// network card behind user networking with its SSH port forwarded, a serial console, a screen and a random
// number source.
type Machine struct {
	Name       string    // shows in the process list, such as "pim-0123456789ab-install"
	Arch       host.Arch // of the guest
	Binary     string    // QEMU, by FindBinary
	Accel      string    // KVM, HVF or TCG
	Firmware   Firmware
	CPUs       int64    // an emulated x86_64 guest has one all the same
	Memory     int64    // MiB
	Disk       string   // qcow2 that the guest writes to; fast and not crash-safe, as a build's disk may be
	Seed       string   // ISO 9660 image for cloud-init, a read-only second disk; "" for none
	CDROMs     []string // ISO 9660 images
	Kernel     string   // boot this kernel directly, "" to boot the disk
	Initrd     string   // only with Kernel
	Append     string   // kernel command line, only with Kernel
	AppendFile string   // file that Start makes to keep Append from the machine's other users, who see every argument; "" for none
	NoReboot   bool     // end the machine when the guest reboots
	QMPSocket  string   // path of the control socket, at most 103 bytes (sockaddr_un)
	TPMSocket  string   // of the machine's TPM, by StartTPM; "" for none
	ConsoleLog string   // file that the serial console is appended to
	// EventLog keeps what the machine says of itself, for VM.Reattach: it stands for the file EventLog.out and the pipe
	// EventLog.in. "" for a machine that is never out of sight.
	EventLog string
}

// Argv is QEMU's command line. The machine starts paused, so that nothing happens in it before somebody watches it.
func (m Machine) Argv() []string {
	args := []string{
		m.Binary,
		"-name", escape(m.Name),
		"-nodefaults", "-no-user-config",
		"-S",
		"-display", "none",
		"-qmp", "unix:" + escape(m.QMPSocket) + ",server=on,wait=off",
		"-chardev", "file,id=console,append=on,path=" + escape(m.ConsoleLog),
		"-serial", "chardev:console",
		"-action", "panic=shutdown",
	}
	if m.EventLog != "" {
		args = append(args, "-chardev", "pipe,id=events,path="+escape(m.EventLog), "-mon", "chardev=events,mode=control")
	}
	args = append(args, m.platform()...)
	args = append(args, m.firmware()...)
	args = append(args, m.tpm()...)
	args = append(args, m.kernel()...)
	args = append(args, m.disks()...)
	args = append(args,
		// Port 0 lets the host's kernel choose a free port; VM.SSHAddr asks QEMU which it is.
		"-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22",
		"-device", "virtio-net-pci,netdev=net0,romfile=", // no network boot
		"-device", "virtio-rng-pci",
	)
	if m.NoReboot {
		args = append(args, "-no-reboot")
	}
	return args
}

// cpus is one for an emulated x86_64 guest. Linux patches its own code while it boots, and QEMU before 10.1 lets another
// CPU run what was there a moment before: "Oops: int3", a kernel panic, in one of some dozens of boots on a busy host.
func (m Machine) cpus() int64 {
	if m.Accel == TCG && m.Arch == host.X86_64 {
		return 1
	}
	return m.CPUs
}

// platform is the board: CPU, memory, accelerator and what differs between the architectures.
func (m Machine) platform() []string {
	args := []string{
		"-accel", m.Accel, // tcg uses a thread per CPU by itself wherever that is safe
		"-smp", strconv.FormatInt(m.cpus(), 10),
		"-m", strconv.FormatInt(m.Memory, 10) + "M",
	}
	cpu := "host"
	if m.Accel == TCG {
		cpu = "max"
		// Address space randomization makes emulation translate all code anew at every exec. This asks the guest's
		// systemd (252 or later) to switch it off for this boot; nothing of it stays in the image. Source:
		// systemd.system-credentials(7).
		args = append(args, "-smbios", "type=11,value=io.systemd.credential:sysctl.extra=kernel.randomize_va_space=0")
	}
	if m.Arch == host.ARM64 {
		if m.Accel == TCG {
			cpu += ",pauth-impdef=on" // the architected pointer authentication is very slow to emulate
		}
		return append(args, "-machine", "virt,gic-version=max", "-cpu", cpu,
			"-device", "virtio-gpu-pci", "-device", "pvpanic-pci")
	}
	machine := "q35"
	if m.Firmware.Name == UEFISecure {
		machine += ",smm=on" // the mode in which alone its firmware may write the variables
	}
	return append(args, "-machine", machine, "-cpu", cpu,
		"-device", "VGA", "-device", "pvpanic")
}

// firmware gives every boot fresh UEFI variables, in a temporary snapshot of the template that is gone with the
// machine: an image carries none, so no boot of it may depend on them. Within one run of the machine they stay, over
// resets too. On x86_64, "secure" keeps all but the firmware from writing them; arm64 has no such mode.
func (m Machine) firmware() []string {
	if m.Firmware.Code == "" {
		return nil
	}
	format := ",format=" + m.Firmware.Format + ","
	args := []string{
		"-drive", "if=pflash,unit=0" + format + "readonly=on,file=" + escape(m.Firmware.Code),
		"-drive", "if=pflash,unit=1" + format + "snapshot=on,file=" + escape(m.Firmware.Vars),
	}
	if m.Firmware.Name == UEFISecure && m.Arch == host.X86_64 {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	return args
}

// tpm is a TPM 2.0 behind the interface that both boards have; Linux has its driver built in.
func (m Machine) tpm() []string {
	if m.TPMSocket == "" {
		return nil
	}
	device := "tpm-tis"
	if m.Arch == host.ARM64 {
		device = "tpm-tis-device"
	}
	return []string{
		"-chardev", "socket,id=tpm,path=" + escape(m.TPMSocket), "-tpmdev", "emulator,id=tpm0,chardev=tpm",
		"-device", device + ",tpmdev=tpm0",
	}
}

func (m Machine) kernel() []string {
	if m.Kernel == "" {
		return nil
	}
	args := []string{"-kernel", m.Kernel, "-initrd", m.Initrd}
	if m.hidesAppend() {
		return append(args, "-readconfig", m.AppendFile)
	}
	return append(args, "-append", m.Append)
}

// hidesAppend tells whether the kernel command line is in AppendFile, whose format has no quotes and no long values.
// Source: QEMU's util/qemu-config.c.
func (m Machine) hidesAppend() bool {
	const longest = 1023
	return m.AppendFile != "" && m.Kernel != "" && len(m.Append) <= longest && !strings.ContainsAny(m.Append, "\"\n")
}

// appendFile is what AppendFile holds.
func (m Machine) appendFile() []byte { return []byte("[machine]\n  append = \"" + m.Append + "\"\n") }

func (m Machine) disks() []string {
	// On a read or write error the machine stops, and VM ends it, instead of a guest that goes on with a broken disk.
	args := []string{
		"-drive", "if=none,id=" + diskID + ",format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap," +
			"werror=stop,rerror=stop,file=" + escape(m.Disk),
		"-device", "virtio-blk-pci,drive=" + diskID + ",bootindex=1",
	}
	if m.Seed != "" {
		args = append(args,
			"-drive", "if=none,id=seed,format=raw,readonly=on,file="+escape(m.Seed),
			"-device", "virtio-blk-pci,drive=seed")
	}
	if m.Arch == host.ARM64 && len(m.CDROMs) > 0 {
		args = append(args, "-device", "virtio-scsi-pci,id=scsi") // the virt machine has no other bus for one
	}
	for i, iso := range m.CDROMs {
		id := fmt.Sprintf("cd%d", i)
		args = append(args, "-drive", "if=none,media=cdrom,format=raw,readonly=on,id="+id+",file="+escape(iso))
		if m.Arch == host.ARM64 {
			args = append(args, "-device", "scsi-cd,bus=scsi.0,drive="+id)
		} else {
			args = append(args, "-device", fmt.Sprintf("ide-cd,bus=ide.%d,drive=%s", i, id))
		}
	}
	return args
}

// escape protects the commas of a value in QEMU's option syntax.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }
