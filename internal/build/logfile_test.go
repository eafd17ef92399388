package build

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// forgetful is a machine whose connection is lost at a write of which so many bytes arrive.
type forgetful struct {
	host.Files
	arrives int // -1 for a connection that holds
	away    bool
}

var errLink = fmt.Errorf("test: %w", host.ErrDisconnected)

func (h *forgetful) OpenFile(name string, flag int, perm fs.FileMode) (host.File, error) {
	if h.away {
		return nil, errLink
	}
	f, err := h.Files.OpenFile(name, flag, perm)
	return &forgetfulFile{File: f, h: h}, err
}

type forgetfulFile struct {
	host.File
	h    *forgetful
	dead bool
}

func (f *forgetfulFile) Write(p []byte) (int, error) {
	if f.dead || f.h.away {
		return 0, errLink
	}
	if f.h.arrives < 0 {
		return f.File.Write(p)
	}
	if _, err := f.File.Write(p[:min(f.h.arrives, len(p))]); err != nil {
		return 0, err
	}
	f.dead = true
	f.h.arrives, f.h.away = -1, true
	return 0, errLink // nobody told us
}

// TestLogFileOutlivesALostConnection requires every line once, whatever of a write had arrived when the connection was
// lost.
func TestLogFileOutlivesALostConnection(t *testing.T) {
	for _, arrives := range []int{0, 2, 4} {
		t.Run(fmt.Sprint(arrives), func(t *testing.T) {
			h := &forgetful{Files: host.NewLocal(), arrives: -1}
			l := &logFile{h: h, path: filepath.Join(t.TempDir(), "log")}
			if err := l.open(); err != nil {
				t.Fatal(err)
			}
			add := func(text string) {
				t.Helper()
				if err := l.append([]byte(text)); err != nil {
					t.Error(err)
				}
			}
			add("one\n")
			h.arrives = arrives
			add("two\n")
			add("three\n")
			h.away = false
			add("four\n")
			if err := l.close(); err != nil {
				t.Error(err)
			}
			got, err := os.ReadFile(l.path)
			if want := "one\ntwo\nthree\nfour\n"; err != nil || string(got) != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}
