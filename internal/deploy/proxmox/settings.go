// Package proxmox deploys images to Proxmox VE 8.0 to 9.x as templates: the qcow2 is uploaded, imported as the disk of a
// new VM, and the VM becomes a template from which clones are made.
package proxmox

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// Settings are those of a target of type "proxmox".
//
// Without template_id the new template gets the first free id from template_id_start on, and the old one goes after it
// is there. With template_id it cannot be so, because Proxmox VE cannot renumber: the new image is uploaded and
// verified, then the old template is deleted, then the new one takes its id. For that moment there is none, a failure
// in it leaves none (the next apply makes it), and old generations cannot be kept. A template with linked clones has to
// stay, so then the deployment fails before anything is changed.
type Settings struct {
	Endpoint         string   `yaml:"endpoint"` // https://HOST:8006
	Host             string   `yaml:"host"`     // or only the host, with or without a port
	Node             string   `yaml:"node"`     // "" when there is but one
	Storage          string   `yaml:"storage"`  // of the template's disks
	ImportStorage    string   `yaml:"import_storage"`
	CloudInitStorage string   `yaml:"cloud_init_storage"` // of the cloud-init drive
	TemplateID       int64    `yaml:"template_id"`
	TemplateIDStart  int64    `yaml:"template_id_start"`
	Bridge           string   `yaml:"bridge"`
	Cores            int64    `yaml:"cores"`
	Memory           int64    `yaml:"memory"` // MiB
	CPUType          string   `yaml:"cpu_type"`
	Tags             []string `yaml:"tags"` // beside "pim"
	Pool             string   `yaml:"pool"`
	CAFile           string   `yaml:"ca_file"`     // PEM; a cluster's own CA is in /etc/pve/pve-root-ca.pem
	Fingerprint      string   `yaml:"fingerprint"` // SHA-256 of the server's certificate, instead of a CA
	Insecure         bool     `yaml:"insecure"`
	APIToken         string   `yaml:"api_token" secret:"true"` // USER@REALM!TOKENID=SECRET
	APITokenFile     string   `yaml:"api_token_file"`
	Username         string   `yaml:"username"` // USER@REALM, with a password instead of a token
	Password         string   `yaml:"password" secret:"true"`
	PasswordFile     string   `yaml:"password_file"`
}

const (
	defaultPort            = "8006"
	defaultImportStorage   = "local" // every installation has it
	defaultTemplateIDStart = 9000
	defaultBridge          = "vmbr0"
	defaultCores           = 2
	defaultMemory          = 2048
	defaultCPUType         = "x86-64-v2-AES" // what Proxmox VE's own dialog proposes since 8.0; it migrates between hosts

	minID, maxID = 100, 999999999 // of a VM, by the API's schema
	minMemory    = 16             // MiB, by the API's schema
)

// The tags of our own.
const (
	tagOurs    = "pim"
	tagRetired = "pim-retired"
)

var (
	nodeName    = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`)
	storageName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]$`)
	bridgeName  = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)
	poolName    = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}$`)
	cpuName     = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	tagName     = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.+-]*$`)
	sha256Hex   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	tokenFormat = regexp.MustCompile(`^[^\s@!=:/]+@[A-Za-z][\w.-]*![A-Za-z][\w.-]*=[0-9a-fA-F-]{36}$`)
	userFormat  = regexp.MustCompile(`^[^\s:/]+@[A-Za-z][\w.-]*$`)
)

// Complete fills the defaults in and checks the values. It does no I/O.
func (s *Settings) Complete() []deploy.Problem {
	var c checker
	c.want(s.Endpoint == "" || s.Host == "", "host", "Two addresses", "endpoint and host say the same: give one of them.")
	s.defaults()
	if s.Endpoint != "" {
		endpoint, ok := normalize(s.Endpoint)
		c.want(ok, "endpoint", "Not an address", "%q is not the address of a server, such as \"https://pve1.example:8006\".", s.Endpoint)
		s.Endpoint = endpoint
	}
	s.checkPlaces(&c)
	s.checkMachine(&c)
	s.checkAccess(&c)
	return c.problems
}

func (s *Settings) defaults() {
	if s.Endpoint == "" && s.Host != "" {
		s.Endpoint, s.Host = "https://"+s.Host, ""
	}
	setDefault(&s.ImportStorage, defaultImportStorage)
	setDefault(&s.CloudInitStorage, s.Storage)
	setDefault(&s.Bridge, defaultBridge)
	setDefault(&s.CPUType, defaultCPUType)
	setDefault(&s.Cores, defaultCores)
	setDefault(&s.Memory, defaultMemory)
	if s.TemplateID == 0 {
		setDefault(&s.TemplateIDStart, defaultTemplateIDStart)
	}
	s.Fingerprint = strings.ToLower(strings.ReplaceAll(s.Fingerprint, ":", ""))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// normalize is an endpoint as https://HOST:PORT.
func normalize(endpoint string) (string, bool) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		!slices.Contains([]string{"", "/", "/api2/json", "/api2/json/"}, u.Path) {
		return endpoint, false
	}
	if u.Port() == "" {
		u.Host += ":" + defaultPort
	}
	return u.Scheme + "://" + u.Host, true
}

