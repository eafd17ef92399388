package debtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// origin is a mirror in a test: it counts requests and answers by path.
type origin struct {
	*httptest.Server
	hits  atomic.Int64
	serve http.HandlerFunc
}

func newOrigin(t *testing.T, serve http.HandlerFunc) *origin {
	t.Helper()
	o := &origin{serve: serve}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.hits.Add(1)
		o.serve(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

// echo answers with the path it was asked for, and 404 below /debian/missing.
func echo(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/debian/missing") || strings.HasPrefix(r.URL.Path, "/debian/pool/missing") {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, "origin:"+r.URL.Path)
}

// newKit is a kit in a temporary folder whose mirror is the origin, without any cached file.
func newKit(t *testing.T, o *origin) *Kit {
	t.Helper()
	base, err := url.Parse(o.URL + "/debian/")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &Kit{arch: "amd64", dir: filepath.Join(dir, "kit"), pool: filepath.Join(dir, "pool"), mirrors: Mirrors{Main: base}}
}

// udebIndex is where the kit's udeb index is on a mirror.
var udebIndex = debArch("amd64").index()

func serve(t *testing.T, k *Kit) *Proxy {
	t.Helper()
	p, err := k.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// through is a client that uses the proxy as a forward proxy, as the guest does.
func through(t *testing.T, p *Proxy) *http.Client {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(u)}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// get gives status and body; agent may be "".
func get(t *testing.T, client *http.Client, method, address, agent string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", agent)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestProxyRoutes(t *testing.T) {
	t.Parallel()
	o, security := newOrigin(t, echo), newOrigin(t, echo)
	k := newKit(t, o)
	base, err := url.Parse(security.URL + "/debian-security/")
	if err != nil {
		t.Fatal(err)
	}
	k.mirrors.Security = base
	p := serve(t, k)
	forward, direct := through(t, p), http.DefaultClient
	tests := map[string]struct {
		client       *http.Client
		method, url  string
		status       int
		body         string
		fromSecurity bool
	}{
		"any host's /debian/":           {forward, "GET", "http://any.example.test/debian/dists/x", 200, "origin:/debian/dists/x", false},
		"origin form":                   {direct, "GET", p.URL + "debian/dists/x", 200, "origin:/debian/dists/x", false},
		"security":                      {forward, "GET", "http://any.example.test/debian-security/dists/x", 200, "origin:/debian-security/dists/x", true},
		"elsewhere on the mirror":       {forward, "GET", o.URL + "/other", 200, "origin:/other", false},
		"pool":                          {forward, "GET", "http://any.example.test/debian/pool/a.deb", 200, "origin:/debian/pool/a.deb", false},
		"not there":                     {forward, "GET", "http://any.example.test/debian/missing", 404, "", false},
		"pool file not there":           {forward, "GET", "http://any.example.test/debian/pool/missing.deb", 404, "", false},
		"header only":                   {forward, "HEAD", "http://any.example.test/debian/pool/b.deb", 200, "", false},
		"another host":                  {forward, "GET", "http://any.example.test/ubuntu/x", 403, "", false},
		"origin form elsewhere":         {direct, "GET", p.URL + "etc/passwd", 403, "", false},
		"out of the archive":            {direct, "GET", p.URL + "debian/%2e%2e/etc/passwd", 403, "", false},
		"another method":                {forward, "POST", "http://any.example.test/debian/dists/x", 403, "", false},
		"overlay names of a whole kit":  {forward, "GET", "http://any.example.test/debian/pool/overlay/x.udeb", 200, "origin:/debian/pool/overlay/x.udeb", false},
		"index of a whole kit":          {forward, "GET", "http://any.example.test/debian/" + udebIndex, 200, "origin:/debian/" + udebIndex, false},
		"installer release, whole kit":  {forward, "GET", "http://any.example.test/debian/" + installerRelease, 200, "origin:/debian/" + installerRelease, false},
		"query does not leave the path": {forward, "GET", "http://any.example.test/debian/dists/x?y=/../z", 200, "origin:/debian/dists/x", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := security.hits.Load()
			status, body := get(t, tc.client, tc.method, tc.url, "test")
			if status != tc.status || (tc.body != "" && body != tc.body) {
				t.Errorf("got %d %q, want %d %q", status, body, tc.status, tc.body)
			}
			if got := security.hits.Load() > before; got != tc.fromSecurity {
				t.Errorf("asked the security mirror: %v, want %v", got, tc.fromSecurity)
			}
		})
	}
	if !strings.HasPrefix(p.GuestURL, "http://10.0.2.2:") || !strings.HasPrefix(p.URL, "http://127.0.0.1:") {
		t.Errorf("addresses %s and %s", p.URL, p.GuestURL)
	}
}

func TestProxyRefusesTunnelsAndUnknownSecurity(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, echo)
	p := serve(t, newKit(t, o))
	if status, _ := get(t, through(t, p), "GET", "http://any.example.test/debian-security/x", ""); status != http.StatusForbidden {
		t.Errorf("security without a security mirror: %d", status)
	}
	if _, err := through(t, p).Get("https://any.example.test/debian/x"); err == nil {
		t.Error("a tunnel was opened")
	}
	if n := o.hits.Load(); n != 0 {
		t.Errorf("the mirror got %d requests", n)
	}
}

func TestProxyOverlay(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, echo)
	k := newKit(t, o)
	k.Overlaid = true
	overlay := filepath.Join(k.dir, overlayDir)
	if err := os.MkdirAll(overlay, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Packages.xz", "Release", "a.udeb"} {
		if err := os.WriteFile(filepath.Join(overlay, name), []byte("kit:"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(k.dir, kitFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := through(t, serve(t, k))
	const host = "http://any.example.test/debian/"
	for _, tc := range []struct {
		path, agent string
		status      int
		body        string
	}{
		{udebIndex, "Wget", 200, "kit:Packages.xz"},
		{strings.TrimSuffix(udebIndex, ".xz") + ".gz", "Wget", 404, ""},
		{strings.TrimSuffix(udebIndex, ".xz"), "Wget", 404, ""},
		{installerRelease, "Wget", 200, "kit:Release"},
		{installerRelease, "Debian APT-HTTP/1.3", 200, "origin:/debian/" + installerRelease},
		{"dists/trixie/InRelease", "Wget", 200, "origin:/debian/dists/trixie/InRelease"},
		{"dists/trixie/main/binary-amd64/Packages.xz", "Wget", 200, "origin:/debian/dists/trixie/main/binary-amd64/Packages.xz"},
		{"pool/overlay/a.udeb", "Wget", 200, "kit:a.udeb"},
		{"pool/overlay/none.udeb", "Wget", 404, ""},
		{"pool/overlay/..%2f" + kitFile, "Wget", 200, "origin:/debian/pool/" + kitFile},
		{"pool/main/a.udeb", "Wget", 200, "origin:/debian/pool/main/a.udeb"},
	} {
		status, body := get(t, client, "GET", host+tc.path, tc.agent)
		if status != tc.status || (tc.body != "" && body != tc.body) || strings.Contains(body, "{}") {
			t.Errorf("%s: got %d %q, want %d %q", tc.path, status, body, tc.status, tc.body)
		}
	}
}

func TestProxyKeepsPoolFiles(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, echo)
	k := newKit(t, o)
	client := through(t, serve(t, k))
	for range 3 {
		if status, body := get(t, client, "GET", "http://any.example.test/debian/pool/a.deb", ""); status != 200 || body != "origin:/debian/pool/a.deb" {
			t.Fatalf("got %d %q", status, body)
		}
	}
	if n := o.hits.Load(); n != 1 {
		t.Errorf("the mirror was asked %d times, want once", n)
	}
	for range 2 {
		get(t, client, "GET", "http://any.example.test/debian/dists/x", "")
	}
	if n := o.hits.Load(); n != 3 {
		t.Errorf("an index was kept: %d requests in all, want 3", n)
	}
	// Another proxy of the same folder needs no mirror for it.
	o.Close()
	if status, _ := get(t, through(t, serve(t, k)), "HEAD", "http://any.example.test/debian/pool/a.deb", ""); status != 200 {
		t.Errorf("a kept file after the mirror's end: %d", status)
	}
}

func TestProxyDownloadsOnceForManyReaders(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	begun, finish := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = w.Write(make([]byte, size/2))
		w.(http.Flusher).Flush()
		close(begun) // panics on a second request
		<-finish
		_, _ = w.Write(make([]byte, size/2))
	})
	client := through(t, serve(t, newKit(t, o)))
	const address = "http://any.example.test/debian/pool/big.deb"
	// The first reader sees the first half before the mirror sends the second: the proxy streams.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, size/2)); err != nil {
		t.Fatal(err)
	}
	<-begun
	var wg sync.WaitGroup
	for range 19 {
		wg.Go(func() {
			resp, err := client.Get(address)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				t.Errorf("got %d bytes, %v", n, err)
			}
		})
	}
	close(finish)
	wg.Wait()
	if n, err := io.Copy(io.Discard, resp.Body); n != size/2 || err != nil {
		t.Errorf("first reader: %d more bytes, %v", n, err)
	}
	if n := o.hits.Load(); n != 1 {
		t.Errorf("the mirror was asked %d times, want once", n)
	}
}

