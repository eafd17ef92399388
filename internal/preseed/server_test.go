package preseed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func serve(t *testing.T, files map[string][]byte) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, files)
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fetch(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// percent escapes every byte, which hides a token from a plain search.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func TestServer(t *testing.T) {
	s := serve(t, map[string][]byte{"install.sh": []byte("#!/bin/sh\n")})
	base := s.BaseURL("127.0.0.1")
	root := strings.TrimSuffix(base, s.token+"/")
	s.Add("preseed.cfg", []byte("d-i\n"))
	s.Add("d/empty", nil)
	const none = "404 page not found\n"

	for i, tt := range []struct {
		method, url string
		status      int
		body, path  string
	}{
		{"GET", base + "preseed.cfg", 200, "d-i\n", "/<token>/preseed.cfg"},
		{"HEAD", base + "preseed.cfg", 200, "", "/<token>/preseed.cfg"},
		{"GET", base + "install.sh?x=" + s.token, 200, "#!/bin/sh\n", "/<token>/install.sh"},
		{"GET", base + "d/empty", 200, "", "/<token>/d/empty"},
		{"POST", base + "preseed.cfg", 404, none, "/<token>/preseed.cfg"},
		{"GET", base, 404, none, "/<token>/"},
		{"GET", base + "../preseed.cfg", 404, none, "/<token>/../preseed.cfg"},
		{"GET", root + "preseed.cfg", 404, none, "/preseed.cfg"},
		{"GET", root + "x/preseed.cfg", 404, none, "/x/preseed.cfg"},
		{"GET", base + "a%0Ab%1b", 404, none, "/<token>/a?b?"},
		{"GET", root + "%0a" + percent(s.token) + "/x", 404, none, "/?<token>/x"},
		{"GET", root + strings.Repeat("ä", 1000), 404, none, "/" + strings.Repeat("ä", 126) + "…"},
	} {
		resp, body := fetch(t, tt.method, tt.url)
		if resp.StatusCode != tt.status || body != tt.body {
			t.Errorf("%s %s: %d %q", tt.method, tt.path, resp.StatusCode, body)
		}
		r := s.Requests()
		if len(r) != i+1 {
			t.Fatalf("%d requests after %d", len(r), i+1)
		}
		if got, want := r[i].String(), fmt.Sprintf("%s %s %d", tt.method, tt.path, tt.status); got != want {
			t.Errorf("recorded %q, want %q", got, want)
		}
		if len(r[i].Path) > maxPath || r[i].Remote == "" || time.Since(r[i].Time) > time.Minute {
			t.Errorf("recorded %+v", r[i])
		}
	}
	resp, _ := fetch(t, "GET", base+"preseed.cfg")
	if resp.Header.Get("Cache-Control") != "no-store" || resp.ContentLength != 4 {
		t.Errorf("headers %v, %d bytes", resp.Header, resp.ContentLength)
	}
}

func TestBaseURL(t *testing.T) {
	a, b := serve(t, nil), serve(t, nil)
	if want := "http://10.0.2.2:" + a.port + "/" + a.token + "/"; a.BaseURL("10.0.2.2") != want {
		t.Errorf("got %s", a.BaseURL("10.0.2.2"))
	}
	if want := "http://[fe80::1]:" + a.port + "/"; !strings.HasPrefix(a.BaseURL("fe80::1"), want) {
		t.Errorf("got %s", a.BaseURL("fe80::1"))
	}
	if len(a.token) != 43 || a.token == b.token { // 32 bytes
		t.Errorf("tokens %q and %q", a.token, b.token)
	}
}

func TestServerConcurrently(t *testing.T) {
	s := serve(t, nil)
	base := s.BaseURL("127.0.0.1")
	seen := make(chan Request, 100)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprint("file", i)
			s.Add(name, []byte(name))
			s.OnRequest(func(r Request) { s.Requests(); seen <- r }) // a callback may ask the server
			if _, body := fetch(t, "GET", base+name); body != name {
				t.Errorf("%s holds %q", name, body)
			}
		})
	}
	wg.Wait()
	if len(seen) != 20 || len(s.Requests()) != 20 {
		t.Errorf("%d calls, %d requests", len(seen), len(s.Requests()))
	}
	s.OnRequest(nil)
	fetch(t, "GET", base)
	if len(seen) != 20 {
		t.Error("called after OnRequest(nil)")
	}
}

func TestServerForgetsNoMoreThanItMust(t *testing.T) {
	s := serve(t, nil)
	for range maxRequests + 5 {
		s.record(Request{})
	}
	if n := len(s.Requests()); n != maxRequests {
		t.Errorf("%d requests kept", n)
	}
}

func TestClose(t *testing.T) {
	s := serve(t, map[string][]byte{"f": []byte("x")})
	url := s.BaseURL("127.0.0.1") + "f"
	fetch(t, "GET", url)
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", s.port)); err == nil {
		t.Error("the server still listens:", conn.Close())
	}
	if err := (*Server)(nil).Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCloseEndsWithContext has a request that is not answered as long as Close waits.
func TestCloseEndsWithContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, nil)
	asked, release := make(chan struct{}), make(chan struct{})
	s.OnRequest(func(Request) { close(asked); <-release })
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
}

// broken is a listener that fails, as when the SSH connection to a remote host is lost.
type broken struct{ net.Listener }

var errLost = errors.New("connection lost")

func (broken) Accept() (net.Conn, error) { return nil, errLost }

func TestCloseTellsWhyTheServerEnded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(broken{ln}, nil)
	<-s.Done()
	if err := s.Close(t.Context()); !errors.Is(err, errLost) {
		t.Errorf("error %v", err)
	}
}

// TestResume loses the listener, as one on a machine whose connection is lost, and goes on on another.
func TestResume(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, map[string][]byte{"a": []byte("one")})
	get := func() {
		t.Helper()
		resp, err := http.Get(s.BaseURL("127.0.0.1") + "a")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "one" {
			t.Errorf("got %q, %v", body, err)
		}
	}
	get()
	_ = ln.Close()
	<-s.Done()
	http.DefaultClient.CloseIdleConnections()
	again, err := net.Listen("tcp", "127.0.0.1:"+s.Port())
	if err != nil {
		t.Fatal(err)
	}
	s.Resume(again)
	get()
	if n := len(s.Requests()); n != 2 {
		t.Errorf("%d requests were noted", n)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
