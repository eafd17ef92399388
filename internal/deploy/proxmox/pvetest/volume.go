package pvetest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// volume is a file or an image on a storage, seen from a node.
type volume struct {
	st     *Storage
	node   string
	name   string // what follows the storage in its id: "9000/base-9000-disk-0.qcow2", "import/x.qcow2"
	kind   string // "images", "import", "iso"
	format string // "qcow2", "raw", "ova", "ova+qcow2"
	vmid   int    // of an image's owner
	base   string // of a linked clone's: "9000/base-9000-disk-0.qcow2"
	isBase bool
	leaf   string // "base-9000-disk-0.qcow2", "x.qcow2"
	inner  string // the file in an OVA
}

func (v volume) volid() string { return v.st.ID + ":" + v.name }

var (
	linkedName = regexp.MustCompile(`^(\d+)/(\S+)/(\d+)/(\S+)$`)
	imageName  = regexp.MustCompile(`^(\d+)/(\S+)$`)
	lvName     = regexp.MustCompile(`^(vm|base)-(\d+)-\S+$`)
	isoName    = regexp.MustCompile(`^iso/([^/]+\.(?i:iso|img))$`)
	innerName  = regexp.MustCompile(`^import/([ a-zA-Z0-9\-.+=_]+\.ova)/([ a-zA-Z0-9\-.+=_]+\.(qcow2|raw|vmdk))$`)
	importName = regexp.MustCompile(`^import/([ a-zA-Z0-9\-.+=_]+\.(ova|ovf|qcow2|raw|vmdk))$`)
	imageLeaf  = regexp.MustCompile(`^(vm|base)-\d+-[^.]+\.(raw|qcow2|vmdk)$`)
)

// parseVolume reads a volume's id.
func (s *Server) parseVolume(volid, node string) (volume, error) {
	id, name, ok := strings.Cut(volid, ":")
	if !ok {
		return volume{}, die("unable to parse volume ID '%s'", volid)
	}
	st, err := s.storage(id)
	if err != nil {
		return volume{}, err
	}
	v := volume{st: st, node: node, name: name}
	if !st.isDir() {
		m := lvName.FindStringSubmatch(name)
		if m == nil {
			return v, die("unable to parse lvm volume name '%s'", name)
		}
		v.kind, v.format, v.leaf, v.isBase = "images", "raw", name, m[1] == "base"
		v.vmid, err = strconv.Atoi(m[2])
		return v, err
	}
	if m := linkedName.FindStringSubmatch(name); m != nil {
		v.base = m[1] + "/" + m[2]
		return v.image(m[3], m[4])
	}
	if m := imageName.FindStringSubmatch(name); m != nil {
		return v.image(m[1], m[2])
	}
	if m := isoName.FindStringSubmatch(name); m != nil {
		v.kind, v.format, v.leaf = "iso", "raw", m[1]
		return v, nil
	}
	if s.rel.imports != nil {
		if m := innerName.FindStringSubmatch(name); m != nil {
			v.kind, v.format, v.leaf, v.inner = "import", "ova+"+m[3], m[1], m[2]
			return v, nil
		}
		if m := importName.FindStringSubmatch(name); m != nil {
			v.kind, v.format, v.leaf = "import", m[2], m[1]
			return v, nil
		}
	}
	return v, die("unable to parse directory volume name '%s'", name)
}

func (v volume) image(owner, leaf string) (volume, error) {
	m := imageLeaf.FindStringSubmatch(leaf)
	if m == nil {
		return v, die("unable to parse volume filename '%s'", leaf)
	}
	v.kind, v.leaf, v.isBase, v.format = "images", leaf, m[1] == "base", m[2]
	n, err := strconv.Atoi(owner)
	v.vmid = n
	return v, err
}

// imageOf is the image that a drive or an unused disk has, if it has one.
func (s *Server) imageOf(file, node string) (volume, bool) {
	v, err := s.parseVolume(file, node)
	return v, err == nil && v.kind == "images"
}

// below is the volume's place below its storage's folder.
func (v volume) below() string {
	switch {
	case !v.st.isDir():
		return v.leaf
	case v.kind == "images":
		return filepath.Join("images", strconv.Itoa(v.vmid), v.leaf)
	case v.kind == "iso":
		return filepath.Join("template", "iso", v.leaf)
	}
	return filepath.Join(v.kind, v.leaf)
}

// file is where the volume is on this machine.
func (s *Server) file(v volume) string { return filepath.Join(s.folder(v.st, v.node), v.below()) }

// shown is where the server says it is.
func (s *Server) shown(v volume) string {
	if !v.st.isDir() {
		return "/dev/pve/" + v.leaf
	}
	return filepath.Join(v.st.Path, v.below())
}

// volumes lists what is on a node's storage, images first.
func (s *Server) volumes(st *Storage, node string) []volume {
	var list []volume
	root := s.folder(st, node)
	add := func(name string) {
		if v, err := s.parseVolume(st.ID+":"+name, node); err == nil && st.has(v.kind) {
			list = append(list, v)
		}
	}
	for _, leaf := range names(root, !st.isDir()) {
		add(leaf)
	}
	if !st.isDir() {
		return list
	}
	for _, owner := range names(filepath.Join(root, "images"), true) {
		for _, leaf := range names(filepath.Join(root, "images", owner), true) {
			name := owner + "/" + leaf
			if base := backing(filepath.Join(root, "images", owner, leaf)); base != "" {
				name = strings.TrimPrefix(base, "../") + "/" + name
			}
			add(name)
		}
	}
	for _, leaf := range names(filepath.Join(root, "import"), true) {
		add("import/" + leaf)
	}
	for _, leaf := range names(filepath.Join(root, "template", "iso"), true) {
		add("iso/" + leaf)
	}
	return list
}

