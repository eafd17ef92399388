// Package qemu runs the virtual machines of a build: it finds QEMU and its firmware, proves which accelerator really
// works, starts a machine, watches it over QMP, and makes and checks disk images with qemu-img.
//
// Everything happens on a host.Host. QEMU 7.2 is the oldest version that is supported.
package qemu