func TestProxyNeverKeepsABrokenDownload(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if !broken.Load() {
			echo(w, r)
			return
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 500))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	k := newKit(t, o)
	client := through(t, serve(t, k))
	const address = "http://any.example.test/debian/pool/a.deb"
	resp, err := client.Get(address)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("half a file looks whole to the guest")
	}
	broken.Store(false)
	// The failed download ends on its own time: until then a new reader may still join it and fail too.
	for status := 0; status != 200; {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get(address)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			continue
		}
		if status = resp.StatusCode; status == 200 && string(body) != "origin:/debian/pool/a.deb" {
			t.Fatalf("got %q", body)
		}
	}
	assertNoPartial(t, k, 1)
}

func TestProxyDownloadEndsWithProxy(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 500))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	k := newKit(t, o)
	life, end := context.WithCancelCause(t.Context())
	s := &store{dir: k.pool, client: o.Client()}
	_, d := s.open(life, k.mirrors.Main.JoinPath("pool/a.deb"), true)
	if size, err := d.started(t.Context()); size != 1000 || err != nil {
		t.Fatalf("started: %d, %v", size, err)
	}
	end(errClosed)
	if err := d.copyTo(t.Context(), io.Discard); !errors.Is(err, errClosed) && !errors.Is(err, context.Canceled) {
		t.Errorf("a reader got %v", err)
	}
	d.leave()
	assertNoPartial(t, k, 0)
}

// assertNoPartial checks that the pool has just the given number of complete files.
func assertNoPartial(t *testing.T, k *Kit, want int) {
	t.Helper()
	entries, err := os.ReadDir(k.pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "partial-") {
			t.Errorf("a partial file is left: %s", e.Name())
		}
	}
	if len(entries) != want {
		t.Errorf("%d files kept, want %d", len(entries), want)
	}
}
