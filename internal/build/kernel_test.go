package build

import "encoding/binary"

// Machine code for kernel: what a test's "installer" does.
var (
	halt   = []byte{0xfa, 0xf4, 0xeb, 0xfc}       // cli; hlt; jmp -4
	reboot = []byte{0xb0, 0xfe, 0xe6, 0x64, 0xf4} // outb 0xfe to port 0x64: the keyboard controller resets the machine
)

// printing is code that prints a text on the serial port, and then resets the machine.
func printing(text string) []byte {
	code := []byte{
		0xe8, 0, 0, 0x5e, 0x83, 0xc6, 0x15, // call +0; pop si; add si, 21: the text's address
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0x2e, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf7, // cs lodsb; test al, al; jz +3; out dx, al; jmp -9
	}
	return append(append(append(code, reboot...), text...), 0)
}

// kernel is the smallest thing a PC boots as a Linux kernel: setup code that runs code in real mode and never gets to
// Linux. Source: Documentation/arch/x86/boot.rst of the kernel.
func kernel(code []byte) []byte {
	k := make([]byte, 6*512)
	k[0x1f1] = 4                                     // setup_sects
	binary.LittleEndian.PutUint32(k[0x1f4:], 512/16) // syssize
	binary.LittleEndian.PutUint16(k[0x1fe:], 0xaa55) // boot_flag
	k[0x200], k[0x201] = 0xeb, 0x66                  // jump over the header
	copy(k[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(k[0x206:], 0x0200) // version
	k[0x211] = 1                                     // loadflags: LOADED_HIGH
	copy(k[0x268:], code)
	return k
}
