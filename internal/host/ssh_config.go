package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kevinburke/ssh_config"
)

// SSHConfig is how to reach a machine by SSH. Only Host is needed: what is left out comes from the user's
// ~/.ssh/config and from /etc/ssh/ssh_config as for the ssh command (HostName, User, Port, IdentityFile,
// IdentitiesOnly, IdentityAgent, ProxyJump, HostKeyAlias, UserKnownHostsFile, GlobalKnownHostsFile), and then from
// its defaults. Host keys are always checked strictly, whatever StrictHostKeyChecking says there.
type SSHConfig struct {
	Name         string   // the remote's name in our own configuration, for messages; Host when empty
	Host         string   // a name, an address, or an alias of ~/.ssh/config
	Port         int      // 0 for the default
	User         string   // "" for the default
	IdentityFile string   // a private key, tried first; an encrypted one must be in the ssh-agent
	JumpHost     string   // as ProxyJump: [user@]host[:port], several separated by commas; "none" for none
	KnownHosts   []string // known_hosts files instead of the default ones

	ConfigFile string // instead of both configuration files; "none" for none
	Agent      string // the ssh-agent's socket instead of SSH_AUTH_SOCK; "none" for none
	Home       string // the folder that ~ stands for instead of the user's own

	DeadAfter time.Duration // a connection that is silent for so long is dead; 0 for 30 s
	Patience  time.Duration // how long a lost connection is worth waiting for; 0 for DefaultPatience, negative for not at all
	LockGrace time.Duration // how long a lock outlives a lost connection; 0 for what Patience needs
}

// DefaultPatience is SSHConfig.Patience where it is not set.
const DefaultPatience = 2 * time.Minute

const (
	defaultDeadAfter = 30 * time.Second
	none             = "none"
	// maxHops bounds a chain of jump hosts; one that is longer goes in circles.
	maxHops = 8
	// maxIncludes bounds how deep files include each other, as the parser does.
	maxIncludes = 5
)

// sshTarget is one SSH server on the way, with every question answered.
type sshTarget struct {
	host, addr     string // as it was written, and host:port to connect to
	keyAddr        string // host:port by which known_hosts knows it
	user           string
	identities     []string // private key files, in the order to try them
	wanted         int      // so many of them were asked for and must be there
	identitiesOnly bool
	agent          string // a socket, "" for none
	knownHosts     []string
}

// hop is a server as somebody wrote it, before the configuration files are asked.
type hop struct {
	host, user, jump string
	port             int
}

// resolver answers questions from the configuration files.
type resolver struct {
	SSHConfig
	files []*ssh_config.Config
	user  string
}

// route returns the servers to go through, the machine itself last.
func (c SSHConfig) route() ([]sshTarget, error) {
	if c.Host == "" {
		return nil, errors.New("no host is given")
	}
	if c.Home == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		c.Home = home
	}
	r := &resolver{SSHConfig: c}
	if u, err := user.Current(); err == nil {
		r.user = u.Username
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	return r.route(hop{c.Host, c.User, c.JumpHost, c.Port}, 0)
}

// read loads the configuration files; one that is not there is no error, unless it was asked for.
func (r *resolver) read() error {
	names := []string{filepath.Join(r.Home, ".ssh", "config"), "/etc/ssh/ssh_config"}
	switch r.ConfigFile {
	case "":
	case none:
		names = nil
	default:
		names = []string{r.path(r.ConfigFile)}
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) && r.ConfigFile == "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read the SSH configuration: %w", err)
		}
		parsed, err := ssh_config.DecodeBytes([]byte(r.decidable(string(text), 0)))
		if err != nil {
			return fmt.Errorf("cannot read the SSH configuration %s: %w", name, err)
		}
		r.files = append(r.files, parsed)
	}
	return nil
}

