package awstest

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Inventory lists what exists in all regions, a line each and sorted: "eu-central-1 ami-…", "eu-central-1 snap-…" in any
// state, and "eu-central-1 import-snap-…" for imports that go on.
func (s *Server) Inventory() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, g := range s.regions {
		s.reap(g)
		for id := range g.images {
			lines = append(lines, g.name+" "+id)
		}
		for id := range g.snapshots {
			lines = append(lines, g.name+" "+id)
		}
		for id, t := range g.tasks {
			if t.goesOn() {
				lines = append(lines, g.name+" "+id)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// Snapshot is a snapshot as a test sees it.
type Snapshot struct {
	ID, Region, State string
	GiB               int64
	Key               string // ARN of the KMS key, "" when it is not encrypted
	Parent            string
	Tags              map[string]string
	SharedWith        []string // such as "userId=123456789012"
	Blocks            int      // that hold data, the parent's included
	Written           int      // by PutSnapshotBlock

	data   *blockStore
	blocks map[int64]digest
}

// Snapshot is the snapshot of that id in any region, nil for none.
func (s *Server) Snapshot(id string) *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.regions {
		s.reap(g)
		x := g.snapshots[id]
		if x == nil {
			continue
		}
		found := &Snapshot{
			ID: id, Region: g.name, State: x.state, GiB: x.gib, Key: x.key, Tags: maps.Clone(x.tags),
			SharedWith: slices.Sorted(maps.Keys(x.shared)), Blocks: len(x.blocks), Written: len(x.written),
			data: s.data, blocks: maps.Clone(x.blocks),
		}
		if x.parent != nil {
			found.Parent = x.parent.id
		}
		return found
	}
	return nil
}

// sparse is a file that can have holes.
type sparse interface {
	io.WriterAt
	Truncate(size int64) error
}

// WriteRaw writes the disk as a guest would see it: GiB << 30 bytes, as holes where w can have them.
func (x *Snapshot) WriteRaw(w io.Writer) error {
	size := x.GiB << 30
	file, holes := w.(sparse)
	if holes {
		if err := file.Truncate(size); err != nil {
			return err
		}
	}
	zero := make([]byte, blockSize)
	for index := range size / blockSize {
		sum, ok := x.blocks[index]
		if !ok && holes {
			continue
		}
		data := zero
		if ok {
			var err error
			if data, err = x.data.get(sum); err != nil {
				return fmt.Errorf("cannot read block %d of %s: %w", index, x.ID, err)
			}
		}
		var err error
		if holes {
			_, err = file.WriteAt(data, index*blockSize)
		} else {
			_, err = w.Write(data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Image is an AMI as a test sees it.
type Image struct {
	ID, Region, Name, State string
	Snapshots               []string
	Tags                    map[string]string
	SharedWith              []string // such as "userId=123456789012" or "group=all"
}

// Image is the image of that id in any region, nil for none.
func (s *Server) Image(id string) *Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.regions {
		i := g.images[id]
		if i == nil {
			continue
		}
		found := &Image{
			ID: id, Region: g.name, Name: i.name, State: i.state, Tags: maps.Clone(i.tags),
			SharedWith: slices.Sorted(maps.Keys(i.shared)),
		}
		for _, m := range i.mappings {
			found.Snapshots = append(found.Snapshots, m.snapshot)
		}
		return found
	}
	return nil
}
