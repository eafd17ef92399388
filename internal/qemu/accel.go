package qemu

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// The accelerators by QEMU's names.
const (
	KVM = "kvm" // Linux
	HVF = "hvf" // macOS
	TCG = "tcg" // emulation, everywhere, ten times slower or more
)

// Accelerator is what runs a guest's instructions.
type Accelerator struct {
	Name   string // KVM, HVF or TCG
	Reason string // why it was chosen, for people
}

const (
	// probeTime is how long a guest that does next to nothing may take, QEMU's start included.
	probeTime = 3 * time.Second
	// remoteProbeTime leaves time for a slow connection: where it is not accelerated the probe takes minutes.
	remoteProbeTime = 15 * time.Second
	// probeDiskSize is enough for SeaBIOS to take a boot sector for a disk, in bytes.
	probeDiskSize = 1 << 20
)

var (
	//go:embed probe/x86_64.bin
	probeX86 []byte
	//go:embed probe/arm64.bin
	probeARM []byte
)

// ProbeAccelerator says what runs guests of an architecture on a host. That QEMU knows an accelerator, or that its
// device can be opened, is no proof: some machines have a KVM on which no ordinary guest runs. So a tiny guest must
// run to its end on it; else the answer is TCG, with the reason. An error means that not even the question could be
// asked. It takes up to a few seconds and the answer does not change: callers keep it.
func ProbeAccelerator(ctx context.Context, h host.Host, guest host.Arch) (Accelerator, error) {
	binary, err := FindBinary(h, guest)
	if err != nil {
		return Accelerator{}, err
	}
	if h.Arch() != guest {
		return Accelerator{TCG, fmt.Sprintf("%s guests need emulation on an %s host", guest, h.Arch())}, nil
	}
	built, err := builtIn(ctx, h, binary)
	if err != nil {
		return Accelerator{}, err
	}
	limit := probeTime
	if _, ok := h.(host.Remote); ok {
		limit = remoteProbeTime
	}
	reason := binary + " is built without kvm and hvf"
	for _, name := range []string{KVM, HVF} {
		if !slices.Contains(built, name) {
			continue
		}
		err := probe(ctx, h, binary, guest, name, limit)
		switch {
		case err == nil:
			return Accelerator{name, "a probe guest ran on it"}, nil
		case ctx.Err() != nil:
			return Accelerator{}, fmt.Errorf("cannot probe the accelerator %s: %w", name, context.Cause(ctx))
		case errors.Is(err, host.ErrDisconnected): // which says nothing about the accelerator
			return Accelerator{}, fmt.Errorf("cannot probe the accelerator %s: %w", name, err)
		}
		reason = fmt.Sprintf("%s does not work here: %s", name, err)
	}
	return Accelerator{TCG, reason}, nil
}

// builtIn lists the accelerators that a QEMU is built with.
func builtIn(ctx context.Context, h host.Runner, binary string) ([]string, error) {
	var out bytes.Buffer
	if err := h.Run(ctx, host.Cmd{Argv: []string{binary, "-accel", "help"}, Stdout: &out}); err != nil {
		return nil, fmt.Errorf("cannot ask QEMU for its accelerators: %w", err)
	}
	return strings.Fields(out.String()), nil
}

// probe runs the probe guest on an accelerator for no longer than within.
func probe(ctx context.Context, h host.Host, binary string, guest host.Arch, accel string, within time.Duration) (err error) {
	image := "/tmp/pim-probe-" + strings.ToLower(rand.Text()[:12])
	content, argv, status := probeX86, probeX86Argv, probeX86Status
	if guest == host.ARM64 {
		content, argv, status = probeARM, probeARMArgv, 0
	} else {
		content = append(slices.Clone(content), make([]byte, probeDiskSize-len(content))...)
	}
	if err := host.WriteFile(h, image, content, 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.RemoveIfExists(h, image)) }()

	limit, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var stderr bytes.Buffer
	err = h.Run(limit, host.Cmd{Argv: argv(binary, accel, image), Stderr: &stderr})
	said := firstLine(stderr.String())
	var exit *host.ExitError
	switch {
	case errors.As(err, &exit) && exit.Status == status, err == nil && status == 0:
		return nil
	case errors.As(err, &exit):
		return fmt.Errorf("the probe guest ended with status %d%s", exit.Status, said)
	case limit.Err() != nil:
		return fmt.Errorf("the probe guest did not end within %s%s", within, said)
	case err == nil:
		return fmt.Errorf("the probe guest ended too early%s", said)
	}
	return err
}

// probeX86Status is the exit status of the x86_64 probe's success: isa-debug-exit makes it 2*0x2a + 1.
const probeX86Status = 85

func probeX86Argv(binary, accel, image string) []string {
	return []string{
		binary, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", accel, "-cpu", probeCPU(accel),
		"-m", "64M", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		"-drive", "if=none,id=probe,format=raw,readonly=on,file=" + image, "-device", "virtio-blk-pci,drive=probe,bootindex=0",
	}
}

func probeARMArgv(binary, accel, image string) []string {
	return []string{
		binary, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "virt,gic-version=max", "-accel", accel,
		"-cpu", probeCPU(accel), "-m", "64M", "-kernel", image,
	}
}

func probeCPU(accel string) string {
	if accel == TCG {
		return "max"
	}
	return "host"
}

// firstLine is the first line of what QEMU said, to be added to a message. That we ended it is no news.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.Contains(line, "terminating on signal") {
			return ": " + line
		}
	}
	return ""
}
