package qemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// said is what an unsigned program of ours prints when a firmware lets it run.
const said = "pim: this ran"

// efiGuest is by architecture the name of the removable path, the machine type of a PE file, and code that prints the
// UTF-16 text behind it (ConOut->OutputString) and powers off (RuntimeServices->ResetSystem). Source: UEFI 2.10, 4.3.
var efiGuest = map[host.Arch]struct {
	name    string
	machine uint16
	code    []byte
}{
	host.X86_64: {"BOOTX64.EFI", 0x8664, []byte{
		0x48, 0x83, 0xec, 0x28, 0x48, 0x89, 0xd3, // sub $40,%rsp; mov %rdx,%rbx: the system table
		0x48, 0x8b, 0x4a, 0x40, 0x48, 0x8d, 0x15, 0x17, 0, 0, 0, 0xff, 0x51, 0x08, // mov 64(%rdx),%rcx; lea text(%rip),%rdx; call *8(%rcx)
		0x48, 0x8b, 0x43, 0x58, 0xb9, 2, 0, 0, 0, 0x31, 0xd2, // mov 88(%rbx),%rax; mov $2,%ecx; xor %edx,%edx
		0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9, 0xff, 0x50, 0x68, // xor %r8d,%r8d; xor %r9d,%r9d; call *104(%rax)
	}},
	host.ARM64: {"BOOTAA64.EFI", 0xaa64, words(
		0xaa0103f3, 0xf9402020, 0x10000141, 0xf9400408, 0xd63f0100, // mov x19,x1; ldr x0,[x1,#64]; adr x1,text; ldr x8,[x0,#8]; blr x8
		0xf9402e68, 0xf9403508, 0x52800040, 0xd2800001, 0xd2800002, // ldr x8,[x19,#88]; ldr x8,[x8,#104]; mov w0,#2; mov x1,#0; mov x2,#0
		0xd2800003, 0xd63f0100, // mov x3,#0; blr x8
	)},
}

func words(w ...uint32) []byte {
	out, _ := binary.Append(nil, binary.LittleEndian, w)
	return out
}

// portable is a program as a UEFI application, loaded at its one section. Source: Microsoft's PE format.
func portable(machine uint16, code []byte) []byte {
	const page, file, directories = 0x1000, 0x200, 16
	put := func(b []byte, values ...any) []byte {
		for _, v := range values {
			b, _ = binary.Append(b, binary.LittleEndian, v)
		}
		return b
	}
	b := put(append([]byte("MZ"), make([]byte, 58)...), uint32(64))
	b = put(append(b, "PE\x00\x00"...), machine, uint16(1), [3]uint32{}, uint16(112+8*directories), uint16(0x22)) // executable
	b = put(b, uint16(0x20b), uint16(0), uint32(file), [2]uint32{}, uint32(page), uint32(page))
	b = put(b, uint64(0), uint32(page), uint32(file), [6]uint16{}, uint32(0), uint32(2*page), uint32(file), uint32(0))
	b = put(b, uint16(10), uint16(0), [4]uint64{}, uint32(0), uint32(directories), [directories]uint64{}) // 10: an application
	b = put(append(b, ".text\x00\x00\x00"...), uint32(len(code)), uint32(page), uint32(file), uint32(file), [3]uint32{}, uint32(0x60000020))
	b = append(b, make([]byte, file-len(b))...)
	return append(append(b, code...), make([]byte, file-len(code))...)
}

// efiMachine is a machine whose disk holds our program at the removable path and nothing else.
func efiMachine(t *testing.T, arch host.Arch, firmware string) (host.Host, Machine) {
	t.Helper()
	qemutest.Need(t)
	h := host.NewLocal()
	bin, err := FindBinary(h, arch)
	fw, fwErr := FindFirmware(t.Context(), h, arch, firmware)
	if err != nil || fwErr != nil {
		if arch == host.X86_64 && os.Getenv("CI") != "" {
			t.Fatal(err, fwErr)
		}
		t.Skip(err, fwErr)
	}
	dir, err := os.MkdirTemp("/tmp", "pim-efi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	g := efiGuest[arch]
	var text []byte
	for _, c := range utf16.Encode([]rune(said + "\r\n\x00")) {
		text = binary.LittleEndian.AppendUint16(text, c)
	}
	esp, disk := filepath.Join(dir, "esp"), filepath.Join(dir, "disk.qcow2")
	boot := filepath.Join(esp, "EFI", "BOOT")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(boot, g.name), portable(g.machine, append(g.code, text...)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := img(t.Context(), h, nil, "convert", "-O", "qcow2", "fat:"+esp, disk); err != nil {
		t.Fatal(err)
	}
	return h, Machine{
		Name: "pim-efi", Arch: arch, Binary: bin, Accel: TCG, CPUs: 1, Memory: 256, Firmware: fw, Disk: disk,
		QMPSocket: filepath.Join(dir, "qmp"), ConsoleLog: filepath.Join(dir, "console"),
	}
}

// Each firmware boots from the removable path with fresh variables. With Secure Boot it refuses what nobody signed: so
// the keys are in those variables, and they are in force.
func TestFirmwareBoots(t *testing.T) {
	for _, arch := range host.Arches {
		t.Run(string(arch)+" "+UEFI, func(t *testing.T) { runsUnsigned(t, arch) })
		t.Run(string(arch)+" "+UEFISecure, func(t *testing.T) { refusesUnsigned(t, arch) })
	}
}

const efiTime = 4 * time.Minute // an emulated firmware on a busy machine

func runsUnsigned(t *testing.T, arch host.Arch) {
	h, m := efiMachine(t, arch, UEFI)
	ctx, cancel := context.WithTimeout(t.Context(), efiTime)
	defer cancel()
	vm, err := Start(ctx, h, m)
	if err != nil {
		t.Fatal(err)
	}
	defer kill(t, vm)
	exit, err := vm.Wait(ctx)
	if text := console(t, m); err != nil || exit.Reason != Shutdown || !strings.Contains(text, said) {
		t.Errorf("got %v, %v; the console says %q", exit, err, text)
	}
}

func refusesUnsigned(t *testing.T, arch host.Arch) {
	h, m := efiMachine(t, arch, UEFISecure)
	ctx, cancel := context.WithTimeout(t.Context(), efiTime)
	defer cancel()
	vm, err := Start(ctx, h, m)
	if err != nil {
		t.Fatal(err)
	}
	defer kill(t, vm)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(console(t, m), "Access Denied") {
		select {
		case <-tick.C:
		case <-vm.Done():
			t.Fatalf("it ended; the console says %q", console(t, m))
		case <-ctx.Done():
			t.Fatalf("it does not refuse; the console says %q", console(t, m))
		}
	}
	if text := console(t, m); strings.Contains(text, said) {
		t.Errorf("the program ran: %q", text)
	}
}

func console(t *testing.T, m Machine) string {
	t.Helper()
	text, err := os.ReadFile(m.ConsoleLog)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ToValidUTF8(text, nil))
}
