package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	pve "github.com/luthermonson/go-proxmox"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

const (
	apiPath     = "/api2/json"
	dialTimeout = 10 * time.Second
	// idleConn is how long an unused connection is kept: the server closes it after 5 seconds.
	idleConn = 4 * time.Second
	// ticketAge is when a ticket is replaced. It is valid for two hours.
	ticketAge = time.Hour
	root      = "root@pam"
)

// client makes requests to the API of a server.
type client struct {
	*login
	pace deploy.Pace
}

// login is how requests get in: by a token, or by tickets.
type login struct {
	credentials
	http *http.Client

	mu      sync.Mutex
	api     *pve.Client // in use
	renewed time.Time
}

func newClient(c credentials, pace deploy.Pace) (*client, error) {
	config, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	next := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleConn, MaxIdleConnsPerHost: 4,
	}
	l := &login{credentials: c, http: &http.Client{Transport: &transport{next: next, idle: pace.Idle}}}
	if c.APIToken != "" {
		id, secret, _ := strings.Cut(c.APIToken, "=")
		l.api = l.newAPI(pve.WithAPIToken(id, secret))
	}
	return &client{login: l, pace: pace}, nil
}

func (l *login) newAPI(o pve.Option) *pve.Client {
	return pve.NewClient(l.Endpoint+apiPath, pve.WithHTTPClient(l.http), pve.WithUserAgent("terraform-provider-pim"),
		pve.WithLogger(&pve.LeveledLogger{}), o)
}

// patient is the client with another number of attempts.
func (c *client) patient(attempts int) *client {
	pace := c.pace
	pace.Attempts = attempts
	return &client{login: c.login, pace: pace}
}

// user is the name that tasks of ours bear: USER@REALM, or USER@REALM!TOKENID.
func (l *login) user() string {
	if id, _, ok := strings.Cut(l.APIToken, "="); ok {
		return id
	}
	return l.Username
}

// asRoot tells whether the login is that of root itself. A token of root's is not.
func (l *login) asRoot() bool { return l.user() == root }

// session is the API with a ticket that is valid. A pve.Client renews its own in a way that is no use here: on a 401,
// which it never sees, and while others read it.
func (l *login) session(ctx context.Context) (*pve.Client, error) {
	if l.APIToken != "" {
		return l.api, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.api != nil && time.Since(l.renewed) < ticketAge {
		return l.api, nil
	}
	api := l.newAPI(pve.WithCredentials(&pve.Credentials{Username: l.Username, Password: l.Password}))
	if err := api.CreateSession(ctx); err != nil {
		return nil, explain(ctx, l.Endpoint, "POST /access/ticket", err)
	}
	if strings.HasPrefix(api.Session().Ticket, "PVE:!tfa!") {
		return nil, &deploy.FieldError{Field: "password", Err: fmt.Errorf("%s needs a second factor: use an API token", l.Username)}
	}
	l.api, l.renewed = api, time.Now()
	return api, nil
}

// params are a request's parameters. All are strings: Proxmox VE reads those where it wants numbers, not the reverse.
type params map[string]string

// once makes one request. What the answer holds goes into out, which may be nil.
func (c *client) once(ctx context.Context, method, path string, p params, out any) error {
	api, err := c.session(ctx)
	if err != nil {
		return err
	}
	var body []byte
	switch {
	case len(p) == 0:
	case method == http.MethodGet || method == http.MethodDelete: // DELETE with a body is 501
		query := url.Values{}
		for k, v := range p {
			query.Set(k, v)
		}
		path += "?" + query.Encode()
	default:
		if body, err = json.Marshal(p); err != nil {
			return err
		}
	}
	return explain(ctx, c.Endpoint, method+" "+path, api.Req(ctx, method, path, body, out))
}

// get reads, and tries transient errors again.
func (c *client) get(ctx context.Context, path string, p params, out any) error {
	for try := 1; ; try++ {
		err := c.once(ctx, http.MethodGet, path, p, out)
		if err == nil || !transient(err) || try >= c.pace.Attempts || c.pause(ctx, try) != nil {
			return err
		}
	}
}

// pause waits before the next attempt: longer each time, and spread over the second half.
func (c *client) pause(ctx context.Context, try int) error {
	d := min(c.pace.Backoff<<min(try-1, 20), c.pace.MaxBackoff)
	return c.wait(ctx, d/2+rand.N(d/2+1)) //nolint:gosec // jitter
}

func (*client) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// outcome tells whether a request whose answer is not known was carried out, and the task that is still at it, if any.
type outcome func(ctx context.Context) (upid string, done bool, err error)

// change makes a request that changes something, and gives the task that it began. It does not end with ctx: torn off,
// nobody would know what it did. After a transient error it looks before it tries again, and so it does when a later
// attempt is refused, as it is when an earlier one was carried out. When it cannot look, the error wraps errUnknown.
func (c *client) change(ctx context.Context, method, path string, p params, look outcome) (upid string, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	steady, cancel := deploy.Lasting(ctx)
	defer cancel()
	for try := 1; ; try++ {
		err = c.once(steady, method, path, p, &upid)
		if err == nil || try == 1 && !transient(err) {
			return upid, err
		}
		found, done, unknown := look(steady)
		switch {
		case unknown != nil:
			return "", fmt.Errorf("%w: %w, %w", errUnknown, err, unknown)
		case done:
			return found, nil
		case !transient(err) || try >= c.pace.Attempts || c.pause(ctx, try) != nil:
			return "", err
		}
	}
}

// errUnknown is wrapped when nobody knows whether a request was carried out.
var errUnknown = errors.New("it is not known whether it was done")

// object is an answer's object, its values as text: Proxmox VE gives the same number now as a number, now as a string.
type object map[string]string

// UnmarshalJSON implements json.Unmarshaler. Null and nested values are left out.
func (o *object) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*o = object{}
	for k, v := range raw {
		var text string
		switch {
		case json.Unmarshal(v, &text) == nil && string(v) != "null":
			(*o)[k] = text
		case string(v) == "true":
			(*o)[k] = "1"
		case string(v) == "false":
			(*o)[k] = "0"
		case len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9'):
			(*o)[k] = string(v)
		}
	}
	return nil
}

// is tells whether a boolean is set.
func (o object) is(name string) bool { return o[name] == "1" }

// authorize adds to a request what a pve.Client adds to its own.
func (l *login) authorize(ctx context.Context, h http.Header) error {
	if l.APIToken != "" {
		h.Set("Authorization", "PVEAPIToken="+l.APIToken)
		return nil
	}
	api, err := l.session(ctx)
	if err != nil {
		return err
	}
	h.Set("Cookie", "PVEAuthCookie="+api.Session().Ticket)
	h.Set("CSRFPreventionToken", api.Session().CSRFPreventionToken)
	return nil
}

// decode reads an answer as a whole.
func decode(r io.Reader, out any) error {
	data, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}