// decidable is a configuration without what cannot be decided here, and the parser refuses or misreads: blocks of a Match
// by anything but one list of hosts, and files to include that have one, such as those of Fedora's /etc/ssh/ssh_config.d.
func (r *resolver) decidable(text string, depth int) string {
	var out strings.Builder
	skip := false
	for line := range strings.Lines(text) {
		words := strings.FieldsFunc(line, func(c rune) bool { return unicode.IsSpace(c) || c == '=' })
		keyword := ""
		if len(words) > 0 {
			keyword = strings.ToLower(words[0])
		}
		switch keyword {
		case "host":
			skip = false
		case "match":
			criterion := strings.ToLower(strings.Join(words[1:min(2, len(words))], ""))
			skip = criterion != "all" && (criterion != "host" || len(words) > 3)
		}
		if !skip && (keyword != "include" || r.includable(words[1:], depth)) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// includable tells whether the files of an Include line can be read as they are.
func (r *resolver) includable(patterns []string, depth int) bool {
	for _, p := range patterns {
		if p = strings.Trim(p, `"`); !filepath.IsAbs(p) && !strings.HasPrefix(p, "~/") {
			p = filepath.Join("~/.ssh", p)
		}
		files, _ := filepath.Glob(r.path(p)) // no file that can be read is none that matters
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err == nil && (depth == maxIncludes || r.decidable(string(text), depth+1) != string(text)) {
				return false
			}
		}
	}
	return true
}

func (r *resolver) route(h hop, depth int) ([]sshTarget, error) {
	if depth > maxHops {
		return nil, fmt.Errorf("the jump hosts of %s go in circles", r.Host)
	}
	t, err := r.target(h, depth == 0)
	if err != nil {
		return nil, err
	}
	jump := h.jump
	if jump == "" {
		jump = r.get(h.host, "ProxyJump")
	}
	if jump == "" && r.get(h.host, "ProxyCommand") != "" && r.get(h.host, "ProxyCommand") != none {
		return nil, fmt.Errorf("%s has a ProxyCommand, which is not supported; give a jump host (ProxyJump) instead", h.host)
	}
	if jump == "" || jump == none {
		return []sshTarget{t}, nil
	}
	rest, last := "", jump
	if i := strings.LastIndex(jump, ","); i >= 0 {
		rest, last = jump[:i], jump[i+1:]
	}
	via, err := parseHop(last)
	if err != nil {
		return nil, err
	}
	if via.host == h.host { // as ssh: "Host *" may give the jump host itself as its own
		return []sshTarget{t}, nil
	}
	via.jump = rest
	before, err := r.route(via, depth+1)
	if err != nil {
		return nil, err
	}
	return append(before, t), nil
}

// parseHop reads [user@]host[:port], also with ssh:// in front.
func parseHop(text string) (hop, error) {
	rest := strings.TrimPrefix(strings.TrimSpace(text), "ssh://")
	var h hop
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		h.user, rest = rest[:i], rest[i+1:]
	}
	h.host = rest
	if name, port, err := net.SplitHostPort(rest); err == nil {
		h.host = name
		if h.port, err = strconv.Atoi(port); err != nil {
			return h, fmt.Errorf("the jump host %q has no valid port", text)
		}
	}
	h.host = strings.Trim(h.host, "[]")
	if h.host == "" {
		return h, fmt.Errorf("the jump host %q has no name", text)
	}
	return h, nil
}

// target asks the files for all that h leaves out. What the caller gave beside the name is for the machine itself,
// but for the known_hosts files, which are for all.
func (r *resolver) target(h hop, machine bool) (sshTarget, error) {
	name := r.get(h.host, "HostName")
	if name = strings.NewReplacer("%%", "%", "%h", h.host).Replace(name); name == "" {
		name = h.host
	}
	port := strconv.Itoa(h.port)
	if h.port == 0 {
		port = first(r.get(h.host, "Port"), "22")
	}
	t := sshTarget{host: h.host, addr: net.JoinHostPort(name, port), user: first(h.user, r.get(h.host, "User"), r.user)}
	t.keyAddr = t.addr
	if alias := r.get(h.host, "HostKeyAlias"); alias != "" {
		t.keyAddr = net.JoinHostPort(alias, "22")
	}
	tokens := strings.NewReplacer("%%", "%", "%h", name, "%n", h.host, "%p", port, "%r", t.user, "%u", r.user, "%d", r.Home)
	if machine && r.IdentityFile != "" {
		t.identities = append(t.identities, r.path(r.IdentityFile))
		t.wanted = 1
	}
	files := r.all(h.host, "IdentityFile")
	if len(files)+t.wanted == 0 {
		files = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}
	}
	for _, f := range files {
		if f != none {
			t.identities = append(t.identities, r.path(tokens.Replace(f)))
		}
	}
	t.identitiesOnly = strings.EqualFold(r.get(h.host, "IdentitiesOnly"), "yes")
	t.agent = r.agent(r.get(h.host, "IdentityAgent"), tokens)
	t.knownHosts = r.knownHosts(h.host, tokens)
	if t.user == "" {
		return t, fmt.Errorf("no user is given for %s", h.host)
	}
	return t, nil
}

// agent is the ssh-agent's socket: the caller's word, that of the files, or the environment's.
func (r *resolver) agent(configured string, tokens *strings.Replacer) string {
	socket := first(r.Agent, configured, "SSH_AUTH_SOCK")
	switch {
	case socket == none:
		return ""
	case socket == "SSH_AUTH_SOCK":
		return os.Getenv(socket)
	case strings.HasPrefix(socket, "$"):
		return os.ExpandEnv(socket)
	}
	return r.path(tokens.Replace(socket))
}

func (r *resolver) knownHosts(host string, tokens *strings.Replacer) []string {
	files := r.KnownHosts
	if len(files) == 0 {
		user := first(r.get(host, "UserKnownHostsFile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2")
		global := first(r.get(host, "GlobalKnownHostsFile"), "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
		files = append(strings.Fields(user), strings.Fields(global)...)
	}
	var paths []string
	for _, f := range files {
		if f != none {
			paths = append(paths, r.path(tokens.Replace(f)))
		}
	}
	return paths
}

// get is the first value that a file has for a host; "" for none.
func (r *resolver) get(host, key string) string {
	return first(r.all(host, key)...)
}

// all are the values that the files have for a host.
func (r *resolver) all(host, key string) []string {
	var values []string
	for _, f := range r.files {
		if v, err := f.GetAll(host, key); err == nil {
			values = append(values, v...)
		}
	}
	return values
}

// path makes a path of a configuration absolute.
func (r *resolver) path(p string) string {
	if p == "~" || strings.HasPrefix(p, "~/") {
		return filepath.Join(r.Home, p[1:])
	}
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

// first is the first that is not empty.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
