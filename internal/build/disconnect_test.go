package build

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// losses are the ways to lose a connection.
var losses = map[string]func(*hosttest.SSHD){
	"cut":    (*hosttest.SSHD).Cut,
	"silent": (*hosttest.SSHD).Freeze, // the server goes on, with the guest's monitor in its hands
}

// later is an "installer" that acts after three seconds of its clock, which the firmware counts at 0x46c.
func later(act []byte) []byte {
	return append([]byte{
		0xfb, 0x31, 0xc0, 0x8e, 0xd8, 0x8b, 0x1e, 0x6c, 0x04, 0x83, 0xc3, 55, // sti; bx = now + 55 ticks
		0xf4, 0x39, 0x1e, 0x6c, 0x04, 0x72, 0xf9, // hlt until then
	}, act...)
}

// TestLostConnection loses the connection to the machine that builds, once in each guest's life. The build takes up the
// installation that goes on there, serves it again, and then the guest it boots.
func TestLostConnection(t *testing.T) {
	qemutest.Need(t)
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			server := hosttest.StartSSHD(t)
			b, s := testBuildOn(t, remote(t, server, 0, 0), installer(later(reboot)))
			s.Timeouts.SSH = 20 * time.Second
			dir := b.Store.BuildDir(inputs(t, s).Key())
			backs := 0
			b.Progress = func(_ context.Context, m string) {
				t.Log(m)
				switch {
				case strings.Contains(m, "guest: start"):
					lose(server)
				case strings.HasSuffix(m, "the connection to test is back"):
					if backs++; backs == 1 {
						askAgain(t, filepath.Join(dir, recordFile))
					}
				}
			}
			fails(t, b, s, "boot", "no SSH connection within 20s", "(on test)", "Screenshot: ")
			if backs != 2 {
				t.Errorf("the connection came back %d times", backs)
			}
			log, err := os.ReadFile(filepath.Join(dir, LogName))
			if n := strings.Count(string(log), "the connection to test was lost, waiting for it"); err != nil || n != 2 {
				t.Errorf("the log tells %d times of a lost connection, %v:\n%s", n, err, log)
			}
			if err := b.Store.DeleteLayer(t.Context(), layer(t, s)); err != nil {
				t.Fatal(err)
			}
			onlyLogs(t, b, s)
		})
	}
}

// askAgain asks for the post-install script as the recorded guest does.
func askAgain(t *testing.T, record string) {
	r, err := readRecord(host.NewLocal(), record)
	if err != nil {
		t.Error(err)
		return
	}
	server := regexp.MustCompile(`http://10\.0\.2\.2(:\d+/[^/]+/)`)
	if argv := strings.Join(r.Process.Argv, " "); server.MatchString(argv) {
		t.Errorf("everybody on the machine sees where the answers are: %s", argv)
	}
	config, err := os.ReadFile(filepath.Join(filepath.Dir(record), "install.conf"))
	base := server.FindStringSubmatch(string(config))
	if base == nil {
		t.Errorf("the guest knows no server: %s, %v", config, err)
		return
	}
	resp, err := http.Get("http://127.0.0.1" + base[1] + installFile)
	if err != nil {
		t.Error(err)
		return
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}

// TestConnectionThatStaysAway has a build end whose connection does not come back, or too late. Its guest does not, and
// the next build there ends that, whichever image it is for.
func TestConnectionThatStaysAway(t *testing.T) {
	qemutest.Need(t)
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			server := hosttest.StartSSHD(t)
			b, s := testBuildOn(t, remote(t, server, 2*time.Second, 2*time.Second), installer(halt))
			b.Progress = func(_ context.Context, m string) {
				t.Log(m)
				if strings.Contains(m, "guest: start") {
					server.Silent(true)
					lose(server)
				}
			}
			fails(t, b, s, "install", "the connection to test was lost", "not come back within 2s", "goes on there", "apply again", "(on test)")
			server.Silent(false)
			nextEnds(t, server, b, s)
		})
	}
	t.Run("not waited for", func(t *testing.T) {
		server := hosttest.StartSSHD(t)
		b, s := testBuildOn(t, remote(t, server, -1, 2*time.Second), installer(halt))
		b.Progress = func(_ context.Context, m string) {
			if t.Log(m); strings.Contains(m, "guest: start") {
				server.Cut()
			}
		}
		fails(t, b, s, "install", "the connection to test was lost", "it is not waited for", "goes on there", "(on test)")
		nextEnds(t, server, b, s)
	})
	t.Run("locks that ran out alone", func(t *testing.T) { // while this machine slept; the connection stands
		server := hosttest.StartSSHD(t)
		b, s := testBuildOn(t, remote(t, server, 0, 2*time.Second), installer(halt))
		data := filepath.Dir(filepath.Dir(b.Store.BuildDir("000000000000")))
		b.Progress = func(_ context.Context, m string) {
			if t.Log(m); strings.Contains(m, "guest: start") {
				hosttest.EndHolder(t, filepath.Join(data, "locks", inputs(t, s).Key()+".lock"))
			}
		}
		fails(t, b, s, "install", "the connection to test was lost", "another build may have begun", "(on test)")
		nextEnds(t, server, b, s)
	})
	t.Run("too late", func(t *testing.T) {
		server := hosttest.StartSSHD(t)
		b, s := testBuildOn(t, remote(t, server, time.Minute, 2*time.Second), installer(halt))
		locks := cache.NewStore(host.NewLocal(), filepath.Dir(filepath.Dir(b.Store.BuildDir("000000000000"))), t.TempDir())
		b.Progress = func(_ context.Context, m string) {
			switch t.Log(m); {
			case strings.Contains(m, "guest: start"):
				server.Cut()
			case strings.HasSuffix(m, "waiting for it"):
				awaitLock(t, locks, inputs(t, s).Key())
			}
		}
		fails(t, b, s, "install", "the connection to test was lost", "another build may have begun", "(on test)")
		nextEnds(t, server, b, s)
	})
}

