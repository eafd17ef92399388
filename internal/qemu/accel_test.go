package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// needX86 skips a test on a machine that does not have the QEMU for x86_64 guests.
func needX86(t *testing.T) (host.Host, string) {
	t.Helper()
	h := host.NewLocal()
	binary, err := FindBinary(h, host.X86_64)
	if errors.Is(err, host.ErrNotFound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, binary
}

// armHost is a machine of another architecture than its guests.
type otherArch struct {
	host.Host
	arch host.Arch
}

func (o otherArch) Arch() host.Arch { return o.arch }

func TestProbeRunsUnderEmulation(t *testing.T) {
	h, binary := needX86(t)
	if err := probe(t.Context(), h, binary, host.X86_64, TCG); err != nil {
		t.Errorf("the probe guest does not run under emulation: %v", err)
	}
	left, err := filepath.Glob("/tmp/pim-probe-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestProbeAcceleratorGivesAReason(t *testing.T) {
	h, _ := needX86(t)
	got, err := ProbeAccelerator(t.Context(), otherArch{h, host.X86_64}, host.X86_64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", got)
	if got.Reason == "" || got.Name == "" {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat("/dev/kvm"); err != nil && got.Name == KVM {
		t.Error("KVM without /dev/kvm")
	}
}

func TestProbeAcceleratorOtherArchitecture(t *testing.T) {
	h, _ := needX86(t)
	got, err := ProbeAccelerator(t.Context(), otherArch{h, host.ARM64}, host.X86_64)
	if err != nil {
		t.Fatal(err)
	}
	want := Accelerator{TCG, "x86_64 guests need emulation on a arm64 host"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestProbeAcceleratorCancelled(t *testing.T) {
	h, _ := needX86(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := ProbeAccelerator(ctx, otherArch{h, host.X86_64}, host.X86_64); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A QEMU that fails is told with its own words.
func TestProbeFailure(t *testing.T) {
	h, binary := needX86(t)
	err := probe(t.Context(), h, binary, host.X86_64, "nonsense")
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v", err)
	}
}