func (s *Settings) checkPlaces(c *checker) {
	c.want(s.Node == "" || nodeName.MatchString(s.Node), "node", "Not a node", "%q is not the name of a node.", s.Node)
	c.want(s.Storage != "", "storage", "No storage", "Say on which storage the template's disk goes, such as \"local-lvm\".")
	for _, f := range []struct{ field, value string }{
		{"storage", s.Storage}, {"import_storage", s.ImportStorage}, {"cloud_init_storage", s.ownCloudInitStorage()},
	} {
		c.want(f.value == "" || storageName.MatchString(f.value), f.field, "Not a storage", "%q is not the name of a storage.", f.value)
	}
	c.want(s.Pool == "" || poolName.MatchString(s.Pool), "pool", "Not a pool", "%q is not the name of a pool.", s.Pool)
	c.want(s.TemplateID == 0 || s.TemplateIDStart == 0, "template_id_start", "Two ids",
		"template_id says which id the template gets, so template_id_start has no meaning: give one of them.")
	for _, f := range []struct {
		field string
		id    int64
	}{{"template_id", s.TemplateID}, {"template_id_start", s.TemplateIDStart}} {
		c.want(f.id == 0 || f.id >= minID && f.id <= maxID, f.field, "Not an id", "%d is not between %d and %d.", f.id, minID, maxID)
	}
}

// ownCloudInitStorage is the cloud-init drive's storage, "" when it is the disks', where one complaint is enough.
func (s *Settings) ownCloudInitStorage() string {
	if s.CloudInitStorage == s.Storage {
		return ""
	}
	return s.CloudInitStorage
}

func (s *Settings) checkMachine(c *checker) {
	c.want(bridgeName.MatchString(s.Bridge), "bridge", "Not a bridge", "%q is not the name of a bridge.", s.Bridge)
	c.want(s.Cores > 0 && s.Cores <= 8192, "cores", "Out of range", "cores is %d.", s.Cores)
	c.want(s.Memory >= minMemory, "memory", "Out of range", "memory is %d MiB; at least %d are needed.", s.Memory, minMemory)
	c.want(cpuName.MatchString(s.CPUType), "cpu_type", "Not a CPU type", "%q is not a CPU type such as %q or \"host\".", s.CPUType, defaultCPUType)
	for _, t := range s.Tags {
		c.want(tagName.MatchString(t), "tags", "Not a tag",
			"%q: a tag has letters, digits, and after the first character also . + and -.", t)
		c.want(!strings.EqualFold(t, tagRetired), "tags", "Reserved tag", "%q marks templates that pim will delete.", t)
	}
}

func (s *Settings) checkAccess(c *checker) {
	c.want(s.APIToken == "" || s.APITokenFile == "", "api_token_file", "Two tokens", "Give api_token or api_token_file, not both.")
	c.want(s.Password == "" || s.PasswordFile == "", "password_file", "Two passwords", "Give password or password_file, not both.")
	c.want(s.APIToken == "" || tokenFormat.MatchString(s.APIToken), "api_token", "Not an API token",
		"An API token looks like USER@REALM!TOKENID=00000000-0000-0000-0000-000000000000.")
	c.want(s.Username == "" || userFormat.MatchString(s.Username), "username", "Not a user",
		"%q lacks its realm: it looks like \"root@pam\".", s.Username)
	token, login := s.APIToken+s.APITokenFile != "", s.Password+s.PasswordFile != ""
	c.want(!token || !login, "api_token", "Two ways to log in", "Give a token, or a username and a password.")
	c.want(!login || s.Username != "", "username", "No user", "A password needs its username, such as \"root@pam\".")
	c.want(s.Fingerprint == "" || sha256Hex.MatchString(s.Fingerprint), "fingerprint", "Not a fingerprint",
		"The SHA-256 fingerprint of a certificate has 64 hex digits. `openssl x509 -noout -fingerprint -sha256 -in "+
			"/etc/pve/local/pve-ssl.pem` on the node prints it.")
	c.want(!s.Insecure || s.CAFile+s.Fingerprint == "", "insecure", "Verified or not",
		"insecure switches off what ca_file and fingerprint are for: remove one or the other.")
}

// checker collects problems.
type checker struct{ problems []deploy.Problem }

func (c *checker) want(ok bool, field, summary, detail string, args ...any) {
	if !ok {
		c.problems = append(c.problems, deploy.Problem{Field: field, Summary: summary, Detail: fmt.Sprintf(detail, args...)})
	}
}

// tags are those of a template: ours and the user's, as Proxmox VE 9 stores them.
func (s *Settings) tags(more ...string) []string {
	tags := append([]string{tagOurs}, more...)
	for _, t := range s.Tags {
		tags = append(tags, strings.ToLower(t))
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// Effect is what a change of a field takes. That another address is another cluster has to be seen: it may lead to the same.
func Effect(field string) deploy.Effect {
	switch field {
	case "endpoint", "host":
		return deploy.Move
	case "node", "storage", "cloud_init_storage", "template_id", "pool":
		return deploy.Recreate
	case "bridge", "cores", "memory", "cpu_type", "tags":
		return deploy.InPlace
	}
	return deploy.Nothing
}
