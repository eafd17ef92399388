// A kernel image that asks the firmware to power the machine off (PSCI SYSTEM_OFF, Arm DEN0022, 5.1.9): QEMU then
// exits with status 0.
// Build: aarch64-linux-gnu-as -o p.o arm64.S && aarch64-linux-gnu-objcopy -O binary p.o arm64.bin
	mov	w0, #0x0008
	movk	w0, #0x8400, lsl #16
	hvc	#0
1:	b	1b
