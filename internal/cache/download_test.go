package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// payload is what the server has: large enough to arrive in many pieces.
var payload = strings.Repeat("0123456789abcdef", 1<<16)

// isoServer serves payload with ranges and validators, and fails as told.
type isoServer struct {
	*httptest.Server
	etag string // "" for a date only

	mu       sync.Mutex
	requests []http.Header
	faults   []fault // of the first requests, one each
}

// fault answers a request instead of the server; false lets the server answer after all.
type fault func(w http.ResponseWriter, r *http.Request) bool

// status answers with a status.
func status(code int) fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		return true
	}
}

// drop serves n bytes of what was asked for, then closes the connection.
func drop(n int) fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(payload)))
		_, _ = w.Write([]byte(payload[:n]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// stall serves n bytes, then nothing until the client is gone.
func stall(n int) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(payload)))
		_, _ = w.Write([]byte(payload[:n]))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
}

func serveISO(t *testing.T, faults ...fault) *isoServer {
	t.Helper()
	s := &isoServer{etag: `"v1"`, faults: faults}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Header.Clone())
		var f fault
		if len(s.faults) > 0 {
			f, s.faults = s.faults[0], s.faults[1:]
		}
		s.mu.Unlock()
		if f != nil && f(w, r) {
			return
		}
		if s.etag != "" {
			w.Header().Set("ETag", s.etag)
		}
		http.ServeContent(w, r, "mini.iso", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), strings.NewReader(payload))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *isoServer) iso() ISO {
	return ISO{Name: "debian", URL: s.URL + "/mini.iso?token=hush", SHA256: sha(payload)}
}

func isoName() string { return sha(payload)[:12] + "-mini.iso" }

func expectISO(t *testing.T, s *Store, file string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != payload {
		t.Errorf("%d bytes, %v; want the %d of the server", len(got), err, len(payload))
	}
	expectTree(t, filepath.Join(s.cacheDir, "isos"), isoName())
}

