package deploytest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// phase is one of the things done to a deployment, whose every request is made to fail.
type phase struct {
	name string
	// before brings the deployment to where the phase begins.
	before func(t *testing.T, s *subject)
	// do is the phase. It returns its error and leaves in the state what exists.
	do func(ctx context.Context, s *subject) error
}

func phases(t *testing.T, b *bench) []phase {
	t.Helper()
	first, second := b.request(t, "first"), b.request(t, "second")
	apply := func(r deploy.Request) func(context.Context, *subject) error {
		return func(ctx context.Context, s *subject) error {
			// A warning is about an old generation that could not be deleted. It is in the state.
			_, err := s.apply(ctx, r, deploy.Options{})
			return err
		}
	}
	deployed := func(t *testing.T, s *subject) { s.mustApply(t, first, deploy.Options{}) }
	return []phase{
		{"create", func(*testing.T, *subject) {}, apply(first)},
		{"replace", deployed, apply(second)},
		{"destroy", deployed, func(ctx context.Context, s *subject) (err error) {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			s.state, _, err = deploy.Destroy(ctx, s.target, s.state)
			return err
		}},
	}
}

// requests are those that a phase makes when nothing fails.
func (b *bench) requests(t *testing.T, p phase) []string {
	t.Helper()
	s := b.subject(t)
	p.before(t, s)
	s.Faults().Arm(0, "")
	must(t, p.do(t.Context(), s))
	seen := s.Faults().Requests()
	if len(seen) == 0 {
		t.Fatalf("%s made no request: are the faults between the target and its backend?", p.name)
	}
	return seen
}

// faults makes each request of each phase fail once, in each way there is.
func faults(t *testing.T, b *bench) {
	for _, p := range phases(t, b) {
		for i, request := range b.requests(t, p) {
			for _, mode := range Modes {
				t.Run(fmt.Sprintf("%s/%d %s %s", p.name, i+1, strings.ReplaceAll(request, "/", "_"), mode), func(t *testing.T) {
					t.Parallel()
					s := b.subject(t)
					p.before(t, s)
					s.Faults().Arm(i+1, mode)
					err := p.do(t.Context(), s)
					s.recovers(t, b, err)
				})
			}
		}
	}
}

// cancelled ends the context as each request of each phase arrives.
func cancelled(t *testing.T, b *bench) {
	for _, p := range phases(t, b) {
		for i, request := range b.requests(t, p) {
			t.Run(fmt.Sprintf("%s/%d %s", p.name, i+1, strings.ReplaceAll(request, "/", "_")), func(t *testing.T) {
				t.Parallel()
				s := b.subject(t)
				p.before(t, s)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s.Faults().Call(i+1, cancel)
				err := p.do(ctx, s)
				s.recovers(t, b, err)
			})
		}
	}
}

// recovers wants nothing to be left that the state does not know, and the next apply to succeed.
func (s *subject) recovers(t *testing.T, b *bench, err error) {
	t.Helper()
	t.Logf("ended with: %v", err)
	s.Faults().Arm(0, "")
	s.settled(t)
	r := b.request(t, "second")
	s.mustApply(t, r, deploy.Options{Recreate: s.missing(t)})
	s.settled(t)
	s.serves(t, *s.state.Current, r.Image.Path)
	s.clean(t)
	s.destroy(t)
}

// missing is what a plan would find before the next apply.
func (s *subject) missing(t *testing.T) bool {
	t.Helper()
	now, status, _, err := deploy.Refresh(t.Context(), s.target, s.state)
	must(t, err)
	s.state = now
	return status == deploy.StatusMissing
}
