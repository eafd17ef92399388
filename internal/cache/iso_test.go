package cache

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const isoText = "an installer"

func TestISODigest(t *testing.T) {
	sum := sha(isoText)
	dir := t.TempDir()
	file := put(t, filepath.Join(dir, "mini.iso"), isoText)
	sums := put(t, filepath.Join(dir, "SHA256SUMS"), sha("x")+"  other.iso\n"+sum+" *./mini.iso\n")
	sha512 := put(t, filepath.Join(dir, "SHA512SUMS"), sum+sum+"  mini.iso\n")
	const isoURL = "https://example.test/debian/mini.iso?token=hush"
	for name, c := range map[string]struct {
		iso  ISO
		want string // the digest, or a piece of the error
	}{
		"catalog":              {ISO{URL: isoURL, SHA256: sum}, sum},
		"catalog, prefixed":    {ISO{URL: isoURL, SHA256: "sha256:" + strings.ToUpper(sum)}, sum},
		"catalog, malformed":   {ISO{URL: isoURL, SHA256: "abc"}, "64 hex digits"},
		"catalog, other kind":  {ISO{URL: isoURL, SHA256: "sha512:" + sum + sum}, "64 hex digits"},
		"list":                 {ISO{URL: isoURL, ChecksumURL: "file://" + sums}, sum},
		"list, path":           {ISO{Path: file, ChecksumURL: sums}, sum},
		"list, filename":       {ISO{URL: "https://example.test/latest", Filename: "mini.iso", ChecksumURL: sums}, sum},
		"list without it":      {ISO{URL: "https://example.test/maxi.iso", ChecksumURL: sums}, `no checksum of "maxi.iso"`},
		"list of another kind": {ISO{URL: isoURL, ChecksumURL: sha512}, "64 hex digits"},
		"no list":              {ISO{URL: isoURL, ChecksumURL: filepath.Join(dir, "none")}, "no such file"},
		"file":                 {ISO{Path: file}, sum},
		"file URL":             {ISO{URL: "file://" + file}, sum},
		"path as URL":          {ISO{URL: file}, sum},
		"missing file":         {ISO{Path: file + "2"}, "no such file"},
		"a directory":          {ISO{Path: dir}, "is a directory"},
		"relative":             {ISO{Path: "mini.iso"}, "not absolute"},
		"no checksum":          {ISO{URL: isoURL}, "it has no checksum: set"},
		"other scheme":         {ISO{URL: "ftp://example.test/mini.iso"}, `begins with "ftp://`},
		"remote file URL":      {ISO{URL: "file://example.test/mini.iso"}, `begins with "file://`},
		"malformed URL":        {ISO{URL: "https://hush:%zz@example.test"}, "its url is malformed"},
		"nothing":              {ISO{}, "neither a url nor a path"},
	} {
		t.Run(name, func(t *testing.T) {
			c.iso.Name = "debian"
			got, err := newStore(t).ISODigest(t.Context(), c.iso)
			if err == nil && got != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), `"debian"`)) {
				t.Errorf("the error tells a secret, or not which ISO: %v", err)
			}
		})
	}
	if _, err := newStore(t).ISODigest(t.Context(), ISO{URL: isoURL}); !errors.Is(err, ErrNoChecksum) {
		t.Errorf("got %v, want ErrNoChecksum", err)
	}
}

