package qemu

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// needX86 skips a test on a machine that does not have the QEMU for x86_64 guests.
func needX86(t *testing.T) (host.Host, string) {
	t.Helper()
	qemutest.Need(t)
	h := host.NewLocal()
	binary, err := FindBinary(h, host.X86_64)
	if err != nil {
		t.Fatal(err)
	}
	return h, binary
}

// otherArch is a machine of another architecture than its guests.
type otherArch struct {
	host.Host
	arch host.Arch
}

func (o otherArch) Arch() host.Arch { return o.arch }

// published records the files that are made on a host. Other tests' probes run at the same time, in the same folder.
type published struct {
	host.Host
	files []string
}

func (p *published) Rename(oldpath, newpath string) error {
	p.files = append(p.files, newpath)
	return p.Host.Rename(oldpath, newpath)
}

func TestProbeRunsUnderEmulation(t *testing.T) {
	h, binary := needX86(t)
	p := &published{Host: h}
	if err := probe(t.Context(), p, binary, host.X86_64, TCG, time.Minute); err != nil { // the machine may be busy
		t.Errorf("the probe guest does not run under emulation: %v", err)
	}
	if len(p.files) != 1 {
		t.Fatalf("it made %q", p.files)
	}
	gone(t, p.files[0])
}

// The probe guest of arm64 runs on the board that guests get.
func TestProbeRunsUnderEmulationOnARM(t *testing.T) {
	h := host.NewLocal()
	binary, err := FindBinary(h, host.ARM64)
	if err != nil {
		t.Skip(err)
	}
	if err := probe(t.Context(), h, binary, host.ARM64, TCG, time.Minute); err != nil {
		t.Errorf("the probe guest does not run under emulation: %v", err)
	}
}

// A guest that hangs, as under the KVM of some machines, is ended, and the reason says so.
func TestProbeHangs(t *testing.T) {
	h, binary := needX86(t)
	start := time.Now()
	err := probe(t.Context(), h, binary, host.X86_64, TCG, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "did not end within 1ms") || time.Since(start) > 10*time.Second {
		t.Errorf("got %v after %s", err, time.Since(start))
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
	want := Accelerator{TCG, "x86_64 guests need emulation on an arm64 host"}
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

// unreachable is a machine whose QEMU has KVM, and whose connection is lost when that is tried.
type unreachable struct{ otherArch }

func (u unreachable) Run(_ context.Context, c host.Cmd) error {
	if c.Argv[len(c.Argv)-1] != "help" {
		return host.ErrDisconnected
	}
	_, err := io.WriteString(c.Stdout, KVM+"\n")
	return err
}

// A loss of the connection says nothing about an accelerator: the answer would be kept.
func TestProbeAcceleratorDisconnected(t *testing.T) {
	h, _ := needX86(t)
	got, err := ProbeAccelerator(t.Context(), unreachable{otherArch{h, host.X86_64}}, host.X86_64)
	if !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A QEMU that fails is told with its own words.
func TestProbeFailure(t *testing.T) {
	h, binary := needX86(t)
	err := probe(t.Context(), h, binary, host.X86_64, "nonsense", time.Minute)
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v", err)
	}
}
