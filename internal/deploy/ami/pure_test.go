package ami

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

func TestNames(t *testing.T) {
	t.Parallel()
	r := deploy.Request{Name: "web", Image: deploy.Image{Key: strings.Repeat("0123456789abcdef", 4)}}
	for n, want := range map[int]string{1: "web-0123456789ab", 2: "web-0123456789ab-2", 17: "web-0123456789ab-17"} {
		if got := name(r, n); got != want {
			t.Errorf("name %d is %s, want %s", n, got, want)
		}
	}
	for text, ok := range map[string]bool{
		"web-0123456789ab": true, "a b(c)[d]./e-'f'@g_h": true, "xy": false, "web:1": false, "web*": false, "": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "wéb": false,
	} {
		if amiName.MatchString(text) != ok {
			t.Errorf("%q is a name: %v", text, !ok)
		}
	}
}

func TestTagNames(t *testing.T) {
	t.Parallel()
	names := []string{"cost center", "team", "a/b:c", "d,e"}
	if got := splitNames(joinNames(names)); !slices.Equal(got, names) {
		t.Errorf("%q became %q", names, got)
	}
	if got := joinNames([]string{"a=b", strings.Repeat("x", 250), "longer", "ok"}); got != strings.Repeat("x", 250)+"=ok" {
		t.Errorf("joined %q", got)
	}
	if got := splitNames(""); got != nil {
		t.Errorf("nothing became %q", got)
	}
}

func TestPartSize(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]int64{
		0: 16 * mib, 20 << 30: 16 * mib, 160000 * mib: 16 * mib, 160000*mib + 1: 17 * mib, maxObject: 525 * mib,
	} {
		if got := partSize(size); got != want || (size+got-1)/got > maxParts {
			t.Errorf("parts of %d bytes have %d, want %d", size, got, want)
		}
	}
}

// A part is read like its section of the disk, whatever is read and sought before.
func TestPart(t *testing.T) {
	t.Parallel()
	disk := make([]byte, 3*mib+17)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(disk)
	p := newPart(bytes.NewReader(disk), 1000, 2*mib)
	want := disk[1000 : 1000+2*mib]
	if n, err := p.Seek(0, io.SeekEnd); err != nil || n != 2*mib {
		t.Fatalf("its length is %d: %v", n, err)
	}
	for range 2 {
		if _, err := p.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, p, 12345); err != nil {
			t.Fatal(err)
		}
		if n, err := p.Seek(0, io.SeekCurrent); err != nil || n != 12345 {
			t.Fatalf("after 12345 bytes it is at %d: %v", n, err)
		}
		rest, err := io.ReadAll(p)
		if err != nil || !bytes.Equal(rest, want[12345:]) {
			t.Fatalf("read %d other bytes: %v", len(rest), err)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	tt := &target{pace: deploy.Pace{Backoff: 100 * time.Millisecond, MaxBackoff: time.Second}}
	for attempt, most := range map[int]time.Duration{
		0: 100 * time.Millisecond, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond,
		5: time.Second, 64: time.Second,
	} {
		for range 20 {
			if d, _ := tt.backoff(attempt, nil); d < most/2 || d > most {
				t.Errorf("before attempt %d it waits %v, not %v to %v", attempt+1, d, most/2, most)
			}
		}
	}
}

// A connection can stall before, in and after the answer's header.
func TestGuard(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/body":
			_, _ = w.Write(make([]byte, 100))
			w.(http.Flusher).Flush()
		case "/all":
			_, _ = io.Copy(w, r.Body)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	do := func(ctx context.Context, path string, idle time.Duration) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL+path, strings.NewReader("something"))
		if err != nil {
			t.Fatal(err)
		}
		g := &guard{client: server.Client(), idle: idle}
		resp, err := g.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	const short, long = 50 * time.Millisecond, time.Minute // a busy machine is no stalled connection
	for _, path := range []string{"/header", "/body"} {
		_, err := do(t.Context(), path, short)
		var stalled *stalledError
		if !errors.As(err, &stalled) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: stalling ends with %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := do(ctx, "/header", long); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request ends with %v", err)
	}
	if body, err := do(t.Context(), "/all", long); err != nil || string(body) != "something" {
		t.Errorf("answered %q: %v", body, err)
	}
}

// What has begun goes on for a while after its context has ended.
func TestLasting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	last, end := deploy.Lasting(ctx)
	cancel()
	if last.Err() != nil {
		t.Error("it ends with its parent")
	}
	end()
	if last.Err() == nil {
		t.Error("it does not end")
	}
}