func TestFindSum(t *testing.T) {
	a, b := sha("a"), sha("b")
	for name, c := range map[string]struct{ sums, want string }{
		"text mode":            {a + "  x.iso\n", a},
		"binary mode":          {a + " *x.iso\n", a},
		"line ends of Windows": {a + "  x.iso\r\n", a},
		"no last line end":     {b + "  y.iso\n" + a + "  x.iso", a},
		"signed":               {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + a + "  x.iso\n-----BEGIN PGP SIGNATURE-----\n", a},
		"twice the same":       {a + "  x.iso\n" + a + " *x.iso\n", a},
		"name with spaces":     {a + "  my x.iso\n", ""},
		"part of a name":       {a + "  max.iso\n" + b + "  x.iso.sig\n", ""},
		"another directory":    {a + "  old/x.iso\n", ""},
		"twice and different":  {a + "  x.iso\n" + b + "  x.iso\n", ""},
		"empty":                {"", ""},
		"one space":            {a + " x.iso\n", ""},
	} {
		if got, err := findSum([]byte(c.sums), "x.iso"); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestISODigestOverHTTP(t *testing.T) {
	var requests atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/SHA256SUMS", func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(sha(isoText) + "  mini.iso\n"))
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxSums+1)) })
	mux.HandleFunc("/mini.iso", func(http.ResponseWriter, *http.Request) { t.Error("downloads the ISO") })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	s := newStore(t)
	iso := ISO{Name: "debian", URL: srv.URL + "/mini.iso", ChecksumURL: srv.URL + "/SHA256SUMS"}
	if got, err := s.ISODigest(t.Context(), iso); err != nil || got != sha(isoText) {
		t.Errorf("got %s, %v", got, err)
	}
	iso.ChecksumURL = srv.URL + "/none"
	var status *StatusError
	if _, err := s.ISODigest(t.Context(), iso); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("got %v, want status 404", err)
	}
	iso.ChecksumURL = srv.URL + "/large"
	if _, err := s.ISODigest(t.Context(), iso); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v", err)
	}
	expectTree(t, s.cacheDir)
}

func TestFileDigestIsRemembered(t *testing.T) {
	s := newStore(t)
	file := put(t, filepath.Join(t.TempDir(), "mini.iso"), isoText)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, time.Time{}, old); err != nil {
		t.Fatal(err)
	}
	reads := &countingHost{Host: s.h, path: file}
	s.h = reads
	expect := func(want string, times int) {
		t.Helper()
		got, err := s.ISODigest(t.Context(), ISO{Path: file})
		if err != nil || got != sha(want) || reads.opened != times {
			t.Errorf("got %s, %v after reading it %d times; want %s, %d times", got, err, reads.opened, sha(want), times)
		}
	}
	expect(isoText, 1)
	expect(isoText, 1)

	// The same size and time, but another file.
	next := put(t, file+"2", strings.ToUpper(isoText))
	if err := errors.Join(os.Chtimes(next, time.Time{}, old), os.Rename(next, file)); err != nil {
		t.Fatal(err)
	}
	expect(strings.ToUpper(isoText), 2)

	// One just written may be written again within the same tick, so it is not remembered.
	put(t, file, "fresh")
	expect("fresh", 3)
	expect("fresh", 4)
}

func TestFileDigestWithoutCache(t *testing.T) {
	s := newStore(t)
	put(t, s.cacheDir, "a file where the directory should be")
	file := put(t, filepath.Join(t.TempDir(), "mini.iso"), isoText)
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ISODigest(t.Context(), ISO{Path: file}); err != nil || got != sha(isoText) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestEnsureISOInPlace(t *testing.T) {
	s := newStore(t)
	file := put(t, filepath.Join(t.TempDir(), "mini.iso"), isoText)
	for _, iso := range []ISO{{Path: file}, {URL: "file://" + file}, {URL: file, SHA256: sha(isoText)}} {
		if got, err := s.EnsureISO(t.Context(), iso, nil); err != nil || got != file {
			t.Errorf("got %q, %v", got, err)
		}
	}
	var wrong *ChecksumError
	if _, err := s.EnsureISO(t.Context(), ISO{Path: file, SHA256: sha("x")}, nil); !errors.As(err, &wrong) {
		t.Fatalf("got %v, want a *ChecksumError", err)
	}
	if want := (ChecksumError{Want: sha("x"), Got: sha(isoText), URL: file}); *wrong != want {
		t.Errorf("got %+v, want %+v", *wrong, want)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the user's file: %v", err)
	}
	if _, err := s.EnsureISO(t.Context(), ISO{Path: file + "2", SHA256: sha("x")}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}
