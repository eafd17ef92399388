package preseed_test

import (
	"bufio"
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

	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
)

// serve starts a server with one file, and returns what it is told of requests.
func serve(t *testing.T) (*preseed.Server, <-chan preseed.Request) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := preseed.Serve(ln, map[string][]byte{"preseed.cfg": []byte("answers")})
	seen := make(chan preseed.Request, 100)
	s.OnRequest(func(r preseed.Request) { seen <- r })
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, seen
}

func get(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
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

func TestServer(t *testing.T) {
	s, seen := serve(t)
	s.Add("install.sh", []byte("#!/bin/sh"))
	base := s.BaseURL("127.0.0.1")
	token := strings.Split(base, "/")[3]
	if len(token) != 43 { // 32 bytes
		t.Fatalf("the token %q has %d characters", token, len(token))
	}
	root := strings.TrimSuffix(base, token+"/")
	tests := []struct {
		method, url string
		status      int
		body, path  string
	}{
		{"GET", base + "preseed.cfg", 200, "answers", "/<token>/preseed.cfg"},
		{"GET", base + "install.sh", 200, "#!/bin/sh", "/<token>/install.sh"},
		{"HEAD", base + "preseed.cfg", 200, "", "/<token>/preseed.cfg"},
		{"POST", base + "preseed.cfg", 404, "", "/<token>/preseed.cfg"},
		{"GET", base, 404, "", "/<token>/"},
		{"GET", base + "other", 404, "", "/<token>/other"},
		{"GET", base + "../preseed.cfg", 404, "", "/<token>/../preseed.cfg"},
		{"GET", root + "preseed.cfg", 404, "", "/preseed.cfg"},
		{"GET", root + "x/preseed.cfg", 404, "", "/x/preseed.cfg"},
		{"GET", root + "%0a" + percent(token) + "/x", 404, "", "/?<token>/x"},
		{"GET", root + strings.Repeat("y", 1000), 404, "", "/" + strings.Repeat("y", 252) + "…"},
	}
	for _, tc := range tests {
		status, body := get(t, tc.method, tc.url)
		if status != tc.status || tc.status == 200 && body != tc.body {
			t.Errorf("%s %s: got %d %q, want %d %q", tc.method, tc.path, status, body, tc.status, tc.body)
		}
		got := <-seen
		if got.Method != tc.method || got.Path != tc.path || got.Status != tc.status || got.Remote == "" || got.Time.IsZero() {
			t.Errorf("%s %s: remembered %+v", tc.method, tc.path, got)
		}
	}
	if got := s.Requests(); len(got) != len(tests) || strings.Contains(fmt.Sprint(got), token) {
		t.Errorf("got %d requests: %v", len(got), got)
	}
	if got, want := s.Requests()[0].String(), "GET /<token>/preseed.cfg 200"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// percent escapes every byte, which hides a token from a plain search.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func TestServersHaveDifferentTokens(t *testing.T) {
	a, _ := serve(t)
	b, _ := serve(t)
	if strings.Split(a.BaseURL("h"), "/")[3] == strings.Split(b.BaseURL("h"), "/")[3] {
		t.Error("two servers have one token")
	}
}

func TestServerIsSafeForConcurrentUse(t *testing.T) {
	s, _ := serve(t)
	s.OnRequest(func(preseed.Request) { s.Requests() }) // a callback may ask the server
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			s.Add("extra", []byte("x"))
			get(t, "GET", s.BaseURL("127.0.0.1")+"preseed.cfg")
		})
	}
	all.Wait()
}

func TestCloseEndsWithItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := preseed.Serve(ln, map[string][]byte{"big": make([]byte, 64<<20)})
	// A client that does not read its answer keeps a graceful shutdown waiting.
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := "GET /" + strings.Split(s.BaseURL("x"), "/")[3] + "/big HTTP/1.1\r\nHost: x\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err == nil {
		t.Error("closed in order while an answer was not read, want the context's error")
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the server still listens")
	}
}

// broken is a listener that fails, as when the SSH connection to a remote host is lost.
type broken struct {
	net.Listener
	given chan struct{} // closed when the server has given it up
}

func (b broken) Accept() (net.Conn, error) { return nil, errors.New("connection lost") }

func (b broken) Close() error {
	close(b.given)
	return b.Listener.Close()
}

func TestCloseTellsWhyTheServerEnded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := broken{ln, make(chan struct{})}
	s := preseed.Serve(b, nil)
	<-b.given
	if err := s.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "connection lost") {
		t.Errorf("got error %v, want the listener's", err)
	}
}
