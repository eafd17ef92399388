package cache

import (
	"crypto/sha256"
	"errors"
	"math/rand"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// TestFetchWithoutALink unplugs the cable in the middle of an image: for a moment, which the fetch sits out, and until
// the connection is given up, after which another goes on where it was.
func TestFetchWithoutALink(t *testing.T) {
	data := make([]byte, 64<<20)
	rand.New(rand.NewSource(1)).Read(data)
	for name, dead := range map[string]time.Duration{"for 5 s": time.Minute, "for longer": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			m := hosttest.StartMachine(t, hosttest.MachineOptions{})
			c := m.Client()
			c.DeadAfter = dead
			h, err := host.DialSSH(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			local := newStore(t)
			remote := NewRemoteStore(h, hosttest.WorkDir, "/var/tmp", local)
			publishedOn(t, NewStore(local.h, m.Here(remote.dataDir), t.TempDir()), string(data))
			img, err := lookUp(t, remote)
			if err != nil {
				t.Fatal(err)
			}
			down, result := make(chan int64, 1), make(chan error, 1)
			var once sync.Once
			go func() {
				_, err := local.Fetch(t.Context(), remote, img, func(done, _ int64) {
					if done >= 8<<20 {
						once.Do(func() { m.LinkDown(); down <- done })
					}
				})
				result <- err
			}()
			had := <-down
			if dead == time.Minute {
				select {
				case err := <-result:
					t.Fatalf("it ended without a link: %v", err)
				case <-time.After(5 * time.Second):
				}
				m.LinkUp()
				if err := <-result; err != nil {
					t.Fatal(err)
				}
			} else {
				if err := <-result; !errors.Is(err, host.ErrDisconnected) {
					t.Fatalf("got %v, want ErrDisconnected", err)
				}
				m.LinkUp()
				if err := h.Reconnect(t.Context()); err != nil {
					t.Fatal(err)
				}
				var first sync.Once
				if _, err := local.Fetch(t.Context(), remote, img, func(done, _ int64) {
					first.Do(func() {
						if done < had {
							t.Errorf("it went on at %d, and had %d before", done, had)
						}
					})
				}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := lookUp(t, local)
			if err != nil {
				t.Fatal(err)
			}
			if copied, err := os.ReadFile(got.Path); err != nil || sha256.Sum256(copied) != sha256.Sum256(data) {
				t.Errorf("the fetched image is another: %v", err)
			}
		})
	}
}
