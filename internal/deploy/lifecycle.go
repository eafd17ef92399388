package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// State is what exists of a deployment.
type State struct {
	Current  *Result  // nil for none
	Previous []Result // older generations, newest first, and what could not be removed
}

// Options are what a person asks of Apply.
type Options struct {
	Keep  int  // old generations to keep
	Adopt bool // take over a matching generation that is there already instead of making one
	// Recreate asks for a new generation though the image is the same: a setting changed that cannot be updated.
	Recreate bool
}

// The states a deployment can be in.
const (
	StatusOK      = "ok"
	StatusChanged = "changed" // by hand
	StatusMissing = "missing"
)

// Apply makes the deployment what the request wants: the new generation first, then the old ones go, as far as they are
// not kept. The State that it returns is what exists, also when it fails. The warnings are about what was left as it is.
func Apply(ctx context.Context, t Target, s State, r Request, o Options) (State, []string, error) {
	s.Previous = slices.Clone(s.Previous)
	warnings, err := advance(ctx, t, &s, r, o)
	if err != nil {
		return s, nil, err
	}
	return s, append(warnings, s.prune(ctx, t, o.Keep)...), nil
}

// advance gives the deployment its current generation.
func advance(ctx context.Context, t Target, s *State, r Request, o Options) (warnings []string, err error) {
	if s.Current == nil && o.Adopt {
		found, err := t.Find(ctx, r)
		if err == nil {
			s.Current = found
		} else if !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("cannot look for a deployment to adopt: %w", err)
		}
	}
	if s.Current == nil || s.Current.Broken || s.Current.ImageKey != r.Image.Key || o.Recreate {
		return nil, s.replace(ctx, t, r, o.Keep > 0)
	}
	now, err := t.Update(ctx, r, *s.Current)
	if now != nil {
		s.Current = now
	}
	if errors.Is(err, ErrUntouched) {
		return []string{err.Error()}, nil
	}
	return nil, err
}

// replace makes a new generation and moves the current one, if there is one, to the previous ones.
func (s *State) replace(ctx context.Context, t Target, r Request, keep bool) error {
	r.Current = s.Current
	var aside *Result
	if a, ok := t.(Asider); ok && keep && s.Current != nil && !s.Current.Broken {
		var err error
		if aside, err = a.Aside(ctx, r, *s.Current); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("cannot keep the old generation: %w", err)
		}
	}
	made, err := t.Deploy(ctx, r)
	if err != nil {
		if made != nil {
			made.Broken = true
			s.add(*made)
		}
		if aside != nil {
			clean, cancel := Cleanup(ctx)
			defer cancel()
			if e := t.Delete(clean, *aside); e != nil {
				s.Previous = slices.Insert(s.Previous, 0, *aside)
				err = errors.Join(err, e)
			}
		}
		return err
	}
	switch old := s.Current; {
	case aside != nil:
		s.Previous = slices.Insert(s.Previous, 0, *aside)
	case old != nil && old.ID != made.ID:
		s.Previous = slices.Insert(s.Previous, 0, *old)
	}
	s.Current = made
	return nil
}

// add notes the rest of a failed Deploy, as the deployment itself when there is no other.
func (s *State) add(rest Result) {
	if s.Current == nil {
		s.Current = &rest
		return
	}
	s.Previous = append(s.Previous, rest)
}

// prune deletes the previous generations that are broken or more than are kept. What cannot be deleted stays listed,
// and the next Apply tries again.
func (s *State) prune(ctx context.Context, t Target, keep int) (warnings []string) {
	var left []Result
	kept := 0
	for _, old := range s.Previous {
		if !old.Broken && kept < keep {
			kept++
			left = append(left, old)
			continue
		}
		if err := t.Delete(ctx, old); err != nil {
			left = append(left, old)
			warnings = append(warnings, stays(old, err))
		}
	}
	s.Previous = left
	return warnings
}

// stays says why an old generation is still there.
func stays(old Result, err error) string {
	if errors.Is(err, ErrInUse) {
		return fmt.Sprintf("%s is kept because others depend on it, and is marked as retired: %v", old.ID, err)
	}
	return fmt.Sprintf("%s could not be deleted, the next apply tries again: %v", old.ID, err)
}

// Excess is how many previous generations the next Apply would try to delete.
func (s State) Excess(keep int) int {
	excess := 0
	for _, old := range s.Previous {
		if old.Broken || keep == 0 {
			excess++
			continue
		}
		keep--
	}
	return excess
}

// Refresh looks at what exists now. A previous generation that is gone is forgotten; a current one stays in the State
// with StatusMissing, so that a plan can say why it makes it anew.
func Refresh(ctx context.Context, t Target, s State) (now State, status string, drift []string, err error) {
	for _, old := range s.Previous {
		r, _, err := t.Read(ctx, old)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil || old.Broken:
			now.Previous = append(now.Previous, old)
		default:
			now.Previous = append(now.Previous, *r)
		}
	}
	now.Current = s.Current
	if s.Current == nil {
		return now, StatusMissing, nil, nil
	}
	r, drift, err := t.Read(ctx, *s.Current)
	switch {
	case errors.Is(err, ErrNotFound):
		return now, StatusMissing, nil, nil
	case err != nil:
		return s, "", nil, err
	}
	if now.Current = r; len(drift) > 0 {
		return now, StatusChanged, drift, nil
	}
	return now, StatusOK, nil, nil
}

// Destroy deletes all generations. What others depend on is left there, marked as retired, with a warning: it is no
// longer this deployment's. The State is what could not be deleted for another reason.
func Destroy(ctx context.Context, t Target, s State) (left State, warnings []string, err error) {
	gone := func(r Result) bool {
		e := t.Delete(ctx, r)
		switch {
		case errors.Is(e, ErrInUse):
			warnings = append(warnings, stays(r, e))
			return true
		case e != nil:
			err = errors.Join(err, e)
			return false
		}
		return true
	}
	for _, old := range s.Previous {
		if !gone(old) {
			left.Previous = append(left.Previous, old)
		}
	}
	if s.Current != nil && !gone(*s.Current) {
		left.Current = s.Current
	}
	return left, warnings, err
}
