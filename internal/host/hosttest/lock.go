package hosttest

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func lock(t *testing.T, newHost func(t *testing.T) host.Host) {
	t.Run("one holder at a time", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "l")
		ctx := bounded(t)
		var wg sync.WaitGroup
		var holders atomic.Int32
		for range 8 {
			h := newHost(t)
			wg.Go(func() {
				unlock, err := h.Lock(ctx, path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				holders.Add(-1)
				if err := unlock(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("it waits, and says so once", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "l")
		unlock, err := newHost(t).Lock(bounded(t), path, func() { t.Error("waits for a free lock") })
		if err != nil {
			t.Fatal(err)
		}
		waits, got := make(chan bool, 99), make(chan error, 1)
		other := newHost(t)
		go func() {
			unlock, err := other.Lock(bounded(t), path, func() { waits <- true })
			if err == nil {
				err = unlock()
			}
			got <- err
		}()
		receive(t, "call of waiting", waits)
		select {
		case err := <-got:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		if err := unlock(); err != nil {
			t.Error(err)
		}
		if err := receive(t, "lock", got); err != nil {
			t.Error(err)
		}
		if n := len(waits); n != 0 {
			t.Errorf("called waiting %d times", n+1)
		}
		if err := unlock(); err != nil {
			t.Errorf("unlocking again: %v", err)
		}
	})
	t.Run("waiting ends with the context", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "l")
		unlock, err := newHost(t).Lock(bounded(t), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock() //nolint:errcheck // the test is over
		ctx, cancel := context.WithCancel(bounded(t))
		if _, err := newHost(t).Lock(ctx, path, cancel); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	t.Run("no such directory", func(t *testing.T) {
		if _, err := newHost(t).Lock(bounded(t), filepath.Join(t.TempDir(), "none", "l"), nil); err == nil {
			t.Error("no error")
		}
	})
}
