package pvetest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// handlers are by method and path of the schema.
var handlers = map[string]func(*call) (any, error){
	"GET /version":                                            version,
	"GET /access/ticket":                                      func(*call) (any, error) { return nil, nil },
	"POST /access/ticket":                                     createTicket,
	"GET /access/permissions":                                 permissions,
	"GET /cluster/nextid":                                     nextID,
	"GET /cluster/resources":                                  resources,
	"GET /cluster/status":                                     clusterStatus,
	"GET /cluster/tasks":                                      clusterTasks,
	"GET /nodes":                                              listNodes,
	"GET /nodes/{node}/version":                               version,
	"GET /nodes/{node}/status":                                nodeStatus,
	"GET /nodes/{node}/storage":                               nodeStorages,
	"GET /nodes/{node}/storage/{storage}/status":              storageStatus,
	"GET /nodes/{node}/storage/{storage}/content":             listContent,
	"GET /nodes/{node}/storage/{storage}/content/{volume}":    getVolume,
	"DELETE /nodes/{node}/storage/{storage}/content/{volume}": deleteContent,
	"POST /nodes/{node}/storage/{storage}/upload":             acceptUpload,
	"GET /storage":                                            listStorages,
	"GET /storage/{storage}":                                  getStorage,
	"GET /nodes/{node}/qemu":                                  listVMs,
	"POST /nodes/{node}/qemu":                                 createVM,
	"DELETE /nodes/{node}/qemu/{vmid}":                        deleteVM,
	"GET /nodes/{node}/qemu/{vmid}/config":                    getConfig,
	"PUT /nodes/{node}/qemu/{vmid}/config":                    putConfig,
	"POST /nodes/{node}/qemu/{vmid}/config":                   postConfig,
	"GET /nodes/{node}/qemu/{vmid}/pending":                   getPending,
	"GET /nodes/{node}/qemu/{vmid}/status/current":            vmStatus,
	"POST /nodes/{node}/qemu/{vmid}/template":                 makeTemplate,
	"POST /nodes/{node}/qemu/{vmid}/clone":                    cloneVM,
	"PUT /nodes/{node}/qemu/{vmid}/resize":                    resize,
	"GET /nodes/{node}/tasks":                                 listTasks,
	"DELETE /nodes/{node}/tasks/{upid}":                       stopTask,
	"GET /nodes/{node}/tasks/{upid}/status":                   taskStatus,
	"GET /nodes/{node}/tasks/{upid}/log":                      taskLog,
	"GET /pools":                                              listPools,
	"GET /pools/{poolid}":                                     getPool,
}

func version(c *call) (any, error) {
	return map[string]any{"version": c.rel.version, "release": c.rel.release, "repoid": "0123456789abcdef"}, nil
}

// nextID is GET /cluster/nextid. The number comes as a string.
func nextID(c *call) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if want := c.params["vmid"]; want != "" {
		if c.vms[c.intParam("vmid", 0)] != nil {
			return nil, wrongParam("vmid", "VM %s already exists", want)
		}
		return want, nil
	}
	for id := 100; ; id++ {
		if c.vms[id] == nil {
			return strconv.Itoa(id), nil
		}
	}
}

func listNodes(c *call) (any, error) {
	list := []map[string]any{}
	for _, node := range c.opts.Nodes {
		list = append(list, map[string]any{
			"node": node, "id": "node/" + node, "type": "node", "status": "online", "ssl_fingerprint": c.Fingerprint,
		})
	}
	return list, nil
}

func nodeStatus(c *call) (any, error) {
	return map[string]any{
		"pveversion": "pve-manager/" + c.rel.version + "/0123456789abcdef", "uptime": 1000, "kversion": "Linux 6.8.12-1-pve",
		"cpuinfo": map[string]any{"cpus": 8}, "memory": map[string]any{"total": 32 << 30, "free": 16 << 30, "used": 16 << 30},
	}, nil
}

func clusterStatus(c *call) (any, error) {
	list := []map[string]any{}
	for i, node := range c.opts.Nodes {
		list = append(list, map[string]any{
			"type": "node", "id": "node/" + node, "name": node, "nodeid": i + 1, "online": 1, "local": btoi(i == 0), "level": "",
		})
	}
	if len(list) > 1 {
		list = append(list, map[string]any{
			"type": "cluster", "id": "cluster", "name": "test", "nodes": len(c.opts.Nodes), "quorate": 1, "version": 2,
		})
	}
	return list, nil
}

// resources is GET /cluster/resources: what exists and where is current, a VM's name and sizes are as last broadcast.
func resources(c *call) (any, error) {
	kind := c.params["type"]
	list := []map[string]any{}
	if kind == "" || kind == "vm" {
		list = c.guests(list)
	}
	if kind == "" || kind == "node" {
		for _, node := range c.opts.Nodes {
			list = append(list, map[string]any{
				"id": "node/" + node, "node": node, "type": "node", "status": "online", "maxcpu": 8, "maxmem": 32 << 30,
			})
		}
	}
	if kind == "" || kind == "storage" {
		for i := range c.opts.Storages {
			list = c.storageResources(list, &c.opts.Storages[i])
		}
	}
	return list, nil
}

