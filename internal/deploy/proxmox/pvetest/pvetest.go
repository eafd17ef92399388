// Package pvetest is a Proxmox VE server for tests: versions 8.2, 8.3, 8.4 and 9.2, in this process, on loopback.
//
// It checks every request against the version's own API schema and its privileges, answers with the server's texts,
// keeps real state (VMs, storages, volumes, tasks), and makes disks with the real qemu-img: what a VM's DiskPath gives
// boots. Endpoints that the schema has and no deployment of an image needs answer 501 and say so.
//
// What of the real servers was measured, and what is read from their sources, is in the tests, a row each.
package pvetest

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
)

// Role are the privileges that deploying takes, all but the last two of them needed: without VM.Config.CDROM the cloud
// drive cannot be changed later, without Datastore.Allocate the uploaded file stays.
var Role = []string{
	"VM.Allocate", "VM.Audit", "VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.HWType",
	"VM.Config.Options", "VM.Config.Network", "VM.Config.Cloudinit", "SDN.Use", "Datastore.AllocateSpace",
	"Datastore.AllocateTemplate", "Datastore.Audit", "VM.Config.CDROM", "Datastore.Allocate",
}

// MinimalRole is Role without what can be done without.
func MinimalRole() []string { return slices.Clone(Role[:len(Role)-2]) }

// The one user with a password, and the token that there is unless Options say otherwise.
const (
	RootPassword = "correct horse"
	TokenID      = "pim@pve!test"
	tokenSecret  = "01234567-89ab-cdef-0123-456789abcdef"
)

// Options are what a server is like. The zero value is a 9.2 with one node, pve1, the storages "local" (a directory:
// files to import, ISOs), "local-lvm" (thin volumes, raw) and "data" (a directory: images), and one token with Role.
type Options struct {
	Version  string   // "8.2", "8.3", "8.4" or "9.2"
	Nodes    []string // the first is the one that requests go to
	Storages []Storage
	Pools    []string
	// Tokens give each API token its grants: path → privileges, also for what is below the path, until a path further
	// down has grants of its own. Secrets are in Server.Token. A token of root@pam has all privileges.
	Tokens map[string]map[string][]string

	AuthDelay    time.Duration // before a rejected login or upload is answered; 3 s on a real server
	UploadStall  time.Duration // without a byte, after which an upload is dropped; 0 for the real 5 s
	TicketLife   time.Duration // 0 for the real 2 h
	ResourcesLag time.Duration // how old names and sizes in /cluster/resources may be; 10 s on a real server
	TaskDelay    time.Duration // before a task begins its work
	LateTasks    int           // so many first looks at each task find no such task
	LeakEFIDisk  bool          // a create that fails leaves its EFI disk, as 8.4 may
}

// Server is a Proxmox VE server, or a cluster of them behind one address.
type Server struct {
	URL         string // https://127.0.0.1:port
	CAFile      string // PEM
	Fingerprint string // SHA-256 of the certificate as Proxmox shows it: "AB:CD:…"

	opts    Options
	rel     release
	api     []*endpoint
	options map[string]*property // of a VM, and what else a create takes
	root    string               // folder of all storages
	faults  deploytest.Faults
	ctx     context.Context // the life of the server, which the tasks end with
	work    sync.WaitGroup

	mu       sync.Mutex
	vms      map[int]*vm
	tasks    map[string]*task
	order    []string // UPIDs, oldest first
	pid      int
	stats    map[int]map[string]any // of VMs, as they are broadcast
	statsAt  time.Time
	tickets  map[string]ticket
	log      []Request
	failTask func(typ, id string) string
	stuck    func(volid string) bool
	snatched map[int]string // id → the node whose guest takes it when a create wants it
}

// Request is one that the server got.
type Request struct {
	Method string
	Path   string            // below /api2/json
	Params map[string]string // as they arrived, a password left out; those of an upload are its form's fields
	Status int
}

func (r Request) String() string { return r.Method + " " + r.Path }

// New starts a server that ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Version == "" {
		o.Version = "9.2"
	}
	rel, ok := releases[o.Version]
	if !ok {
		t.Fatalf("pvetest has no version %q", o.Version)
	}
	api, err := endpoints(o.Version)
	if err != nil {
		t.Fatal(err)
	}
	create, _ := find(api, http.MethodPost, "/nodes/pve1/qemu")
	if o.Nodes == nil {
		o.Nodes = []string{"pve1"}
	}
	if o.Storages == nil {
		o.Storages = DefaultStorages(o.Version)
	}
	if o.Tokens == nil {
		o.Tokens = map[string]map[string][]string{TokenID: {"/": Role}}
	}
	if o.UploadStall == 0 {
		o.UploadStall = 5 * time.Second
	}
	if o.TicketLife == 0 {
		o.TicketLife = 2 * time.Hour
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // it ends in the clean-up
	s := &Server{
		opts: o, rel: rel, api: api, options: create.Parameters.Properties, root: t.TempDir(), ctx: ctx, vms: map[int]*vm{}, tasks: map[string]*task{},
		tickets: map[string]ticket{}, snatched: map[int]string{}, pid: 0x1000,
	}
	web := httptest.NewUnstartedServer(s.faults.Handler(http.HandlerFunc(s.serve), refuse))
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust the certificate are no news
	web.StartTLS()
	t.Cleanup(func() {
		cancel()
		web.CloseClientConnections()
		web.Close()
		s.work.Wait()
	})
	s.URL = web.URL
	cert := web.Certificate()
	s.CAFile = filepath.Join(s.root, "ca.pem")
	if err := os.WriteFile(s.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.Raw)
	s.Fingerprint = strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
	return s
}

// Faults are in front of the server.
func (s *Server) Faults() *deploytest.Faults { return &s.faults }

// Token is an API token as api_token wants it: "user@realm!name=secret".
func (s *Server) Token(id string) string { return id + "=" + tokenSecret }

// Requests lists what the server got, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// release is what differs between versions.
type release struct {
	version  string // as GET /version has it
	release  string
	imports  []string // extensions of files that can be uploaded for import
	bodyText bool     // the text of an error is in the body as well as in the HTTP reason phrase
	authWhy  bool     // a rejected token or ticket is told why
	tags     bool     // tags are sorted and lower-cased also at create
	maxPost  int64    // bytes of a request's body, uploads apart
	qemu     string
}

var releases = map[string]release{
	"8.2": {version: "8.2.4", release: "8.2", authWhy: true, maxPost: 64 << 10, qemu: "8.1.5"},
	"8.3": {version: "8.3.3", release: "8.3", authWhy: true, maxPost: 64 << 10, qemu: "9.0.2", imports: []string{"ova"}},
	"8.4": {
		version: "8.4.21", release: "8.4", maxPost: 512 << 10, qemu: "9.2.0", bodyText: true,
		imports: []string{"ova", "qcow2", "raw", "vmdk"},
	},
	"9.2": {
		version: "9.2.11", release: "9.2", maxPost: 512 << 10, qemu: "10.1.2", bodyText: true, tags: true,
		imports: []string{"ova", "qcow2", "raw", "vmdk"},
	},
}

// refuse is how the proxy in front of the server answers when the server did not: no body, only a reason phrase.
func refuse(w http.ResponseWriter, r *http.Request) {
	// The proxy has read the request by then. An error of reading it is the client's.
	_, err := drain(r.Body)
	if err != nil && !errors.Is(err, http.ErrBodyReadAfterClose) {
		panic(http.ErrAbortHandler)
	}
	respond(w, 596, "Connection timed out", "", nil)
}
