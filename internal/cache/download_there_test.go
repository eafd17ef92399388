package cache

import (
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// askedBy are the programs that asked the server, one for each request.
func (s *isoServer) askedBy() (programs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, header := range s.requests {
		program, _, _ := strings.Cut(header.Get("User-Agent"), "/")
		programs = append(programs, program)
	}
	return programs
}

// gone answers everybody but curl, which finds nothing: a machine that cannot reach what we can.
func gone(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.UserAgent(), "curl/") {
		return false
	}
	w.WriteHeader(http.StatusForbidden)
	return true
}

// A remote machine downloads by itself, and through us when it cannot. Either way the file is the right one.
func TestDownloadThere(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl on this machine")
	}
	for name, tc := range map[string]struct {
		faults []fault
		bare   bool
		begun  string // what an earlier try left
		want   string // who asks, in order
	}{
		"by itself":          {want: "curl"},
		"goes on":            {begun: payload[:1000], want: "curl"},
		"cannot reach it":    {faults: []fault{gone}, want: "curl Go-http-client"},
		"without curl":       {bare: true, want: "Go-http-client"},
		"begun as something": {begun: strings.Repeat("x", 1000), want: "curl Go-http-client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveISO(t, tc.faults...)
			s, _ := remoteStore(t, &remoteHost{Host: host.NewLocal(), bare: tc.bare})
			if tc.begun != "" {
				put(t, filepath.Join(s.cacheDir, "isos", isoName()+host.PartSuffix), tc.begun)
			}
			for range 2 { // the second time there is nothing to do
				file, err := s.EnsureISO(t.Context(), server.iso(), nil)
				expectISO(t, s, file, err)
			}
			if got := strings.Join(server.askedBy(), " "); got != tc.want {
				t.Errorf("asked by %s, want %s", got, tc.want)
			}
		})
	}
}

// The error is that of the download from here, which says what is wrong.
func TestDownloadThereFails(t *testing.T) {
	server := serveISO(t)
	s, _ := remoteStore(t, &remoteHost{Host: host.NewLocal()})
	iso := server.iso()
	iso.SHA256 = sha("something else")
	_, err := s.EnsureISO(t.Context(), iso, nil)
	var wrong *ChecksumError
	if !errors.As(err, &wrong) || wrong.Got != sha(payload) {
		t.Errorf("got %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "hush") {
		t.Errorf("the error holds a secret: %v", err)
	}
}