// TestLostConnection_whileWaiting loses the connection while another build is waited for. The wait goes on over the next
// one, and with nothing of the old one in its way.
func TestLostConnection_whileWaiting(t *testing.T) {
	qemutest.Need(t)
	for _, step := range []string{"lock", "slot"} {
		t.Run(step, func(t *testing.T) {
			server := hosttest.StartSSHD(t)
			b, s := testBuildOn(t, remote(t, server, 0, time.Minute), installer(halt))
			b.MaxParallel, s.Timeouts.Install = 1, 2*time.Second
			data := filepath.Dir(filepath.Dir(b.Store.BuildDir("000000000000")))
			here := cache.NewStore(host.NewLocal(), data, t.TempDir())
			var unlock func() error
			var err error
			if step == "slot" {
				unlock, err = here.TrySlot(t.Context(), 0)
			} else {
				unlock, err = here.Lock(t.Context(), inputs(t, s).Key(), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			waits := 0
			b.Progress = func(_ context.Context, m string) {
				t.Log(m)
				if !strings.HasPrefix(m, "another run builds") && !strings.HasPrefix(m, "all build slots") {
					return
				}
				if waits++; waits == 1 {
					server.Cut()
				} else if err := unlock(); err != nil {
					t.Error(err)
				}
			}
			fails(t, b, s, "install", "did not end within 2s")
			if waits != 2 {
				t.Errorf("%d waits", waits)
			}
		})
	}
}

// nextEnds requires that the guest of a lost build goes on, and that the next build on its machine ends it.
func nextEnds(t *testing.T, server *hosttest.SSHD, b *Builder, s Spec) {
	t.Helper()
	here := host.NewLocal()
	record, err := readRecord(here, filepath.Join(b.Store.BuildDir(inputs(t, s).Key()), recordFile))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := here.Stat(record.QMP); err != nil {
		t.Errorf("the guest does not go on: %v, %v", info, err)
	}
	b.Host = remote(t, server, 0, 2*time.Second)
	b.Store = cache.NewStore(b.Host, filepath.Dir(filepath.Dir(b.Store.BuildDir("000000000000"))), t.TempDir())
	b.Progress = func(_ context.Context, s string) { t.Log(s) }
	awaitLock(t, b.Store, record.Key)
	other := s
	other.DiskSize, other.Timeouts.Install = 2<<30, 2*time.Second
	fails(t, b, other, "install", "did not end within 2s")
	ended(t, record)
	onlyLogs(t, b, other)
}

// remote is a connection that is quick to find that it is lost.
func remote(t *testing.T, server *hosttest.SSHD, patience, grace time.Duration) host.Host {
	t.Helper()
	config := server.Client()
	config.DeadAfter, config.Patience, config.LockGrace = 2*time.Second, patience, grace
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
func awaitLock(t *testing.T, s *cache.Store, key string) {
	t.Helper()
	unlock, err := s.Lock(t.Context(), key, nil)
	if err == nil {
		err = unlock()
	}
	if err != nil {
		t.Fatal(err)
	}
}
