package provider

import (
	"context"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// imageBuilder makes images. A result together with an error is an image that exists although something went
// wrong with it.
type imageBuilder interface {
	Build(ctx context.Context, s build.Spec) (*cache.Image, error)
	// FreeSlots is how many builds could begin at once, math.MaxInt for any number.
	FreeSlots(ctx context.Context) (int, error)
}

// runtime is the configured provider, shared by its resources and data sources.
type runtime struct {
	host       host.Host    // this machine
	store      *cache.Store // the one on it
	machines   *machines    // this one and the remotes
	builders   builderConfig
	kinds      kinds
	lenders    []map[string]any // what is said about a Proxmox cluster outside of a target, first come, first served
	work       *Work
	env        environment
	configDir  string
	projectDir string
	httpProxy  string    // overrides the profile's, "" for none
	unused     sync.Once // the warning about settings of pim.yml that nothing acts on
	announced  sync.Map  // key → announcement
}

// fromProvider takes the runtime that Configure was given. It is nil while the provider is not configured, as in a
// validation.
func fromProvider(data any, diags *diag.Diagnostics) *runtime {
	if data == nil {
		return nil
	}
	rt, ok := data.(*runtime)
	if !ok {
		diags.AddError("Unexpected provider data", "This is a defect of the provider; please report it.")
	}
	return rt
}

// newBuilder is the real builder of a host.
func newBuilder(h host.Host, s *cache.Store, slots int, version string) imageBuilder {
	a := &accelerators{host: h, proven: map[host.Arch]qemu.Accelerator{}}
	return &build.Builder{
		Host: h, Store: s, Version: version, MaxParallel: slots,
		Accelerator: a.probe,
		Progress:    func(ctx context.Context, message string) { tflog.Info(ctx, message) },
	}
}

// accelerators remembers what can run guests on a host: the answer takes seconds and does not change. A probe that
// failed is tried again.
type accelerators struct {
	host   host.Host
	mu     sync.Mutex
	proven map[host.Arch]qemu.Accelerator
}

func (a *accelerators) probe(ctx context.Context, guest host.Arch) (qemu.Accelerator, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if got, ok := a.proven[guest]; ok {
		return got, nil
	}
	got, err := qemu.ProbeAccelerator(ctx, a.host, guest)
	if err == nil {
		a.proven[guest] = got
	}
	return got, err
}
