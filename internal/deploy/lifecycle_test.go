package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// shelf is a target in memory: id → image key.
type shelf struct {
	objects map[string]string
	used    map[string]bool  // ids others depend on
	fails   map[string]error // method or "delete ID" → its error
	fixed   bool             // every generation has the same id
	made    int
	calls   []string
}

func newShelf() *shelf {
	return &shelf{objects: map[string]string{}, used: map[string]bool{}, fails: map[string]error{}}
}

func (s *shelf) call(name string) error {
	s.calls = append(s.calls, name)
	return s.fails[name]
}

func (*shelf) Check(context.Context, Request) ([]Problem, error) { return nil, nil }

func (s *shelf) Find(_ context.Context, r Request) (*Result, error) {
	if err := s.fails["find"]; err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(s.objects)) {
		if s.objects[id] == r.Image.Key {
			return &Result{ID: id, ImageKey: r.Image.Key}, nil
		}
	}
	return nil, ErrNotFound
}

func (s *shelf) Deploy(_ context.Context, r Request) (*Result, error) {
	err := s.call("deploy")
	if err != nil && !errors.Is(err, errLeft) {
		return nil, err
	}
	s.made++
	id := fmt.Sprint("id-", s.made)
	if s.fixed {
		id = "id"
	}
	s.objects[id] = r.Image.Key
	return &Result{ID: id, ImageKey: r.Image.Key}, err
}

func (s *shelf) Update(_ context.Context, _ Request, have Result) (*Result, error) {
	return &have, s.call("update")
}

func (s *shelf) Read(_ context.Context, have Result) (*Result, []string, error) {
	if s.objects[have.ID] != have.ImageKey {
		return nil, nil, ErrNotFound
	}
	return &have, nil, s.fails["read"]
}

func (s *shelf) Delete(_ context.Context, have Result) error {
	if err := s.call("delete " + have.ID); err != nil {
		return err
	}
	if s.used[have.ID] {
		return fmt.Errorf("a clone: %w", ErrInUse)
	}
	delete(s.objects, have.ID)
	return nil
}

func (s *shelf) Aside(_ context.Context, _ Request, have Result) (*Result, error) {
	if !s.fixed {
		return nil, nil
	}
	have.ID = "kept-" + have.ImageKey
	s.objects[have.ID] = have.ImageKey
	return &have, nil
}

// errLeft is the error of a Deploy that could not remove what it made.
var errLeft = errors.New("half-way")

func request(key string) Request { return Request{Image: Image{Key: key}} }

func ids(s State) string {
	out := "-"
	if s.Current != nil {
		out = s.Current.ID
	}
	for _, p := range s.Previous {
		out += " " + p.ID
		if p.Broken {
			out += "!"
		}
	}
	return out
}

