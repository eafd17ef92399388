package pvetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// settle bounds how long Inventory waits for running tasks.
const settle = 30 * time.Second

// Inventory lists what exists, a line each, once no task runs any more:
//
//	vm pve1/9000 template                        (or stopped, running, "locked (create)")
//	volume pve1/9000 local-lvm:base-9000-disk-0  (of that VM, referenced or not)
//	file pve1 local:import/pim-0123.qcow2
//	task pve1/9000 qmcreate                      (one that hangs)
//
// A volume of a storage that all nodes share is listed once, with the node that its VM is on.
func (s *Server) Inventory() []string {
	var list []string
	for _, upid := range s.Wait(settle) {
		s.mu.Lock()
		t := s.tasks[upid]
		s.mu.Unlock()
		list = append(list, fmt.Sprintf("task %s/%s %s", t.node, t.id, t.typ))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, v := range s.vms {
		state := "stopped"
		switch {
		case v.conf["lock"] != "":
			state = "locked (" + v.conf["lock"] + ")"
		case v.running:
			state = "running"
		case isTemplate(v.conf):
			state = "template"
		}
		list = append(list, fmt.Sprintf("%s %s/%d %s", strings.ToLower(v.kind), v.node, id, state))
	}
	for i := range s.opts.Storages {
		st := &s.opts.Storages[i]
		for _, node := range s.opts.Nodes {
			for _, v := range s.volumes(st, node) {
				if owner := s.vms[v.vmid]; st.Shared && owner != nil {
					node = owner.node
				}
				if v.vmid != 0 {
					list = append(list, fmt.Sprintf("volume %s/%d %s", node, v.vmid, v.volid()))
				} else {
					list = append(list, fmt.Sprintf("file %s %s", node, v.volid()))
				}
			}
			if st.Shared {
				break
			}
		}
	}
	slices.Sort(list)
	return list
}

// InventoryOf lists the lines of Inventory that are a VM's.
func (s *Server) InventoryOf(node string, vmid int) []string {
	mine := fmt.Sprintf(" %s/%d ", node, vmid)
	return slices.DeleteFunc(s.Inventory(), func(line string) bool { return !strings.Contains(line, mine) })
}

// DiskPath is the file of a VM's scsi0 on this machine, and its format: "raw" or "qcow2". Once the VM is a template
// nothing writes it any more.
func (s *Server) DiskPath(t testing.TB, vmid int) (path, format string) {
	t.Helper()
	v := s.must(t, vmid)
	file, _, _ := strings.Cut(s.config(v)["scsi0"], ",")
	vol, err := s.parseVolume(file, v.node)
	if err != nil {
		t.Fatalf("VM %d has no disk: %v", vmid, err)
	}
	return s.file(vol), vol.format
}

// VolumePath is the file of a volume on this machine.
func (s *Server) VolumePath(t testing.TB, node, volid string) string {
	t.Helper()
	v, err := s.parseVolume(volid, node)
	if err != nil {
		t.Fatal(err)
	}
	return s.file(v)
}

// AddVolume adds a volume that no VM's configuration has: a leftover, or another host's on the same storage.
func (s *Server) AddVolume(t testing.TB, node, volid string) {
	t.Helper()
	path := s.VolumePath(t, node, volid)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(volid), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// Config is a VM's configuration file.
func (s *Server) Config(t testing.TB, vmid int) map[string]string {
	t.Helper()
	return s.config(s.must(t, vmid))
}

func (s *Server) must(t testing.TB, vmid int) *vm {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.vms[vmid]
	if v == nil {
		t.Fatalf("there is no VM %d", vmid)
	}
	return v
}

// SetConfig changes a VM's options behind its owner's back; "" removes one.
func (s *Server) SetConfig(t testing.TB, vmid int, options map[string]string) {
	t.Helper()
	v := s.must(t, vmid)
	conf := s.config(v)
	maps.Copy(conf, options)
	s.write(v, conf)
}

// Protect sets or lifts a VM's protection against removal.
func (s *Server) Protect(t testing.TB, vmid int, on bool) {
	t.Helper()
	s.SetConfig(t, vmid, map[string]string{"protection": map[bool]string{true: "1"}[on]})
}

// RemoveVM removes a VM and its disks.
func (s *Server) RemoveVM(t testing.TB, vmid int) {
	t.Helper()
	v := s.must(t, vmid)
	s.forget(v)
	for i := range s.opts.Storages {
		st := &s.opts.Storages[i]
		for _, vol := range s.volumes(st, v.node) {
			if vol.vmid != vmid {
				continue
			}
			if err := s.free(vol); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// AddVM adds a guest that is somebody else's: kind is "VM" or "CT", conf its configuration.
func (s *Server) AddVM(node string, vmid int, kind string, conf map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vms[vmid] = &vm{id: vmid, node: node, kind: kind, conf: maps.Clone(conf), file: &sync.Mutex{}}
	if conf == nil {
		s.vms[vmid].conf = map[string]string{}
	}
}

// Snatch has a guest appear on a node, with an id that was free until a create wants it.
func (s *Server) Snatch(vmid int, node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snatched[vmid] = node
}

// AddClone makes a linked clone of a template.
func (s *Server) AddClone(t testing.TB, template, vmid int) {
	t.Helper()
	src := s.must(t, template)
	v, err := s.reserve(src.node, vmid, "clone")
	if err == nil {
		err = s.clone(context.WithoutCancel(s.ctx), src, v, fmt.Sprintf("clone-%d", vmid), "", false)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// MoveToNode moves a guest's configuration to another node, as a migration on shared storage does.
func (s *Server) MoveToNode(t testing.TB, vmid int, node string) {
	t.Helper()
	v := s.must(t, vmid)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.node = node
}

// SetRunning starts or stops a guest, as far as anybody can see.
func (s *Server) SetRunning(t testing.TB, vmid int, on bool) {
	t.Helper()
	v := s.must(t, vmid)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.running = on
}

// SetHA makes a guest a highly available one, which is not removed without purge.
func (s *Server) SetHA(t testing.TB, vmid int, on bool) {
	t.Helper()
	v := s.must(t, vmid)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.ha = on
}

// FailTask makes tasks fail just before what they cannot undo, with the text that match gives for their type and id
// ("qmcreate" and "9000"; "imgcopy" and "" for an upload), if it is not "". The text Crashed has the worker killed.
func (s *Server) FailTask(match func(typ, id string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failTask = match
}

// Stick makes volumes impossible to remove.
func (s *Server) Stick(match func(volid string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = match
}
