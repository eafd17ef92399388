package build

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// TestLostConnection loses the connection to the machine that builds. The build ends, its guest does not, and the next
// build there ends that, whichever image it is for.
func TestLostConnection(t *testing.T) {
	qemutest.Need(t)
	for name, lose := range map[string]func(*hosttest.SSHD){
		"cut":    (*hosttest.SSHD).Cut,
		"silent": (*hosttest.SSHD).Freeze, // the server goes on, with the guest's monitor in its hands
	} {
		t.Run(name, func(t *testing.T) {
			server := hosttest.StartSSHD(t)
			b, s := testBuildOn(t, remote(t, server), installer(halt))
			b.Progress = func(_ context.Context, m string) {
				if strings.Contains(m, "guest: start") {
					lose(server)
				}
			}
			begun := time.Now()
			fails(t, b, s, "install", "the connection to test was lost", "goes on there", "apply again", "(on test)")
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("the build ended after %s", took)
			}
			here := host.NewLocal()
			record, err := readRecord(here, filepath.Join(b.Store.BuildDir(inputs(t, s).Key()), recordFile))
			if err != nil {
				t.Fatal(err)
			}
			if info, err := here.Stat(record.QMP); err != nil {
				t.Errorf("the guest does not go on: %v, %v", info, err)
			}
			b.Host = remote(t, server)
			b.Store = cache.NewStore(b.Host, filepath.Dir(filepath.Dir(b.Store.BuildDir("000000000000"))), t.TempDir())
			b.Progress = func(_ context.Context, s string) { t.Log(s) }
			awaitLock(t, b, record.Key)
			other := s
			other.DiskSize, other.Timeouts.Install = 2<<30, 2*time.Second
			fails(t, b, other, "install", "did not end within 2s")
			ended(t, record)
			onlyLogs(t, b, other)
		})
	}
}

// remote is a connection that is quick to find that it is lost, and to let go of its locks then.
func remote(t *testing.T, server *hosttest.SSHD) host.Host {
	t.Helper()
	config := server.Client()
	config.DeadAfter, config.LockGrace = 2*time.Second, 2*time.Second
	h, err := host.DialSSH(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// awaitLock waits until the lock of a build that is lost is free again.
func awaitLock(t *testing.T, b *Builder, key string) {
	t.Helper()
	unlock, err := b.Store.Lock(t.Context(), key, nil)
	if err == nil {
		err = unlock()
	}
	if err != nil {
		t.Fatal(err)
	}
}
