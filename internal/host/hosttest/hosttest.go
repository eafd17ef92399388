// Package hosttest holds the conformance suite of host.Host, and a host whose disk fills up.
package hosttest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// limit bounds whatever a test waits for. It is long because it is only ever reached by a defect.
const limit = 30 * time.Second

// Run tests that the hosts newHost returns keep what the Host interface promises. The host must be this machine,
// by whatever way it is reached: the suite looks at it from both sides, through a temporary directory and through
// loopback.
func Run(t *testing.T, newHost func(t *testing.T) host.Host) {
	RunOn(t, newHost, func(network, address string) (net.Listener, error) {
		return new(net.ListenConfig).Listen(t.Context(), network, address)
	})
}

// RunOn is Run for a host with a loopback of its own, on which listen listens. Temporary directories must be the same
// on both sides.
func RunOn(t *testing.T, newHost func(t *testing.T) host.Host, listen listenFunc) {
	suites := []struct {
		name string
		run  func(t *testing.T, newHost func(t *testing.T) host.Host)
	}{
		{"Identity", identity},
		{"Run", run},
		{"Process", process},
		{"Network", func(t *testing.T, newHost func(t *testing.T) host.Host) { network(t, newHost, listen) }},
		{"Files", files},
		{"Lock", lock},
	}
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) { s.run(t, newHost) })
	}
}

func identity(t *testing.T, newHost func(t *testing.T) host.Host) {
	h := newHost(t)
	if h.Name() == "" || h.Arch() == "" {
		t.Errorf("Name() = %q, Arch() = %q: want neither empty", h.Name(), h.Arch())
	}
}

// bounded is the context of a test, which ends long before the test binary's own limit.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// ended is a context that has ended.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// receive waits for a channel.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatalf("no %s after %v", what, limit)
		panic("unreachable")
	}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not after %v", what, limit)
		}
	}
}
