package pvetest

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// vm is a guest's configuration file, and what else is known of the guest.
type vm struct {
	id      int
	node    string
	pool    string
	kind    string // "VM", or "CT" for a container
	running bool
	ha      bool
	conf    map[string]string // under Server.mu
	file    *sync.Mutex       // the lock of the configuration file, which whatever changes the guest holds
}

// load finds the guest that a request names on its node.
func (c *call) load() (*vm, error) { return c.find(c.params["node"], c.intParam("vmid", 0)) }

func (s *Server) find(node string, id int) (*vm, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.vms[id]; v != nil && v.node == node && v.kind == "VM" {
		return v, nil
	}
	return nil, die("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", node, id)
}

// locked finds the guest of a request and holds its configuration's lock.
func (s *Server) locked(node string, id int) (v *vm, unlock func(), err error) {
	v, err = s.find(node, id)
	if err != nil {
		return nil, nil, err
	}
	v.file.Lock()
	if _, err := s.find(node, id); err != nil { // gone while waiting
		v.file.Unlock()
		return nil, nil, err
	}
	return v, v.file.Unlock, nil
}

// reserve makes a configuration that is only a lock, unless the id is taken.
func (s *Server) reserve(node string, id int, lock string) (*vm, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.vms[id]; have != nil {
		return nil, die("%s %d already exists on node '%s'", have.kind, id, have.node)
	}
	if other := s.snatched[id]; other != "" { // the cluster's file system knows before the list of guests does
		delete(s.snatched, id)
		s.vms[id] = &vm{id: id, node: other, kind: "VM", conf: map[string]string{}, file: &sync.Mutex{}}
		return nil, die("close (rename) atomic file '/etc/pve/nodes/%s/qemu-server/%d.conf' failed: File exists", node, id)
	}
	v := &vm{id: id, node: node, kind: "VM", conf: map[string]string{"lock": lock}, file: &sync.Mutex{}}
	s.vms[id] = v
	return v, nil
}

// forget removes a configuration.
func (s *Server) forget(v *vm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vms[v.id] == v {
		delete(s.vms, v.id)
	}
}

// config is a copy of a configuration.
func (s *Server) config(v *vm) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(v.conf)
}

// write replaces a configuration.
func (s *Server) write(v *vm, conf map[string]string) {
	conf = maps.Clone(conf)
	for k, value := range conf {
		switch {
		case k == "description": // written as comment lines, which end without the last newlines
			conf[k] = strings.TrimRight(value, " \t\r\n")
		case k == "tags" && value == "": // written as "tags: ", read as what follows the colon
			conf[k] = " "
		}
		if conf[k] == "" {
			delete(conf, k)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v.conf = conf
}

func checkLock(conf map[string]string) error {
	if lock := conf["lock"]; lock != "" {
		return die("VM is locked (%s)", lock)
	}
	return nil
}

func isTemplate(conf map[string]string) bool { return conf["template"] == "1" }

// drive is a disk's property string, read: "file" is the volume.
type drive map[string]string

var (
	driveName = regexp.MustCompile(`^(ide|sata|scsi|virtio)\d+$|^(efidisk|tpmstate)0$`)
	newDisk   = regexp.MustCompile(`^(?:([^/:\s]+):)?(\d+(?:\.\d+)?)$`)
)

// driveSchema is the format of a drive's property string.
func (s *Server) driveSchema(name string) map[string]*property {
	return s.options[name].Format.Keys
}

func (s *Server) parseDrive(name, text string) (drive, error) {
	d, err := parseKeyed(s.driveSchema(name), text, name)
	if err != nil {
		return nil, wrongParam(name, "unable to parse drive options")
	}
	return d, nil
}

func (s *Server) printDrive(name string, d drive) string { return printKeyed(s.driveSchema(name), d) }

func (d drive) isCloudInit() bool {
	_, name, ok := strings.Cut(d["file"], ":")
	stem, _, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ".")
	return ok && (name == "cloudinit" || strings.HasSuffix(stem, "-cloudinit"))
}

func (d drive) isCDROM() bool { return d["media"] == "cdrom" || d["file"] == "cdrom" }

// drives calls do for each drive of a configuration, by name.
func (s *Server) drives(conf map[string]string, do func(name string, d drive) error) error {
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		if !driveName.MatchString(name) {
			continue
		}
		d, err := s.parseDrive(name, conf[name])
		if err == nil {
			err = do(name, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addMAC gives a network card an address if it has none: "virtio,bridge=vmbr0" becomes
// "virtio=BC:24:11:…,bridge=vmbr0".
func (s *Server) addMAC(text string) (string, error) {
	schema := s.driveSchema("net0")
	net, err := parseKeyed(schema, text, "net0")
	if err != nil {
		return "", err
	}
	if net["macaddr"] == "" {
		h := randomHex(3)
		net["macaddr"] = "BC:24:11:" + h[0:2] + ":" + h[2:4] + ":" + h[4:6]
	}
	parts := []string{net["model"] + "=" + strings.ToUpper(net["macaddr"])}
	for _, k := range slices.Sorted(maps.Keys(net)) {
		if k != "model" && k != "macaddr" {
			parts = append(parts, k+"="+net[k])
		}
	}
	return strings.Join(parts, ","), nil
}

// uniqueTags lower-cases, sorts and dedupes a list of tags.
func uniqueTags(text string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(splitList(strings.ToLower(text))))), ";")
}

// typed is a value as an answer has it: integers and booleans as numbers, the rest as strings.
func (s *Server) typed(name, value string) any {
	p := s.options[name]
	if p != nil && (p.Type == "integer" || p.Type == "boolean") {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return n
		}
	}
	return value
}

func newUUID() string {
	h := randomHex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
