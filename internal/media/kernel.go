package media

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// i386 is what a 32-bit x86 kernel is for. No image is built for it, but people take such an ISO by mistake.
const i386 host.Arch = "i386"

// kernelArch tells what a Linux kernel runs on from its head, "" if that does not tell.
// Sources: Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst of Linux, the PE format.
func kernelArch(kernel io.ReaderAt) host.Arch {
	head := make([]byte, 4096)
	n, _ := io.ReadFull(io.NewSectionReader(kernel, 0, int64(len(head))), head) // a short kernel is an unknown one
	head = head[:n]
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		head = gunzip(head)
	}
	switch {
	case at(head, 0x202, "HdrS"):
		const protocol, xloadflags = 0x206, 0x236
		if len(head) >= xloadflags+2 && binary.LittleEndian.Uint16(head[protocol:]) >= 0x20c &&
			head[xloadflags]&1 == 0 { // XLF_KERNEL_64
			return i386
		}
		return host.X86_64
	case at(head, 0x38, "ARM\x64"):
		return host.ARM64
	case at(head, 0, "MZ"):
		return peArch(head)
	}
	return ""
}

func at(b []byte, offset int, s string) bool {
	return len(b) >= offset+len(s) && string(b[offset:offset+len(s)]) == s
}

// gunzip unpacks as much as the beginning of a gzip stream gives.
func gunzip(packed []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	head, _ := io.ReadAll(io.LimitReader(r, 4096)) // it ends early, since the input does
	return head
}

// peArch is the machine type of an EFI program, as a compressed arm64 kernel is one.
func peArch(head []byte) host.Arch {
	if len(head) < 0x40 {
		return ""
	}
	pe := int64(binary.LittleEndian.Uint32(head[0x3c:]))
	if pe+6 > int64(len(head)) || string(head[pe:pe+4]) != "PE\x00\x00" {
		return ""
	}
	switch binary.LittleEndian.Uint16(head[pe+4:]) {
	case 0xaa64:
		return host.ARM64
	case 0x8664:
		return host.X86_64
	}
	return ""
}
