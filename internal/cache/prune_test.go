package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func TestPruneLayers(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(host.NewLocal(), filepath.Join(dir, "data"), filepath.Join(dir, "cache"))
	keys := map[string]string{}
	for i, name := range []string{"old", "used", "locked"} {
		key := strings.Repeat(string(rune('a'+i)), 64)
		keys[name] = key
		unlock, err := s.Lock(t.Context(), key, nil)
		if err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(dir, name)
		if err := os.WriteFile(tmp, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := s.PublishLayer(t.Context(), tmp, key, LayerMeta{Identity: []byte("id")})
		if err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-48 * time.Hour)
		_, meta, _ := s.layerFiles(key)
		if err := os.Chtimes(meta, long, long); err != nil {
			t.Fatal(err)
		}
		if name == "used" {
			if err := s.UseLayer(l); err != nil {
				t.Fatal(err)
			}
		}
		if name != "locked" {
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.PruneLayers(t.Context(), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"old": fs.ErrNotExist, "used": nil, "locked": nil} {
		if _, err := s.Layer(t.Context(), keys[name]); !errors.Is(err, want) {
			t.Errorf("%s layer: %v, want %v", name, err, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.layersDir(), keys["old"]+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
