package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// machine is one that builds and keeps images.
type machine struct {
	name     string // profile.Local or a remote's
	host     host.Host
	link     remoteHost // the host of a remote, nil for this machine
	store    *cache.Store
	builder  imageBuilder
	slots    int // builds at a time, 0 for any number
	assigned int // builds of this process that are to run there; machines.mu guards it
}

// remoteHost is a machine behind a connection, as host.SSH is.
type remoteHost interface {
	host.Host
	Disconnected() <-chan struct{}
	Reconnect(ctx context.Context) error
	Close() error
}

func dialSSH(ctx context.Context, c host.SSHConfig) (remoteHost, error) {
	h, err := host.DialSSH(ctx, c)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// remoteName is "" for this machine.
func (m *machine) remoteName() string {
	if m.link == nil {
		return ""
	}
	return m.name
}

// logPath is the log of the build of a key, on the machine.
func (m *machine) logPath(key string) string { return path.Join(m.store.BuildDir(key), build.LogName) }

// has reports whether the machine keeps a valid image, so that it need not be built.
func (m *machine) has(ctx context.Context, s build.Spec, key string) bool {
	if key == "" {
		return false
	}
	img, err := m.store.Image(ctx, s.Name, s.Arch, key)
	return err == nil && m.store.Verify(ctx, img) == nil
}

// fits tells what keeps the machine from building an image.
func (m *machine) fits(ctx context.Context, s build.Spec) error {
	if arch := m.host.Arch(); m.link != nil && arch != s.Arch && !s.Emulation {
		return fmt.Errorf("it is %s and would have to emulate %s; name it for %s images only, or set emulation = true", arch, s.Arch, arch)
	}
	return tools(ctx, m.host, s)
}

// reachTime bounds how long a remote may take to answer.
const reachTime = 30 * time.Second

// machines are this one, and the remotes, each connected to when something is first wanted of it.
type machines struct {
	local   *machine
	config  builderConfig
	dial    func(context.Context, host.SSHConfig) (remoteHost, error)
	equip   func(h host.Host, s *cache.Store, slots int) imageBuilder
	dialing singleflight.Group // by a remote's name: who waits shares the answer

	mu      sync.Mutex
	reached map[string]*machine
}

func newMachines(h host.Host, s *cache.Store, c builderConfig, p *pimProvider) *machines {
	return &machines{
		local:  &machine{name: profile.Local, host: h, store: s, builder: p.builder(h, s, c.MaxParallel), slots: c.MaxParallel},
		config: c, dial: p.dial, equip: p.builder, reached: map[string]*machine{},
	}
}

// names are those of the remotes.
func (ms *machines) names() []string { return slices.Sorted(maps.Keys(ms.config.Remotes)) }

// get returns a machine that answers; "" stands for this one. A connection that was lost is made anew.
func (ms *machines) get(ctx context.Context, name string) (*machine, error) {
	if name == "" || name == profile.Local {
		return ms.local, nil
	}
	answer := ms.dialing.DoChan(name, func() (any, error) {
		limit := ms.patience(name)
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, fmt.Errorf("no answer within %s", limit))
		defer cancel()
		return ms.reach(ctx, name)
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(*machine), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// patience is how long a remote may take to answer: one that was there already, as long as is worth waiting for it.
func (ms *machines) patience(name string) time.Duration {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if m := ms.reached[name]; m != nil {
		if r, ok := m.link.(host.Remote); ok {
			return max(reachTime, r.Patience())
		}
	}
	return reachTime
}

// reach connects to a remote where that is needed.
func (ms *machines) reach(ctx context.Context, name string) (*machine, error) {
	ms.mu.Lock()
	m := ms.reached[name]
	ms.mu.Unlock()
	if m != nil {
		select {
		case <-m.link.Disconnected():
			return m, m.link.Reconnect(ctx)
		default:
			return m, nil
		}
	}
	if ms.config.Err != nil {
		return nil, ms.config.Err
	}
	remote, ok := ms.config.Remotes[name]
	if !ok {
		return nil, fmt.Errorf("%q is none of the remotes: add it to build.remotes of pim.yml or to the provider's remotes", name)
	}
	link, err := ms.dial(ctx, sshConfig(name, remote))
	if err != nil {
		return nil, err
	}
	dir, err := workDir(ctx, link, remote.WorkDir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot tell the folder %s of %s: %w", remote.WorkDir, name, err), link.Close())
	}
	slots := int(remote.MaxParallelBuilds)
	m = &machine{name: name, host: link, link: link, store: cache.NewRemoteStore(link, dir, path.Join(dir, "cache"), ms.local.store), slots: slots}
	m.builder = ms.equip(link, m.store, slots)
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.reached[name] = m
	return m, nil
}

func sshConfig(name string, r profile.Remote) host.SSHConfig {
	c := host.SSHConfig{Name: name, Host: r.Host, Port: int(r.Port), User: r.User, IdentityFile: r.IdentityFile, JumpHost: r.JumpHost}
	if r.KnownHosts != "" {
		c.KnownHosts = []string{r.KnownHosts}
	}
	if p := r.ReconnectTimeout; p != nil {
		c.Patience = *p
		if *p == 0 {
			c.Patience = -1
		}
	}
	return c
}

// workDir is a folder's absolute path on a machine.
func workDir(ctx context.Context, h host.Runner, dir string) (string, error) {
	rest, ok := strings.CutPrefix(dir, "~/")
	if !ok {
		return path.Clean(dir), nil
	}
	var home strings.Builder
	if err := h.Run(ctx, host.Cmd{Argv: []string{"sh", "-c", `printf %s "$HOME"`}, Stdout: &home}); err != nil {
		return "", err
	}
	if !path.IsAbs(home.String()) {
		return "", fmt.Errorf("its user's home is %q: give an absolute path as work_dir", home.String())
	}
	return path.Join(home.String(), rest), nil
}

// close ends all connections. What runs on the remotes goes on.
func (ms *machines) close() error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	var errs []error
	for _, m := range ms.reached {
		errs = append(errs, m.link.Close())
	}
	clear(ms.reached)
	return errors.Join(errs...)
}