func (c *call) guests(list []map[string]any) []map[string]any {
	c.broadcast()
	c.mu.Lock()
	ids := slices.Sorted(maps.Keys(c.vms))
	c.mu.Unlock()
	for _, id := range ids {
		if c.need(c.user, "/vms/"+strconv.Itoa(id), "VM.Audit") != nil {
			continue
		}
		c.mu.Lock()
		v := c.vms[id]
		if v == nil {
			c.mu.Unlock()
			continue
		}
		typ := "qemu"
		if v.kind == "CT" {
			typ = "lxc"
		}
		entry := map[string]any{
			"id": typ + "/" + strconv.Itoa(id), "vmid": id, "node": v.node, "type": typ, "status": "unknown",
		}
		maps.Copy(entry, c.stats[id])
		for _, name := range []string{"lock", "tags"} {
			if v.conf[name] != "" {
				entry[name] = v.conf[name]
			}
		}
		pool := v.pool
		c.mu.Unlock()
		if pool != "" && c.need(c.user, "/pool/"+pool, "Pool.Audit") == nil {
			entry["pool"] = pool
		}
		list = append(list, entry)
	}
	return list
}

func (c *call) storageResources(list []map[string]any, st *Storage) []map[string]any {
	if c.need(c.user, "/storage/"+st.ID, "Datastore.Audit") != nil || st.Disabled {
		return list
	}
	for _, node := range c.opts.Nodes {
		if !st.on(node) {
			continue
		}
		total, avail := st.space()
		list = append(list, map[string]any{
			"id": "storage/" + node + "/" + st.ID, "storage": st.ID, "node": node, "type": "storage", "status": "available",
			"content": strings.Join(st.Content, ","), "plugintype": st.Type, "shared": btoi(st.Shared), "maxdisk": total,
			"disk": total - avail,
		})
	}
	return list
}

// broadcast makes the names and sizes of /cluster/resources current, if they are older than they may be.
func (s *Server) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stats != nil && time.Since(s.statsAt) < s.opts.ResourcesLag {
		return
	}
	s.stats, s.statsAt = map[int]map[string]any{}, time.Now()
	for id, v := range s.vms {
		s.stats[id] = s.summary(v)
	}
}

// summary is what listings say of a guest. The caller holds Server.mu.
func (s *Server) summary(v *vm) map[string]any {
	out := map[string]any{"status": "stopped", "name": v.conf["name"], "template": btoi(isTemplate(v.conf)), "uptime": 0}
	if v.running {
		out["status"] = "running"
	}
	if v.conf["name"] == "" {
		out["name"] = "VM " + strconv.Itoa(v.id)
	}
	memory, err := strconv.ParseInt(strings.TrimPrefix(v.conf["memory"], "current="), 10, 64)
	if err != nil {
		memory = 512
	}
	cores, err := strconv.Atoi(v.conf["cores"])
	if err != nil {
		cores = 1
	}
	out["maxmem"], out["maxcpu"], out["maxdisk"] = memory<<20, cores, int64(0)
	for _, part := range strings.Split(v.conf["scsi0"], ",") {
		if size, ok := strings.CutPrefix(part, "size="); ok {
			out["maxdisk"], _ = parseSize(size)
		}
	}
	return out
}

// listVMs is GET /nodes/{node}/qemu.
func listVMs(c *call) (any, error) {
	list := []map[string]any{}
	c.mu.Lock()
	ids := slices.Sorted(maps.Keys(c.vms))
	c.mu.Unlock()
	for _, id := range ids {
		v, err := c.find(c.params["node"], id)
		if err == nil && c.need(c.user, "/vms/"+strconv.Itoa(id), "VM.Audit") == nil {
			list = append(list, c.vmEntry(v))
		}
	}
	return list, nil
}

// vmEntry is a VM as its node lists it.
func (c *call) vmEntry(v *vm) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.summary(v)
	out["vmid"], out["cpus"] = v.id, out["maxcpu"]
	delete(out, "maxcpu")
	if out["template"] == 0 {
		delete(out, "template")
	}
	for _, name := range []string{"lock", "tags"} {
		if v.conf[name] != "" {
			out[name] = v.conf[name]
		}
	}
	return out
}

// vmStatus is GET …/status/current.
func vmStatus(c *call) (any, error) {
	v, err := c.load()
	if err != nil {
		return nil, err
	}
	out := c.vmEntry(v)
	c.mu.Lock()
	defer c.mu.Unlock()
	out["qmpstatus"], out["ha"] = out["status"], map[string]any{"managed": btoi(v.ha)}
	return out, nil
}

// listPools is GET /pools.
func listPools(c *call) (any, error) {
	list := []map[string]any{}
	for _, id := range c.opts.Pools {
		if c.need(c.user, "/pool/"+id, "Pool.Audit") == nil {
			list = append(list, map[string]any{"poolid": id})
		}
	}
	return list, nil
}

// getPool is GET /pools/{poolid}.
func getPool(c *call) (any, error) {
	id := c.params["poolid"]
	if !slices.Contains(c.opts.Pools, id) {
		return nil, &apiError{status: http.StatusInternalServerError, message: "pool '" + id + "' does not exist\n"}
	}
	members := []map[string]any{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(c.vms)) {
		if v := c.vms[n]; v.pool == id {
			members = append(members, map[string]any{"id": "qemu/" + strconv.Itoa(n), "vmid": n, "node": v.node, "type": "qemu"})
		}
	}
	return map[string]any{"poolid": id, "members": members}, nil
}
