package pvetest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ticket is one that was given out.
type ticket struct {
	user    string
	csrf    string
	expires time.Time
}

const rootUser = "root@pam"

func isToken(user string) bool { return strings.Contains(user, "!") }

// loginError is a request that is not let in. Its text is only ever in the reason phrase.
type loginError struct {
	status int
	text   string
}

func (e *loginError) Error() string { return e.text }

func loginFailed(text string) error { return &loginError{http.StatusUnauthorized, text} }

// authenticate gives the user of a request, "" for those that need none. A ticket goes before a token.
func (s *Server) authenticate(r *http.Request, path string) (string, error) {
	if path == "/access/ticket" && (r.Method == http.MethodGet || r.Method == http.MethodPost) {
		return "", nil
	}
	user, err := s.identify(r, path)
	if err != nil {
		return "", err
	}
	if m := uploadPath.FindStringSubmatch(path); m != nil && r.Method == http.MethodPost {
		// An upload needs no CSRF token, so its privilege is checked here.
		if err := s.need(user, "/storage/"+m[2], "Datastore.AllocateTemplate"); err != nil {
			return "", &loginError{http.StatusForbidden, err.Error()}
		}
	}
	return user, nil
}

func (s *Server) identify(r *http.Request, path string) (string, error) {
	cookie, err := r.Cookie("PVEAuthCookie")
	if err == nil {
		s.mu.Lock()
		t, ok := s.tickets[cookie.Value]
		s.mu.Unlock()
		switch {
		case !ok || time.Now().After(t.expires):
			return "", s.denied("permission denied - invalid PVE ticket")
		case r.Method != http.MethodGet && !uploadPath.MatchString(path) && r.Header.Get("CSRFPreventionToken") != t.csrf:
			return "", loginFailed("Permission denied - invalid csrf token")
		}
		return t.user, nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "PVEAPIToken=")
	if !ok {
		return "", loginFailed("No ticket")
	}
	id, secret, _ := cutLast(token, "=")
	if s.opts.Tokens[id] != nil && secret == tokenSecret {
		return id, nil
	}
	why := "invalid token value!"
	if user, name, _ := strings.Cut(id, "!"); s.opts.Tokens[id] == nil {
		why = fmt.Sprintf("no such token '%s' for user '%s'", name, user)
	}
	return "", s.denied(why)
}

