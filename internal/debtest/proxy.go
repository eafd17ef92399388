package debtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// guestHost is the host as a guest of QEMU's user networking sees it (QEMU's documentation, "-netdev user").
const guestHost = "10.0.2.2"

// shutdownTimeout bounds how long Close waits for running requests.
const shutdownTimeout = 2 * time.Second

// Proxy is a running mirror for the guest; see Kit.Serve.
type Proxy struct {
	// URL is the proxy's address on the machine where it listens, with a final slash.
	URL string
	// GuestURL is the same for a guest in QEMU's user networking: the value of mirror/http/proxy.
	GuestURL string

	server *http.Server
	end    context.CancelCauseFunc
	done   chan struct{}
	err    error // of the server, set before done is closed
}

// errClosed ends what the proxy still does when it is closed.
var errClosed = errors.New("the proxy was closed")

// Serve starts the caching proxy on a free loopback port. It ends with ctx or with Close. See ServeOn.
func (k *Kit) Serve(ctx context.Context) (*Proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the package proxy: %w", err)
	}
	return k.ServeOn(ctx, listener), nil
}

// ServeOn is Serve on a port of the machine on which the guest runs: a listener on the loopback of its network.
//
// It answers GET and HEAD, as a forward proxy (absolute address) and as a mirror (path). Whatever host is
// asked for, /debian/… comes from the machine's Debian mirror and /debian-security/… from its security mirror.
// Other plain http addresses are forwarded if their host is one of these mirrors. Everything else is refused
// with 403. Files below pool/ are kept on disk. When the kit is overlaid, the udeb index, the release file as
// the installer reads it, and the repacked udebs come from the kit.
func (k *Kit) ServeOn(ctx context.Context, listener net.Listener) *Proxy {
	port := listener.Addr().(*net.TCPAddr).Port
	life, end := context.WithCancelCause(ctx)
	client := newHTTP(k.proxy)
	p := &Proxy{
		URL:      fmt.Sprintf("http://127.0.0.1:%d/", port),
		GuestURL: fmt.Sprintf("http://%s:%d/", guestHost, port),
		server: &http.Server{
			Handler:           &handler{kit: k, life: life, client: client, store: &store{dir: k.pool, client: client}},
			ReadHeaderTimeout: time.Minute,
			BaseContext:       func(net.Listener) context.Context { return life },
		},
		end:  end,
		done: make(chan struct{}),
	}
	go func() {
		defer close(p.done)
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.err = fmt.Errorf("the package proxy: %w", err)
		}
	}()
	context.AfterFunc(life, func() { _ = p.server.Close() })
	return p
}

// Close ends the proxy. Running requests get a short time to end.
func (p *Proxy) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = p.server.Close()
	}
	p.end(errClosed)
	<-p.done
	return errors.Join(err, p.err)
}

// handler answers the guest.
type handler struct {
	kit    *Kit
	life   context.Context // the proxy's: downloads outlive the request that began them
	client *http.Client
	store  *store
}

// place is where a requested address leads.
type place int

const (
	refused place = iota // not ours to answer
	archive              // below a mirror's base
	other                // elsewhere on a mirror's host
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "only GET and HEAD", http.StatusForbidden)
		return
	}
	upstream, below, where := h.kit.mirrors.route(r.URL)
	switch {
	case where == refused:
		http.Error(w, "not a Debian mirror's address", http.StatusForbidden)
	case where == archive && h.overlay(w, r, upstream, below):
	case where == archive && strings.HasPrefix(below, "pool/"):
		h.pool(w, r, upstream)
	default:
		h.forward(w, r, upstream)
	}
}

