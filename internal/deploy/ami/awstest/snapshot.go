package awstest

import (
	"time"
)

// The states of snapshots and images.
const (
	pending   = "pending"
	completed = "completed"
	available = "available"
	failed    = "failed"
	broken    = "error"
)

// snapshot is a disk's content. One that is being written has no next state.
type snapshot struct {
	id, description string
	parent          *snapshot
	gib             int64
	key             string // ARN of its KMS key, "" when it is not encrypted
	state, message  string
	next            string // state that it will have after so many looks
	looks, hidden   int
	started         time.Time
	touched         time.Time // when it was last written to
	timeout         time.Duration
	tags            map[string]string
	shared          permissions
	blocks          map[int64]digest // all that it holds, its parent's included
	written         map[int64]bool   // by PutSnapshotBlock
}

// look is what a client sees of a snapshot. What goes on in the background does so by being looked at.
func (x *snapshot) look() {
	switch {
	case x.next == "":
	case x.looks > 0:
		x.looks--
	default:
		x.settle()
	}
}

// settle ends what goes on in the background.
func (x *snapshot) settle() {
	if x.next == "" {
		return
	}
	if x.state, x.next = x.next, ""; x.state == broken {
		x.message = "Given key ID is not accessible, or the data could not be verified"
	}
}

// root is the snapshot that the line of parents begins with.
func (x *snapshot) root() *snapshot {
	for x.parent != nil {
		x = x.parent
	}
	return x
}

// reap removes the snapshots that nobody has written to for longer than their time-out.
func (s *Server) reap(g *region) {
	now := s.o.Now()
	for id, x := range g.snapshots {
		if x.state == pending && x.next == "" && now.Sub(x.touched) > x.timeout {
			delete(g.snapshots, id)
		}
	}
}

// users are the images that a snapshot belongs to.
func (g *region) users(snapshot string) []string {
	var ids []string
	for _, i := range g.images {
		for _, m := range i.mappings {
			if m.snapshot == snapshot {
				ids = append(ids, i.id)
			}
		}
	}
	return ids
}

// hide tells if something was made so lately that a request does not find it yet.
func hide(hidden *int) bool {
	if *hidden > 0 {
		*hidden--
		return true
	}
	return false
}
