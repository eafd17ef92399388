# A boot sector that goes the way every x86_64 kernel goes, from real mode through protected mode into long mode
# with paging on, and then tells QEMU so through its isa-debug-exit device (port 0xf4, value 0x2a, exit status 85).
# Build: as --64 -o p.o x86_64.S && ld -Ttext=0x7c00 --oformat=binary -e start -o x86_64.bin p.o
	.code16
	.globl start
start:	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	inb $0x92, %al			# fast A20 gate
	orb $2, %al
	andb $0xfe, %al
	outb %al, $0x92
	lgdtl gdtr
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $protected
	.code32
protected:
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $0x1000, %edi		# page tables: PML4 0x1000, PDPT 0x2000, PD 0x3000
	movl %edi, %cr3
	xorl %eax, %eax
	movl $0xc00, %ecx
	rep stosl
	movl $0x2003, 0x1000
	movl $0x3003, 0x2000
	movl $0x0083, 0x3000		# the first 2 MiB, one large page
	movl %cr4, %eax
	orl $0x620, %eax		# PAE, and OSFXSR and OSXMMEXCPT for SSE
	movl %eax, %cr4
	movl $0xc0000080, %ecx		# EFER.LME
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax		# paging
	movl %eax, %cr0
	ljmpl $0x18, $long
	.code64
long:	xorl %eax, %eax
	cpuid
	movq $100000000, %rcx		# a tenth of a second on a CPU; minutes on a KVM that interprets its guests
1:	decq %rcx
	jnz 1b
	movb $0x2a, %al
	outb %al, $0xf4
2:	hlt
	jmp 2b
	.balign 8
gdt:	.quad 0
	.quad 0x00cf9a000000ffff	# 0x08 32-bit code
	.quad 0x00cf92000000ffff	# 0x10 data
	.quad 0x00af9a000000ffff	# 0x18 64-bit code
gdtr:	.word gdtr - gdt - 1
	.long gdt
	.org 510
	.word 0xaa55