// route finds the address to ask for a request, and the path below the archive's base when it is in one.
func (m Mirrors) route(asked *url.URL) (upstream *url.URL, below string, where place) {
	if asked.Scheme != "" && asked.Scheme != "http" {
		return nil, "", refused
	}
	clean := path.Clean("/" + asked.Path)
	for _, a := range []struct {
		prefix string
		base   *url.URL
	}{{"/debian/", m.Main}, {"/debian-security/", m.Security}} {
		if below, ok := strings.CutPrefix(clean, a.prefix); ok && a.base != nil {
			upstream := a.base.JoinPath(below)
			upstream.RawQuery = asked.RawQuery
			return upstream, below, archive
		}
	}
	for _, base := range []*url.URL{m.Main, m.Security} {
		if base != nil && base.Scheme == "http" && asked.Host != "" && asked.Host == base.Host {
			return &url.URL{Scheme: "http", Host: asked.Host, Path: clean, RawQuery: asked.RawQuery}, "", other
		}
	}
	return nil, "", refused
}

// overlay answers from the kit what the kit replaces, and says whether it did.
func (h *handler) overlay(w http.ResponseWriter, r *http.Request, upstream *url.URL, below string) bool {
	main := h.kit.mirrors.Main
	if !h.kit.Overlaid || upstream.Host != main.Host || !strings.HasPrefix(upstream.Path, main.Path) {
		return false
	}
	dir := filepath.Join(h.kit.dir, overlayDir)
	stem := strings.TrimSuffix(h.kit.arch.index(), ".xz")
	switch {
	case below == h.kit.arch.index():
		serveFile(w, r, filepath.Join(dir, "Packages.xz"))
	case below == stem || strings.HasPrefix(below, stem+"."):
		http.NotFound(w, r) // the repaired index has one form only
	case below == installerRelease && !strings.Contains(r.UserAgent(), "APT"):
		serveFile(w, r, filepath.Join(dir, "Release"))
	case strings.HasPrefix(below, poolPrefix):
		serveFile(w, r, filepath.Join(dir, path.Base(below)))
	default:
		return false
	}
	return true
}

// pool answers a package file from disk, fetching it first when it is not there. Partial and header-only
// requests for files not kept yet go to the mirror.
func (h *handler) pool(w http.ResponseWriter, r *http.Request, upstream *url.URL) {
	whole := r.Method == http.MethodGet && r.Header.Get("Range") == ""
	f, d := h.store.open(h.life, upstream, whole)
	if d != nil {
		defer d.leave()
	}
	switch {
	case f != nil:
		defer f.Close()
		serveOpen(w, r, f)
	case whole:
		follow(w, r, d)
	default:
		h.forward(w, r, upstream)
	}
}

// follow answers with a file that is still on its way in.
func follow(w http.ResponseWriter, r *http.Request, d *download) {
	size, err := d.started(r.Context())
	var status statusError
	switch {
	case errors.As(err, &status):
		http.Error(w, status.Error(), status.code)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if size >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(size))
	}
	if err := d.copyTo(r.Context(), w); err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: only a broken connection tells the guest
	}
}

// forwardedRequest and forwardedResponse are the header fields that pass through the proxy.
var (
	forwardedRequest  = []string{"Accept", "Cache-Control", "If-Modified-Since", "If-None-Match", "If-Range", "Range", "User-Agent"}
	forwardedResponse = []string{"Accept-Ranges", "Cache-Control", "Content-Length", "Content-Range", "Content-Type", "Etag", "Last-Modified"}
)

// forward asks the mirror and passes its answer on unchanged.
func (h *handler) forward(w http.ResponseWriter, r *http.Request, upstream *url.URL) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, upstream.String(), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	copyHeader(req.Header, r.Header, forwardedRequest)
	resp, err := h.client.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	copyHeader(w.Header(), resp.Header, forwardedResponse)
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler) // as in pool
	}
}

// copyHeader copies the named fields that are present.
func copyHeader(to, from http.Header, names []string) {
	for _, name := range names {
		if values := from.Values(name); len(values) > 0 {
			to[http.CanonicalHeaderKey(name)] = values
		}
	}
}

// serveFile answers with a file of the kit; 404 when there is none.
func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, err := os.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	serveOpen(w, r, f)
}

// serveOpen answers with a file's content; ranges work.
func serveOpen(w http.ResponseWriter, r *http.Request, f *os.File) {
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
}
