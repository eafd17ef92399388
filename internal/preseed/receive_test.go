package preseed

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func post(t *testing.T, url string, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestReceive(t *testing.T) {
	s := serve(t, map[string][]byte{"logs/x": []byte("file")})
	base := s.BaseURL("127.0.0.1")
	got := map[string]string{}
	s.Receive("logs/", func(name string, body []byte) { got[name] = string(body) })
	for _, tt := range []struct {
		url    string
		body   string
		status int
	}{
		{base + "logs/a.log", "text", 204},
		{base + "logs/", "", 204},
		{base + "report", "{}", 404},
		{strings.Replace(base, s.token, strings.Repeat("x", len(s.token)), 1) + "logs/b.log", "text", 404},
		{base + "logs/long", strings.Repeat("x", maxPost+1), 413},
	} {
		if status := post(t, tt.url, []byte(tt.body)); status != tt.status {
			t.Errorf("POST %s: %d, want %d", s.Redact(tt.url), status, tt.status)
		}
	}
	if len(got) != 2 || got["a.log"] != "text" {
		t.Errorf("received %v", got)
	}
	if n := s.Posts(); n != 2 {
		t.Errorf("%d posts counted", n)
	}
	if _, body := fetch(t, "GET", base+"logs/x"); body != "file" {
		t.Errorf("a file below the prefix: %q", body)
	}
	if r := s.Requests(); len(r) != 3 { // what nobody waited for, and the file
		t.Errorf("requests: %v", r)
	}
}

func TestReceiveNoMoreThanItMust(t *testing.T) {
	s := serve(t, nil)
	n := 0
	s.Receive("", func(string, []byte) { n++ })
	url, body := s.BaseURL("127.0.0.1"), make([]byte, maxPost)
	for range maxPosts / maxPost {
		if status := post(t, url, body); status != 204 {
			t.Fatalf("status %d", status)
		}
	}
	if status := post(t, url, []byte("x")); status != 413 || n != maxPosts/maxPost {
		t.Errorf("status %d after %d posts", status, n)
	}
}

func TestParseReport(t *testing.T) {
	for body, want := range map[string]struct {
		text            string
		failed, notable bool
	}{
		`{"name":"subiquity/Install","description":"installing","event_type":"start","origin":"curtin","timestamp":1.5,"level":"INFO"}`: {
			"subiquity/Install installing", false, true,
		},
		`{"name":"a","description":"b\nc","event_type":"start","level":"DEBUG"}`:                {"a b c", false, false},
		`{"name":"a","description":"","event_type":"finish","level":"INFO","result":"SUCCESS"}`: {"finish a", false, false},
		`{"name":"a","description":"d","event_type":"finish","level":"ERROR","result":"FAIL"}`:  {"FAIL a d", true, true},
		`{"name":"a","description":"FAILED to apply all updates","event_type":"finish","level":"INFO","result":"SUCCESS"}`: {
			"a FAILED to apply all updates", true, true,
		},
		`{"name":"a","description":"FAILED","event_type":"start","level":"DEBUG"}`: {"a FAILED", false, false},
		`{"name":"a","description":"d","event_type":"warning","level":"WARNING"}`:  {"warning a d", false, true},
		`{"name":"a","description":"d","event_type":"error","level":"ERROR"}`:      {"error a d", true, true},
	} {
		r, err := ParseReport([]byte(body))
		if err != nil || r.String() != want.text || r.Failed() != want.failed || r.Notable() != want.notable {
			t.Errorf("%s: %q %t %t, %v", body, r, r.Failed(), r.Notable(), err)
		}
	}
	for _, body := range []string{"", "[]", `{"name":1}`} {
		if _, err := ParseReport([]byte(body)); err == nil {
			t.Errorf("%q is a report", body)
		}
	}
	if r, err := ParseReport([]byte(`{"description":"` + strings.Repeat("ä", 3000) + `"}`)); err != nil || len(r.Description) > maxReport {
		t.Errorf("%d bytes, %v", len(r.Description), err)
	}
}
