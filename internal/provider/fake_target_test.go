package provider

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox"
)

// fakeCluster is what the fake targets of one test have in common: templates in memory, by endpoint and id. It keeps the
// contract of deploy.Target, with the settings and effects of a Proxmox cluster.
type fakeCluster struct {
	mu        sync.Mutex
	templates map[string]*fakeTemplate
	next      int64
	used      []proxmox.Settings // what targets were opened with, in order
	warnings  []deploy.Problem   // found by Check

	fail        error // Deploy returns it
	rest        bool  // … together with what it could not remove
	unreachable bool
	dead        string            // an endpoint that does not answer
	aliases     map[string]string // endpoint → another one of the same cluster
	inUse       bool              // deleted templates have clones
	hang        bool              // Deploy lasts until it is cancelled
	begun       chan struct{}     // when not nil, closed by the Deploy that hangs
}

type fakeTemplate struct {
	result deploy.Result
	memory int64
}

// fakeKinds are the real kinds, with the fake in the place of a Proxmox cluster.
func (f *fakeCluster) kinds() kinds {
	ks := targetKinds(deploytest.Pace())
	k := *ks[kindProxmox]
	ks[kindProxmox] = typed(k, func(_ context.Context, s proxmox.Settings) (deploy.Target, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.used = append(f.used, s)
		if s.APIToken == "" && s.Password == "" {
			return nil, &deploy.FieldError{Field: "api_token", Err: fmt.Errorf("there is no token")}
		}
		return &fakeTarget{f, s}, nil
	})
	return ks
}

func (f *fakeCluster) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for id := range f.templates {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// change edits all templates behind the provider's back.
func (f *fakeCluster) change(edit func(t *fakeTemplate)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.templates {
		edit(t)
	}
}

func (f *fakeCluster) set(edit func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit()
}

type fakeTarget struct {
	*fakeCluster
	s proxmox.Settings
}

func (t *fakeTarget) id(r deploy.Result) string {
	return cmp.Or(t.aliases[t.s.Endpoint], t.s.Endpoint) + " " + r.ID
}

func (t *fakeTarget) answers() error {
	if t.unreachable || t.s.Endpoint == t.dead {
		return fmt.Errorf("%s %w", t.s.Endpoint, deploy.ErrUnreachable)
	}
	return nil
}

func (t *fakeTarget) Check(context.Context, deploy.Request) ([]deploy.Problem, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.s.Storage == "full" {
		return []deploy.Problem{{Field: "storage", Summary: "No room", Detail: "The storage is full."}}, nil
	}
	return t.warnings, t.answers()
}

func (t *fakeTarget) Find(_ context.Context, r deploy.Request) (*deploy.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, have := range t.templates {
		if have.result.Name == r.Name && have.result.ImageKey == r.Image.Key {
			return &have.result, nil
		}
	}
	return nil, deploy.ErrNotFound
}

func (t *fakeTarget) Deploy(ctx context.Context, r deploy.Request) (*deploy.Result, error) {
	r.Report("upload", 1, 2)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hang {
		if t.begun != nil {
			close(t.begun)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := t.answers(); err != nil {
		return nil, err
	}
	t.next++
	vmid := 8999 + t.next
	made := deploy.Result{
		ID: fmt.Sprintf("%s/%d", t.s.Node, vmid), Name: r.Name, ImageKey: r.Image.Key, Node: t.s.Node, VMID: vmid,
		UUID: fmt.Sprintf("uuid-%d", vmid), DeployedAt: time.Date(2026, 1, 2, 3, 4, int(t.next), 0, time.UTC),
	}
	if t.fail != nil && !t.rest {
		return nil, t.fail
	}
	if t.templates == nil {
		t.templates = map[string]*fakeTemplate{}
	}
	t.templates[t.id(made)] = &fakeTemplate{made, t.s.Memory}
	return &made, t.fail
}

func (t *fakeTarget) Update(_ context.Context, r deploy.Request, have deploy.Result) (*deploy.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.answers(); err != nil {
		return nil, err
	}
	it := t.templates[t.id(have)]
	it.memory, it.result.Name = t.s.Memory, r.Name
	now := it.result
	return &now, nil
}

func (t *fakeTarget) Read(_ context.Context, have deploy.Result) (*deploy.Result, []string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.answers(); err != nil {
		return nil, nil, err
	}
	it, ok := t.templates[t.id(have)]
	if !ok {
		return nil, nil, deploy.ErrNotFound
	}
	var drift []string
	if it.memory != t.s.Memory {
		drift = append(drift, fmt.Sprintf("memory is %d, not %d", it.memory, t.s.Memory))
	}
	now := it.result
	return &now, drift, nil
}

func (t *fakeTarget) Delete(_ context.Context, have deploy.Result) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.answers(); err != nil {
		return err
	}
	if t.inUse {
		return fmt.Errorf("a clone is %w", deploy.ErrInUse)
	}
	delete(t.templates, t.id(have))
	return nil
}