func TestApply(t *testing.T) {
	errBoom := errors.New("boom")
	one := func() State { return State{Current: &Result{ID: "old", ImageKey: "a"}} }
	for _, tc := range []struct {
		name    string
		state   State
		shelf   func(*shelf)
		key     string
		options Options
		want    string // State
		left    string // objects at the target
		err     error
		warns   string
	}{
		{name: "create", key: "a", want: "id-1", left: "id-1"},
		{name: "adopt", key: "a", options: Options{Adopt: true}, shelf: func(s *shelf) { s.objects["x"] = "a" }, want: "x", left: "x"},
		{name: "nothing to adopt", key: "a", options: Options{Adopt: true}, want: "id-1", left: "id-1"},
		{name: "cannot look", key: "a", options: Options{Adopt: true}, shelf: func(s *shelf) { s.fails["find"] = errBoom }, want: "-", err: errBoom},
		{name: "update", state: one(), key: "a", want: "old", left: "old"},
		{
			name: "update of what somebody uses", state: one(), key: "a", want: "old", left: "old", warns: "memory is left as it is",
			shelf: func(s *shelf) { s.fails["update"] = fmt.Errorf("memory is %w", ErrUntouched) },
		},
		{name: "replace", state: one(), key: "b", want: "id-1", left: "id-1"},
		{name: "recreate", state: one(), key: "a", options: Options{Recreate: true}, want: "id-1", left: "id-1"},
		{name: "keep", state: one(), key: "b", options: Options{Keep: 1}, want: "id-1 old", left: "id-1 old"},
		{name: "create fails", key: "a", shelf: func(s *shelf) { s.fails["deploy"] = errBoom }, want: "-", err: errBoom},
		{name: "create leaves a rest", key: "a", shelf: func(s *shelf) { s.fails["deploy"] = errLeft }, want: "id-1", left: "id-1", err: errLeft},
		{name: "replace fails", state: one(), key: "b", shelf: func(s *shelf) { s.fails["deploy"] = errBoom }, want: "old", left: "old", err: errBoom},
		{
			name: "replace leaves a rest", state: one(), key: "b", shelf: func(s *shelf) { s.fails["deploy"] = errLeft },
			want: "old id-1!", left: "id-1 old", err: errLeft,
		},
		{name: "old one in use", state: one(), key: "b", shelf: func(s *shelf) { s.used["old"] = true }, want: "id-1 old", left: "id-1 old", warns: "marked as retired"},
		{
			name: "old one cannot go", state: one(), key: "b", shelf: func(s *shelf) { s.fails["delete old"] = errBoom },
			want: "id-1 old", left: "id-1 old", warns: "the next apply tries again: boom",
		},
		{
			name: "a rest goes first", state: State{Current: &Result{ID: "old", ImageKey: "a"}, Previous: []Result{{ID: "rest", Broken: true}}},
			key: "a", options: Options{Keep: 1}, want: "old", left: "old",
		},
		{name: "a broken one is made anew", state: State{Current: &Result{ID: "old", ImageKey: "a", Broken: true}}, key: "a", want: "id-1", left: "id-1"},
		{
			name: "one place, kept", state: one(), key: "b", options: Options{Keep: 1}, shelf: func(s *shelf) { s.fixed = true; s.fails["delete old"] = errBoom },
			want: "id kept-a", left: "id kept-a old",
		},
		{
			name: "one place, kept, failing", state: one(), key: "b", options: Options{Keep: 1},
			shelf: func(s *shelf) { s.fixed = true; s.fails["deploy"] = errBoom }, want: "old", left: "old", err: errBoom,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newShelf()
			if tc.state.Current != nil {
				s.objects[tc.state.Current.ID] = tc.state.Current.ImageKey
			}
			if tc.shelf != nil {
				tc.shelf(s)
			}
			before := ids(tc.state)
			got, warnings, err := Apply(t.Context(), s, tc.state, request(tc.key), tc.options)
			if ids(got) != tc.want || !errors.Is(err, tc.err) || (tc.err == nil) != (err == nil) {
				t.Errorf("got %s, %v; want %s, %v", ids(got), err, tc.want, tc.err)
			}
			if left := strings.Join(slices.Sorted(maps.Keys(s.objects)), " "); left != tc.left {
				t.Errorf("the target has %q, want %q", left, tc.left)
			}
			if text := strings.Join(warnings, "; "); (tc.warns == "") != (text == "") || !strings.Contains(text, tc.warns) {
				t.Errorf("warned %q, want %q", text, tc.warns)
			}
			if ids(tc.state) != before {
				t.Error("the state that was given has changed")
			}
		})
	}
}

func TestDestroy(t *testing.T) {
	errBoom := errors.New("boom")
	s := newShelf()
	s.used["used"], s.fails["delete stuck"] = true, errBoom
	state := State{Current: &Result{ID: "now"}, Previous: []Result{{ID: "used"}, {ID: "stuck"}, {ID: "gone"}}}
	left, warnings, err := Destroy(t.Context(), s, state)
	if !errors.Is(err, errBoom) || ids(left) != "- stuck" || len(warnings) != 1 || !strings.Contains(warnings[0], "used is kept") {
		t.Errorf("left %s, warned %q, %v", ids(left), warnings, err)
	}
	delete(s.fails, "delete stuck")
	if left, _, err := Destroy(t.Context(), s, left); err != nil || ids(left) != "-" {
		t.Errorf("left %s, %v", ids(left), err)
	}
}

func TestRefresh(t *testing.T) {
	s := newShelf()
	s.objects["now"], s.objects["old"] = "b", "a"
	state := State{
		Current:  &Result{ID: "now", ImageKey: "b"},
		Previous: []Result{{ID: "old", ImageKey: "a"}, {ID: "gone", ImageKey: "a"}},
	}
	got, status, _, err := Refresh(t.Context(), s, state)
	if err != nil || status != StatusOK || ids(got) != "now old" {
		t.Errorf("%s, %s, %v", ids(got), status, err)
	}
	delete(s.objects, "now")
	got, status, _, err = Refresh(t.Context(), s, state)
	if err != nil || status != StatusMissing || ids(got) != "now old" {
		t.Errorf("%s, %s, %v", ids(got), status, err)
	}
	s.objects["now"], s.fails["read"] = "b", errors.New("boom")
	if got, _, _, err = Refresh(t.Context(), s, state); err == nil || ids(got) != ids(state) {
		t.Errorf("%s, %v", ids(got), err)
	}
}

func TestExcess(t *testing.T) {
	s := State{Previous: []Result{{ID: "1"}, {ID: "2", Broken: true}, {ID: "3"}}}
	for keep, want := range []int{3, 2, 1, 1} {
		if got := s.Excess(keep); got != want {
			t.Errorf("keeping %d, %d are too many, want %d", keep, got, want)
		}
	}
}