func TestDownload(t *testing.T) {
	s, srv := newStore(t), serveISO(t)
	var last, total int64
	file, err := s.EnsureISO(t.Context(), srv.iso(), func(d, n int64) {
		if d < last {
			t.Errorf("progress went back from %d to %d", last, d)
		}
		last, total = d, n
	})
	expectISO(t, s, file, err)
	if size := int64(len(payload)); last != size || total != size {
		t.Errorf("progress ended at %d of %d, want %d", last, total, size)
	}
	again, err := s.EnsureISO(t.Context(), srv.iso(), func(int64, int64) { t.Error("downloads again") })
	if err != nil || again != file {
		t.Errorf("got %q, %v", again, err)
	}
	if n := len(srv.requests); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestDownloadInParallel(t *testing.T) {
	srv := serveISO(t)
	first := newStore(t)
	var wg sync.WaitGroup
	for range 20 {
		s := NewStore(host.NewLocal(), first.dataDir, first.cacheDir) // as another process has
		wg.Go(func() {
			file, err := s.EnsureISO(t.Context(), srv.iso(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != payload {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if n := len(srv.requests); n != 1 {
		t.Errorf("%d requests for one file", n)
	}
}

func TestDownloadRecovers(t *testing.T) {
	for name, c := range map[string]struct {
		faults []fault
		count  int // requests
		last   string
	}{
		"server error":     {[]fault{status(500), status(503), status(502)}, 4, ""},
		"dropped at once":  {[]fault{drop(0)}, 2, ""},
		"dropped midway":   {[]fault{drop(500_000)}, 2, "bytes=500000-"},
		"stalled":          {[]fault{stall(400_000)}, 2, "bytes=400000-"},
		"wrong range sent": {[]fault{drop(500_000), wrongRange}, 3, ""},
		"range refused":    {[]fault{drop(500_000), status(416)}, 3, ""},
		"progress counts":  {[]fault{status(500), status(500), status(500), drop(9000), status(500), status(500), status(500)}, 8, "bytes=9000-"},
	} {
		t.Run(name, func(t *testing.T) {
			s, srv := newStore(t), serveISO(t, c.faults...)
			if name == "stalled" {
				s.idle = time.Second
			}
			file, err := s.EnsureISO(t.Context(), srv.iso(), nil)
			expectISO(t, s, file, err)
			last := srv.requests[len(srv.requests)-1]
			if n := len(srv.requests); n != c.count || last.Get("Range") != c.last {
				t.Errorf("%d requests, the last for %q; want %d, %q", n, last.Get("Range"), c.count, c.last)
			}
		})
	}
}

func wrongRange(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-8/%d", len(payload)))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write([]byte("xx"))
	return true
}

// A download that its caller gave up goes on where it was, also in another process, unless the file has changed.
func TestDownloadResumes(t *testing.T) {
	for name, c := range map[string]struct {
		etag, next string // of the first server and of the one that goes on
		fromStart  bool
	}{
		"same version":    {`"v1"`, `"v1"`, false},
		"by date":         {"", "", false},
		"weak ETag":       {`W/"v1"`, `W/"v1"`, false}, // by the date
		"another version": {`"v1"`, `"v2"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, srv := newStore(t), serveISO(t)
			srv.etag = c.etag
			ctx, cancel := context.WithCancel(t.Context())
			_, err := s.EnsureISO(ctx, srv.iso(), func(done, _ int64) {
				if done > 300_000 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want context.Canceled", err)
			}
			srv.etag = c.next
			first := int64(-1)
			s = NewStore(s.h, s.dataDir, s.cacheDir)
			file, err := s.EnsureISO(t.Context(), srv.iso(), func(done, _ int64) {
				if first < 0 {
					first = done
				}
			})
			expectISO(t, s, file, err)
			if fromStart := first <= 300_000; fromStart != c.fromStart {
				t.Errorf("began again with %d bytes; from the start: want %v", first, c.fromStart)
			}
		})
	}
}

func TestDownloadFails(t *testing.T) {
	isos := func(s *Store) string { return filepath.Join(s.cacheDir, "isos") }
	t.Run("wrong checksum", func(t *testing.T) {
		s, srv := newStore(t), serveISO(t)
		iso := srv.iso()
		iso.SHA256 = sha("x")
		var wrong *ChecksumError
		_, err := s.EnsureISO(t.Context(), iso, nil)
		if !errors.As(err, &wrong) {
			t.Fatalf("got %v, want a *ChecksumError", err)
		}
		if want := (ChecksumError{sha("x"), sha(payload), srv.URL + "/mini.iso"}); *wrong != want {
			t.Errorf("got %+v, want %+v", *wrong, want)
		}
		expectTree(t, isos(s))
	})
	t.Run("not found", func(t *testing.T) {
		s, srv := newStore(t), serveISO(t, status(404))
		var got *StatusError
		_, err := s.EnsureISO(t.Context(), srv.iso(), nil)
		if !errors.As(err, &got) || got.Status != 404 || got.URL != srv.URL+"/mini.iso" {
			t.Errorf("got %v, want a *StatusError of 404 without the query", err)
		}
		expectTree(t, isos(s))
	})
	t.Run("always failing", func(t *testing.T) {
		s, srv := newStore(t), serveISO(t, status(500), status(500), status(500), status(500), status(599))
		var got *StatusError
		_, err := s.EnsureISO(t.Context(), srv.iso(), nil)
		if !errors.As(err, &got) || got.Status != 599 || !strings.Contains(err.Error(), "5 attempts") {
			t.Errorf("got %v, want the last of 5 attempts", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		s, srv := newStore(t), serveISO(t)
		srv.Close()
		_, err := s.EnsureISO(t.Context(), srv.iso(), nil)
		if !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "hush") {
			t.Errorf("got %v, want a refused connection and no secret", err)
		}
	})
	t.Run("cancelled between attempts", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, srv := newStore(t), serveISO(t, func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusInternalServerError)
			cancel()
			return true
		})
		s.backoff = time.Hour
		if _, err := s.EnsureISO(ctx, srv.iso(), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	t.Run("disk full while it arrives", func(t *testing.T) {
		s, srv := newStoreOn(t, hosttest.WithSpace(host.NewLocal(), 400_000)), serveISO(t)
		if _, err := s.EnsureISO(t.Context(), srv.iso(), nil); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v, want ENOSPC", err)
		}
		expectTree(t, isos(s))
	})
	t.Run("disk too small", func(t *testing.T) {
		s, srv := newStoreOn(t, smallDisk{host.NewLocal()}), serveISO(t)
		_, err := s.EnsureISO(t.Context(), srv.iso(), func(int64, int64) { t.Error("downloads all the same") })
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v, want ENOSPC", err)
		}
		expectTree(t, isos(s))
	})
}

// smallDisk says that almost nothing is free.
type smallDisk struct{ host.Host }

func (smallDisk) Free(string) (uint64, error) { return 1000, nil }

func TestDamagedDownloadIsReplaced(t *testing.T) {
	s, srv := newStore(t), serveISO(t)
	file, err := s.EnsureISO(t.Context(), srv.iso(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 10); err != nil {
		t.Fatal(err)
	}
	file, err = s.EnsureISO(t.Context(), srv.iso(), nil)
	expectISO(t, s, file, err)
}

// What a power failure left is of the right length, but not of the right content.
func TestDamagedPartIsRemoved(t *testing.T) {
	s, srv := newStore(t), serveISO(t)
	part := filepath.Join(s.cacheDir, "isos", isoName()+".part")
	put(t, part, string(bytes.Repeat([]byte{0}, 1000)))
	put(t, part+".validator", `"v1"`)
	var wrong *ChecksumError
	if _, err := s.EnsureISO(t.Context(), srv.iso(), nil); !errors.As(err, &wrong) {
		t.Fatalf("got %v, want a *ChecksumError", err)
	}
	file, err := s.EnsureISO(t.Context(), srv.iso(), nil)
	expectISO(t, s, file, err)
}

func TestNamesAndURLs(t *testing.T) {
	for in, want := range map[string]string{
		"mini.iso": "mini.iso", "a/b.iso": "b.iso", "..": "installer.iso", "": "installer.iso", "a b.iso": "installer.iso",
	} {
		if got := safeFilename(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	const secret = "https://user:hush@example.test/a.iso?sig=hush#hush"
	if got := redact(secret); got != "https://example.test/a.iso" {
		t.Errorf("redacted: %s", got)
	}
}
