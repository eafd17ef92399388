package pvetest

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Storage is one storage of the cluster.
type Storage struct {
	ID       string
	Type     string   // "dir", or "lvmthin", which holds raw volumes and no files
	Content  []string // "images", "import", "iso", …
	Path     string   // of a dir, as the server has it, such as "/var/lib/vz"
	Shared   bool     // one and the same on all nodes
	Nodes    []string // that have it; nil for all
	Disabled bool
	Total    int64 // bytes; 0 for 1 TiB
	Avail    int64 // bytes; 0 for half of it
}

// DefaultStorages are those of a version's server unless Options name others.
func DefaultStorages(version string) []Storage {
	local := []string{"backup", "iso", "vztmpl"}
	if version != "8.2" {
		local = append(local, "import")
	}
	return []Storage{
		{ID: "local", Type: "dir", Path: "/var/lib/vz", Content: local},
		{ID: "local-lvm", Type: "lvmthin", Content: []string{"images", "rootdir"}},
		{ID: "data", Type: "dir", Path: "/mnt/data", Content: []string{"images", "rootdir"}},
	}
}

func (st *Storage) has(content string) bool { return slices.Contains(st.Content, content) }

func (st *Storage) isDir() bool { return st.Type == "dir" }

func (st *Storage) on(node string) bool { return st.Nodes == nil || slices.Contains(st.Nodes, node) }

func (st *Storage) space() (total, avail int64) {
	total, avail = st.Total, st.Avail
	if total == 0 {
		total = 1 << 40
	}
	if avail == 0 {
		avail = total / 2
	}
	return total, avail
}

// storage finds a storage by its id.
func (s *Server) storage(id string) (*Storage, error) {
	if id == "" {
		return nil, die("no storage ID specified")
	}
	for i := range s.opts.Storages {
		if s.opts.Storages[i].ID == id {
			return &s.opts.Storages[i], nil
		}
	}
	return nil, die("storage '%s' does not exist", id)
}

// enabled finds a storage that a node has and can use.
func (s *Server) enabled(id, node string) (*Storage, error) {
	st, err := s.storage(id)
	switch {
	case err != nil:
		return nil, err
	case st.Disabled:
		return nil, die("storage '%s' is disabled", id)
	case !st.on(node):
		return nil, die("storage '%s' is not available on node '%s'", id, node)
	}
	return st, nil
}

// folder is where a storage's files are, for a node.
func (s *Server) folder(st *Storage, node string) string {
	if st.Shared {
		node = "shared"
	}
	return filepath.Join(s.root, node, st.ID)
}

// visible tells whether a user may see a storage.
func (c *call) visible(st *Storage) bool {
	return c.needAny(c.user, "/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace") == nil
}

// listStorages is GET /storage: the cluster's configuration.
func listStorages(c *call) (any, error) {
	list := []map[string]any{}
	for i := range c.opts.Storages {
		st := &c.opts.Storages[i]
		if t := c.params["type"]; !c.visible(st) || t != "" && t != st.Type {
			continue
		}
		list = append(list, st.config())
	}
	return list, nil
}

// getStorage is GET /storage/{storage}.
func getStorage(c *call) (any, error) {
	st, err := c.storage(c.params["storage"])
	if err != nil {
		return nil, err
	}
	return st.config(), nil
}

func (st *Storage) config() map[string]any {
	content := slices.Sorted(slices.Values(st.Content))
	out := map[string]any{"storage": st.ID, "type": st.Type, "content": strings.Join(content, ",")}
	if st.isDir() {
		out["path"] = st.Path
	} else {
		out["vgname"], out["thinpool"] = "pve", "data"
	}
	if st.Shared {
		out["shared"] = 1
	}
	if st.Disabled {
		out["disable"] = 1
	}
	if st.Nodes != nil {
		out["nodes"] = strings.Join(st.Nodes, ",")
	}
	out["digest"] = digest(out)
	return out
}

// digest tells two states of a configuration apart.
func digest[V any](conf map[string]V) string {
	sum := sha1.Sum([]byte(fmt.Sprint(conf))) // a map prints sorted
	return hex.EncodeToString(sum[:])
}

// nodeStorages is GET /nodes/{node}/storage.
func nodeStorages(c *call) (any, error) {
	list := []map[string]any{}
	for i := range c.opts.Storages {
		st := &c.opts.Storages[i]
		content := splitList(c.params["content"])
		id := c.params["storage"]
		switch {
		case !c.visible(st) || !st.on(c.params["node"]),
			id != "" && id != st.ID,
			c.params["enabled"] == "1" && st.Disabled,
			len(content) > 0 && !slices.ContainsFunc(content, st.has):
			continue
		}
		entry := c.status(st)
		entry["storage"] = st.ID
		list = append(list, entry)
	}
	if id := c.params["storage"]; id != "" && len(list) == 0 {
		if _, err := c.storage(id); err != nil {
			return nil, wrongParam("storage", "No such storage.")
		}
	}
	return list, nil
}

