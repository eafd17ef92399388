package build

import (
	"context"
	"errors"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

func TestEmulationMustBeAllowed(t *testing.T) {
	st := &state{Spec: testSpec(), Builder: &Builder{
		Host: host.NewLocal(),
		Accelerator: func(context.Context, host.Arch) (qemu.Accelerator, error) {
			return qemu.Accelerator{Name: qemu.TCG, Reason: "there is no /dev/kvm"}, nil
		},
	}}
	err := chooseAccelerator(t.Context(), st)
	if want := "this host cannot accelerate x86_64 guests: there is no /dev/kvm"; !errors.Is(err, ErrNotAccelerated) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
