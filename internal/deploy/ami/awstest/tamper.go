package awstest

// What somebody else does by hand. An id is looked for in all regions.

// Remove deletes an image, without its snapshots, or a snapshot, even one that an image uses.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.regions {
		if g.images[id] != nil {
			g.gone[id] = true
		}
		delete(g.images, id)
		delete(g.snapshots, id)
	}
}

// SetTag changes a tag of an image or snapshot.
func (s *Server) SetTag(id, key, value string) {
	s.each(id, func(tags map[string]string, _ permissions) { tags[key] = value })
}

// RemoveTag removes a tag of an image or snapshot.
func (s *Server) RemoveTag(id, key string) {
	s.each(id, func(tags map[string]string, _ permissions) { delete(tags, key) })
}

// Share changes whom an image or snapshot is shared with, such as "userId=123456789012" and "group=all".
func (s *Server) Share(id string, with ...string) {
	s.each(id, func(_ map[string]string, shared permissions) {
		clear(shared)
		for _, p := range with {
			shared[p] = true
		}
	})
}

// each calls do with the tags and permissions of what has that id.
func (s *Server) each(id string, do func(map[string]string, permissions)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.regions {
		if i := g.images[id]; i != nil {
			do(i.tags, i.shared)
		}
		if x := g.snapshots[id]; x != nil {
			do(x.tags, x.shared)
		}
	}
}
