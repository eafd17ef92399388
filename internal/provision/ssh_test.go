package provision_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/provision/provisiontest"
)

// every is how often tests poll.
const every = 10 * time.Millisecond

// connect starts a guest and connects to it.
func connect(t *testing.T) (*provisiontest.Server, *provision.Guest) {
	t.Helper()
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	g, err := provision.Connect(t.Context(), s.Dial, s.Addr, id, "root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, g
}

func TestConnectFails(t *testing.T) {
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	tests := map[string]struct {
		faults provisiontest.Faults
		id     provision.Identity
		want   error
	}{
		"live installer": {provisiontest.Faults{Stranger: true}, id, provision.ErrHostKey},
		"refused key":    {provisiontest.Faults{RefuseKey: true}, id, provision.ErrAuth},
		"silent":         {provisiontest.Faults{Silent: true}, id, context.DeadlineExceeded},
		"another build":  {provisiontest.Faults{}, newIdentity(t), provision.ErrHostKey},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s.SetFaults(tc.faults)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := provision.Connect(ctx, s.Dial, s.Addr, tc.id, "root")
			if !errors.Is(err, tc.want) {
				t.Errorf("got error %v, want %v", err, tc.want)
			}
		})
	}
	if _, err := provision.Connect(t.Context(), s.Dial, s.Addr, provision.Identity{}, "root"); err == nil {
		t.Error("an identity without keys connected")
	}
}

func TestConnectTellsAPortWithoutServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // as QEMU does for a guest that refuses the connection
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	dial := new(net.Dialer).DialContext
	_, err = provision.Connect(t.Context(), dial, ln.Addr().String(), newIdentity(t), "root")
	if !errors.Is(err, provision.ErrNoBanner) {
		t.Errorf("got error %v, want ErrNoBanner", err)
	}
	_ = ln.Close()
	_, err = provision.Connect(t.Context(), dial, ln.Addr().String(), newIdentity(t), "root")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got error %v, want a refused connection", err)
	}
}

func TestWaitSSH(t *testing.T) {
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	s.SetFaults(provisiontest.Faults{Stranger: true})
	seen := 0
	g, err := provision.WaitSSH(t.Context(), s.Dial, s.Addr, id, "root", every, func(err error) {
		if !errors.Is(err, provision.ErrHostKey) {
			t.Errorf("saw %v, want the live installer", err)
		}
		if seen++; seen == 3 { // the installed system is up now
			s.SetFaults(provisiontest.Faults{})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if seen != 3 {
		t.Errorf("told of %d tries, want 3", seen)
	}
	if out, err := g.Output(t.Context(), "echo up"); err != nil || string(out) != "up\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestWaitSSHSaysWhatItSawLast(t *testing.T) {
	errLimit := errors.New("no SSH within 1s")
	tests := map[string]struct {
		faults provisiontest.Faults
		want   string
	}{
		"live installer": {provisiontest.Faults{Stranger: true}, "another system answers"},
		"refused key":    {provisiontest.Faults{RefuseKey: true}, "refuses the SSH key (user root)"},
		"silent":         {provisiontest.Faults{Silent: true}, "nothing yet"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			id := newIdentity(t)
			s := provisiontest.Start(t, id)
			s.SetFaults(tc.faults)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errLimit)
			defer cancel()
			_, err := provision.WaitSSH(ctx, s.Dial, s.Addr, id, "root", every, nil)
			if !errors.Is(err, errLimit) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want the limit and %q", err, tc.want)
			}
		})
	}
}

func TestCloseMayBeRepeated(t *testing.T) {
	s, g := connect(t)
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	if _, err := g.Output(t.Context(), "true"); !errors.Is(err, provision.ErrConnectionLost) {
		t.Errorf("got error %v, want ErrConnectionLost", err)
	}
	s.Cut()
}
