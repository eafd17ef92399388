package provider

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

func TestMachinesConnectOnce(t *testing.T) {
	w := newWorld(t)
	pve := w.builtBy("pve")[0]
	ms := w.runtime().machines
	var dialled atomic.Int64
	ms.dial = func(ctx context.Context, c host.SSHConfig) (remoteHost, error) {
		dialled.Add(1)
		if c.Name != "pve" || c.Host != "pve.example.test" {
			t.Errorf("dialled %+v", c)
		}
		return w.dial(ctx, c)
	}
	found := ms.candidates(t.Context(), []string{"pve", "local", "pve", "nobody"})
	if found[0].err != nil || found[0].machine != found[2].machine || found[1].machine != ms.local || dialled.Load() != 1 {
		t.Errorf("%+v, dialled %d times", found, dialled.Load())
	}
	if err := found[3].err; err == nil || !strings.Contains(err.Error(), `"nobody" is none of the remotes: add it`) {
		t.Errorf("a remote that is not there: %v", err)
	}
	m := found[0].machine
	if want := filepath.Join(pve.home, ".local/share/pim/builds"); !strings.HasPrefix(m.logPath(strings.Repeat("a", 64)), want) {
		t.Errorf("its builds are at %s, want %s", m.logPath(strings.Repeat("a", 64)), want)
	}
	pve.away.Store(true)
	if _, err := ms.get(t.Context(), "pve"); !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("away: %v", err)
	}
	pve.away.Store(false)
	if again, err := ms.get(t.Context(), "pve"); err != nil || again != m || dialled.Load() != 1 {
		t.Errorf("back again: %v, %v, dialled %d times", again, err, dialled.Load())
	}
}

// A remote that never answers is given up, by all who wait, at once.
func TestMachinesGiveUp(t *testing.T) {
	w := newWorld(t)
	w.builtBy("pve")
	ms := w.runtime().machines
	synctest.Test(t, func(t *testing.T) {
		ms.dial = func(ctx context.Context, _ host.SSHConfig) (remoteHost, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		found := ms.candidates(t.Context(), []string{"pve", "pve"})
		for _, c := range found {
			if c.err == nil || c.err.Error() != "no answer within 30s" {
				t.Errorf("%v", c.err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ms.get(ctx, "pve"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := ms.get(t.Context(), "pve"); err == nil { // also waits for what the last one began
			t.Error("there is no remote")
		}
	})
}

func TestMachinesBySSH(t *testing.T) {
	s := hosttest.StartSSHD(t)
	w := newWorld(t)
	ms := newMachines(w.host, cache.NewStore(w.host, w.data, w.downloads), builderConfig{Remotes: map[string]profile.Remote{"pve": {
		Host: "127.0.0.1", Port: int64(s.Port), User: s.User, IdentityFile: s.Identity, KnownHosts: s.KnownHosts, WorkDir: "~/x",
	}}}, &pimProvider{builder: w.builder, dial: w.dial})
	m, err := ms.get(t.Context(), "pve")
	if err != nil {
		t.Fatal(err)
	}
	if got := m.logPath(strings.Repeat("a", 64)); !filepath.IsAbs(got) || !strings.Contains(got, "/x/builds/") {
		t.Errorf("its builds are at %s", got)
	}
	if _, err := m.host.Stat("/proc/meminfo"); err == nil && freeMemory(m.host) == 0 {
		t.Error("it has no memory")
	}
	s.Cut()
	<-m.link.Disconnected()
	if again, err := ms.get(t.Context(), "pve"); err != nil || again != m {
		t.Errorf("after a cut: %v", err)
	}
	waitsOn(t, s, m)
	if err := ms.close(); err != nil {
		t.Error(err)
	}
	if _, err := m.host.Stat("/"); !errors.Is(err, host.ErrDisconnected) {
		t.Errorf("after the end: %v", err)
	}
}

// waitsOn requires that the loss of the connection does not end the wait for a lock.
func waitsOn(t *testing.T, s *hosttest.SSHD, m *machine) {
	t.Helper()
	key := strings.Repeat("a", 64)
	builds := filepath.Dir(filepath.Dir(m.logPath(key)))
	unlock, err := cache.NewStore(host.NewLocal(), filepath.Dir(builds), t.TempDir()).Lock(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	waits, got := make(told, 1), make(chan error)
	go func() {
		release, err := m.lock(tflogtest.RootLogger(t.Context(), waits), key)
		if err == nil {
			err = release()
		}
		got <- err
	}()
	<-waits
	s.Cut()
	<-m.link.Disconnected()
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// told takes a log and passes on that there was something in it.
type told chan struct{}

func (c told) Write(p []byte) (int, error) {
	select {
	case c <- struct{}{}:
	default:
	}
	return len(p), nil
}

func TestAssign(t *testing.T) {
	for name, tc := range map[string]struct {
		slots, free []int
		want        string // in the order of as many builds
	}{
		"without limits by turns":    {[]int{0, 0}, []int{0, 0}, "a b a b"},
		"free slots":                 {[]int{2, 4}, []int{2, 3}, "b b a b"},
		"what others hold counts":    {[]int{2, 2}, []int{0, 1}, "b b"},
		"what cannot begin yet, too": {[]int{1, 1}, []int{1, 1}, "a b"},
		"one":                        {[]int{1}, []int{0}, "a a"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.builds.free = map[string]int{}
			var able []*machine
			for i, free := range tc.free {
				r := w.remote(string(rune('a'+i)), host.X86_64)
				r.bare = true
				w.builds.free[r.name] = free
				able = append(able, &machine{name: r.name, host: r, builder: w.builder(r, nil, 0), slots: tc.slots[i]})
			}
			var got []string
			ms := &machines{}
			for range strings.Fields(tc.want) {
				m, done := ms.assign(t.Context(), able)
				defer done()
				got = append(got, m.name)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %v, want %s", got, tc.want)
			}
		})
	}
}
