//go:build linux || darwin

package host

import (
	"context"
	"net"
	"runtime"
)

// Local is the machine the provider runs on. The zero value is not ready: use NewLocal.
type Local struct {
	arch Arch
	localFiles
}

var _ Host = (*Local)(nil)

// NewLocal returns the machine the provider runs on.
func NewLocal() *Local { return &Local{arch: archOf(runtime.GOARCH)} }

// archOf translates Go's name of an architecture; one that no image is built for keeps Go's name.
func archOf(goarch string) Arch {
	switch goarch {
	case "amd64":
		return X86_64
	case "arm64":
		return ARM64
	default:
		return Arch(goarch)
	}
}

// Name is "local".
func (*Local) Name() string { return "local" }

// Arch is the architecture the provider was compiled for.
func (l *Local) Arch() Arch { return l.arch }

// Dial connects to a "unix" or "tcp" address.
func (*Local) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "unix" && network != "tcp" {
		return nil, net.UnknownNetworkError(network)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// Listen listens on a loopback "tcp" address. Any other is refused, so that nothing a build serves can be
// reached from the network by mistake.
func (*Local) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if err := loopbackOnly(network, address); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, network, address)
}