// denied is an error of credentials. Since 8.4 it does not say which.
func (s *Server) denied(why string) error {
	if !s.rel.authWhy {
		why = "Authentication failed!"
	}
	return loginFailed(why)
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// privileges are those a user has on a path: what is granted at the longest prefix of it counts.
func (s *Server) privileges(user, path string) []string {
	if user == rootUser || strings.HasPrefix(user, rootUser+"!") {
		return allPrivileges()
	}
	grants := s.opts.Tokens[user]
	best, privs := -1, []string(nil)
	for at, p := range grants {
		covers := at == "/" || at == path || strings.HasPrefix(path, at+"/")
		if covers && len(at) > best {
			best, privs = len(at), p
		}
	}
	privs = slices.Clone(privs)
	if id, ok := strings.CutPrefix(path, "/vms/"); ok {
		if pool := s.poolOf(id); pool != "" { // a pool's grants hold for its members
			privs = append(privs, s.privileges(user, "/pool/"+pool)...)
		}
	}
	return privs
}

func (s *Server) poolOf(id string) string {
	n, err := strconv.Atoi(id)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.vms[n]; v != nil {
		return v.pool
	}
	return ""
}

// allPrivileges are root's.
func allPrivileges() []string {
	return append(slices.Clone(Role), "VM.Clone", "VM.Config.HWType", "VM.PowerMgmt", "VM.Backup", "VM.Console", "VM.Migrate",
		"VM.Snapshot", "Sys.Audit", "Sys.Modify", "Sys.Console", "Sys.AccessNetwork", "Pool.Audit", "Pool.Allocate",
		"SDN.Audit", "SDN.Allocate", "User.Modify", "Permissions.Modify", "Mapping.Use")
}

// need wants all of the privileges.
func (s *Server) need(user, path string, privs ...string) error {
	have := s.privileges(user, path)
	for _, p := range privs {
		if !slices.Contains(have, p) {
			return forbidden(path + ", " + p)
		}
	}
	return nil
}

// needAny wants one of the privileges.
func (s *Server) needAny(user, path string, privs ...string) error {
	have := s.privileges(user, path)
	if slices.ContainsFunc(privs, func(p string) bool { return slices.Contains(have, p) }) {
		return nil
	}
	return forbidden(path + ", " + strings.Join(privs, "|"))
}

// permitted is the check that the endpoint's schema asks for.
func (c *call) permitted(e *endpoint, params map[string]any) error {
	p := e.Permissions
	switch {
	case c.user == rootUser || p != nil && (p.User == "world" || p.User == "all"):
		return nil
	case p == nil: // only root@pam
		return forbidden("user != root@pam")
	case p.Check == nil:
		return forbidden("")
	}
	return c.permission(p.Check, params)
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// permission evaluates such as ["and", ["perm", "/vms/{vmid}", ["VM.Clone"]], …].
func (c *call) permission(check []any, params map[string]any) error {
	kind, _ := check[0].(string)
	switch kind {
	case "and":
		for _, sub := range check[1:] {
			if err := c.permission(sub.([]any), params); err != nil {
				return err
			}
		}
		return nil
	case "or":
		for _, sub := range check[1:] {
			if c.permission(sub.([]any), params) == nil {
				return nil
			}
		}
		return forbidden("")
	case "perm":
		path := placeholder.ReplaceAllStringFunc(check[1].(string), func(m string) string {
			return fmt.Sprint(params[strings.Trim(m, "{}")])
		})
		var privs []string
		for _, p := range check[2].([]any) {
			privs = append(privs, p.(string))
		}
		options := check[3:]
		for i := 0; i+1 < len(options); i += 2 {
			switch options[i] {
			case "any":
				return c.needAny(c.user, path, privs...)
			case "require_param":
				if params[fmt.Sprint(options[i+1])] == nil {
					return forbidden("")
				}
			}
		}
		return c.need(c.user, path, privs...)
	}
	return forbidden("") // of users and groups, which this server has none of
}

// createTicket is POST /access/ticket.
func createTicket(c *call) (any, error) {
	user := c.params["username"]
	if realm := c.params["realm"]; realm != "" {
		user += "@" + realm
	}
	if user != rootUser || c.params["password"] != RootPassword {
		return nil, &apiError{status: http.StatusUnauthorized, message: "authentication failure\n"}
	}
	stamp := fmt.Sprintf("%08X", time.Now().Unix())
	id := "PVE:" + user + ":" + stamp + "::" + randomHex(20)
	t := ticket{user: user, csrf: stamp + ":" + randomHex(16), expires: time.Now().Add(c.opts.TicketLife)}
	c.mu.Lock()
	c.tickets[id] = t
	c.mu.Unlock()
	return map[string]any{"username": user, "ticket": id, "CSRFPreventionToken": t.csrf, "cap": map[string]any{}}, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// permissions is GET /access/permissions.
func permissions(c *call) (any, error) {
	user := c.user
	if id := c.params["userid"]; id != "" && id != user {
		if !strings.HasPrefix(id, user+"!") {
			if err := c.need(user, "/access", "Sys.Audit"); err != nil {
				return nil, err
			}
		}
		user = id
	}
	paths := []string{"/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
	if path := c.params["path"]; path != "" {
		paths = []string{path}
	} else {
		paths = slices.AppendSeq(paths, maps.Keys(c.opts.Tokens[user]))
	}
	out := map[string]map[string]int{}
	for _, path := range paths {
		privs := map[string]int{}
		for _, p := range c.privileges(user, path) {
			privs[p] = 1
		}
		if len(privs) > 0 || len(paths) == 1 {
			out[path] = privs
		}
	}
	return out, nil
}