func names(folder string, really bool) []string {
	if !really {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // not there yet
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// backing is the name of a qcow2's backing file as its header has it (docs/interop/qcow2.rst), "" for none.
func backing(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	header := make([]byte, 20)
	if _, err := f.ReadAt(header, 0); err != nil || string(header[:4]) != "QFI\xfb" {
		return ""
	}
	at, n := int64(be(header[8:16])), int(be(header[16:20]))
	if at == 0 {
		return ""
	}
	name := make([]byte, n)
	if _, err := f.ReadAt(name, at); err != nil {
		return ""
	}
	return string(name)
}

func be(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// alloc takes the next free name for an image and makes a file of its size, in bytes.
func (s *Server) alloc(ctx context.Context, st *Storage, node string, vmid int, format, leaf string, size int64) (volume, error) {
	v := volume{st: st, node: node, kind: "images", vmid: vmid, format: format}
	s.mu.Lock()
	err := s.reserveName(&v, leaf)
	s.mu.Unlock()
	if err != nil {
		return v, err
	}
	if !st.isDir() {
		size = (size + extent - 1) / extent * extent
	}
	if err := s.qemuImg(ctx, nil, "create", "-q", "-f", format, s.file(v), strconv.FormatInt(size, 10)); err != nil {
		_ = s.free(v)
		return v, err
	}
	return v, nil
}

// extent is what LVM rounds sizes up to.
const extent = 4 << 20

// reserveName gives an image its name, and makes the empty file.
func (s *Server) reserveName(v *volume, leaf string) error {
	ext := ""
	if v.st.isDir() {
		ext = "." + v.format
	}
	taken := map[string]bool{}
	for _, have := range s.volumes(v.st, v.node) {
		stem, _, _ := strings.Cut(have.leaf, ".")
		taken[strings.Replace(stem, "base-", "vm-", 1)] = true
	}
	for i := 0; leaf == ""; i++ {
		if stem := fmt.Sprintf("vm-%d-disk-%d", v.vmid, i); !taken[stem] {
			leaf = stem
		}
	}
	v.leaf, v.name = leaf+ext, leaf+ext
	if v.st.isDir() {
		v.name = strconv.Itoa(v.vmid) + "/" + v.leaf
	}
	if err := os.MkdirAll(filepath.Dir(s.file(*v)), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(s.file(*v), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return die("disk image '%s' already exists", s.shown(*v))
	}
	return f.Close()
}

// free removes a volume. A base image with linked clones stays, on a directory; thin volumes need no base.
func (s *Server) free(v volume) error {
	s.mu.Lock()
	stuck := s.stuck != nil && s.stuck(v.volid())
	s.mu.Unlock()
	if stuck {
		return die("unlink '%s' failed - Operation not permitted", s.shown(v))
	}
	if s.baseInUse(v) {
		return die("base volume '%s' is still in use by linked clones", v.name)
	}
	err := os.Remove(s.file(v))
	if v.kind == "images" && v.st.isDir() {
		_ = os.Remove(filepath.Dir(s.file(v))) // only when it was the last one
	}
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func (s *Server) baseInUse(v volume) bool {
	return v.isBase && v.st.isDir() && slices.ContainsFunc(s.volumes(v.st, v.node), func(other volume) bool {
		return other.base == v.name
	})
}

// toBase makes an image the base image of a template.
func (s *Server) toBase(v volume) (volume, error) {
	base := v
	base.isBase = true
	base.leaf = strings.Replace(v.leaf, "vm-", "base-", 1)
	base.name = strings.TrimSuffix(v.name, v.leaf) + base.leaf
	if err := os.Rename(s.file(v), s.file(base)); err != nil {
		return v, err
	}
	return base, os.Chmod(s.file(base), 0o444)
}

// imageInfo is what qemu-img knows of an image.
type imageInfo struct {
	Format      string `json:"format"`
	VirtualSize int64  `json:"virtual-size"`
	ActualSize  int64  `json:"actual-size"`
	Backing     string `json:"backing-filename"`
}

// info asks qemu-img about an image of a format; "" has it look.
func (s *Server) info(ctx context.Context, file, format string) (imageInfo, error) {
	var info imageInfo
	if _, err := os.Stat(file); err != nil {
		return info, err
	}
	args := []string{"info", "--output=json"}
	if format != "" {
		args = append(args, "-f", format)
	}
	var out strings.Builder
	if err := s.qemuImg(ctx, &out, append(args, file)...); err != nil {
		return info, err
	}
	return info, json.Unmarshal([]byte(out.String()), &info)
}

// untrusted is what qemu-img knows of an image that a user brought; it must stand alone.
func (s *Server) untrusted(ctx context.Context, file, shown, format string) (imageInfo, error) {
	info, err := s.info(ctx, file, format)
	switch {
	case os.IsNotExist(err):
		return info, die("failed to stat '%s'", shown)
	case ctx.Err() != nil:
		return info, context.Cause(ctx)
	case err != nil:
		return info, die("failed to query file information with qemu-img")
	case info.Backing != "":
		return info, die("backing file not allowed for untrusted image '%s'!", shown)
	}
	return info, nil
}

// qemuImg runs qemu-img.
func (s *Server) qemuImg(ctx context.Context, out *strings.Builder, args ...string) error {
	cmd := exec.CommandContext(ctx, "qemu-img", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if out != nil {
		cmd.Stdout = out
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		text := strings.ReplaceAll(strings.TrimSpace(stderr.String()), s.root, "")
		return die("command '/usr/bin/qemu-img %s' failed: %s: %s", args[0], err, text)
	}
	return nil
}
