// Package build is the pipeline that turns a Spec into a stored image. Builder.Build reads like its table of
// contents; every step is a file of its own.
package build

import (
	"context"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// Builder builds images on one host into one store.
type Builder struct {
	Host    host.Host
	Store   *cache.Store
	Version string // the provider's, for the manifest
	// Accelerator proves what can run a guest of an architecture on the host.
	Accelerator func(ctx context.Context, guest host.Arch) (qemu.Accelerator, error)
	// Progress is told each step as it begins, and what it is waiting for; nil for none.
	Progress func(ctx context.Context, message string)
}

// Build returns the stored image of a spec, building it when there is none. Any number of calls for one spec, in
// any number of processes, build once. A failure is an *Error; nothing of a failed build stays but its logs.
func (b *Builder) Build(ctx context.Context, s Spec) (*cache.Image, error) {
	panic("being written by the lead")
}