// storageStatus is GET /nodes/{node}/storage/{storage}/status.
func storageStatus(c *call) (any, error) {
	st, err := c.storage(c.params["storage"])
	if err == nil && !st.on(c.params["node"]) {
		err = wrongParam("storage", "No such storage.")
	}
	if err != nil {
		return nil, err
	}
	return c.status(st), nil
}

func (s *Server) status(st *Storage) map[string]any {
	out := map[string]any{
		"type": st.Type, "content": strings.Join(st.Content, ","), "shared": btoi(st.Shared), "enabled": btoi(!st.Disabled),
		"active": btoi(!st.Disabled),
	}
	if !st.Disabled {
		total, avail := st.space()
		out["total"], out["avail"], out["used"] = total, avail, total-avail
		out["used_fraction"] = float64(total-avail) / float64(total)
	}
	return out
}

// listContent is GET /nodes/{node}/storage/{storage}/content.
func listContent(c *call) (any, error) {
	st, err := c.enabled(c.params["storage"], c.params["node"])
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, v := range c.volumes(st, c.params["node"]) {
		if want := c.params["content"]; want != "" && want != v.kind {
			continue
		}
		if id := c.params["vmid"]; id != "" && id != strconv.Itoa(v.vmid) {
			continue
		}
		if !c.mayUse(v, 0) {
			continue
		}
		entry := c.describe(c.ctx, v)
		if entry != nil {
			list = append(list, entry)
		}
	}
	return list, nil
}

// getVolume is GET /nodes/{node}/storage/{storage}/content/{volume}.
func getVolume(c *call) (any, error) {
	v, err := c.volumeParam()
	if err != nil {
		return nil, err
	}
	if err := c.checkVolume(v, 0); err != nil {
		return nil, err
	}
	info, err := c.info(c.ctx, c.file(v), v.format)
	if err != nil {
		return nil, die("volume_size_info on '%s' failed - no format", v.volid())
	}
	return map[string]any{"path": c.shown(v), "size": info.VirtualSize, "used": info.ActualSize, "format": v.format}, nil
}

// describe is a volume's line in a listing. A file's size is its own, an image's is the one that a guest sees.
func (s *Server) describe(ctx context.Context, v volume) map[string]any {
	stat, err := os.Stat(s.file(v))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone meanwhile
	}
	entry := map[string]any{
		"volid": v.volid(), "content": v.kind, "format": v.format, "ctime": stat.ModTime().Unix(), "size": stat.Size(),
	}
	if v.kind != "images" {
		return entry
	}
	entry["vmid"] = v.vmid
	if info, err := s.info(ctx, s.file(v), v.format); err == nil {
		entry["size"], entry["used"] = info.VirtualSize, info.ActualSize
	}
	if v.base != "" {
		entry["parent"] = "../" + v.base
	}
	return entry
}

// deleteContent is DELETE /nodes/{node}/storage/{storage}/content/{volume}. It does not ask whether a VM uses the volume.
func deleteContent(c *call) (any, error) {
	v, err := c.volumeParam()
	if err != nil {
		return nil, err
	}
	if err := c.need(c.user, "/storage/"+v.st.ID, "Datastore.Allocate"); err != nil {
		return nil, err
	}
	id := v.st.ID
	if v.vmid != 0 {
		id = strconv.Itoa(v.vmid) + "@" + id
	}
	t := c.start("imgdel", id, c.params["node"], c.user, func(ctx context.Context, t *task) error {
		if err := t.step(ctx); err != nil {
			return err
		}
		if err := c.free(v); err != nil {
			return err
		}
		t.print("Removed volume '%s'", v.volid())
		return nil
	})
	if c.params["delay"] == "" {
		return t.upid, nil
	}
	<-t.done
	if t.failed() {
		return nil, die("%s", t.exit)
	}
	return nil, nil
}

// volumeParam is the volume that a request names, with or without its storage.
func (c *call) volumeParam() (volume, error) {
	volid := c.params["volume"]
	if id, _, ok := strings.Cut(volid, ":"); !ok {
		volid = c.params["storage"] + ":" + volid
	} else if id != c.params["storage"] {
		return volume{}, wrongParam("volume", "storage ID mismatch (%s != %s)\n", id, c.params["storage"])
	}
	if _, err := c.enabled(c.params["storage"], c.params["node"]); err != nil {
		return volume{}, err
	}
	return c.parseVolume(volid, c.params["node"])
}
