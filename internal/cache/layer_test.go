package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

const secret = "client and host key"

func publishedLayer(t *testing.T) (*Store, *Layer) {
	t.Helper()
	s := newStore(t)
	mustLock(t, s, testKey)
	tmp := put(t, filepath.Join(s.BuildDir(testKey), "install.qcow2"), content)
	meta := LayerMeta{Arch: host.ARM64, Inputs: map[string]string{"arch": "arm64"}, Identity: []byte(secret)}
	l, err := s.PublishLayer(t.Context(), tmp, testKey, meta)
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

func TestLayer(t *testing.T) {
	s, l := publishedLayer(t)
	expectTree(t, s.dataDir, "layers/"+testKey+".identity", "layers/"+testKey+".json", "layers/"+testKey+".qcow2")
	found, err := s.Layer(t.Context(), testKey)
	if err != nil {
		t.Fatal(err)
	}
	if string(found.Identity) != secret || found.Path != l.Path || found.Arch != host.ARM64 || found.Inputs["arch"] != "arm64" {
		t.Errorf("found %#v", found)
	}
	info, err := os.Stat(filepath.Join(s.layersDir(), testKey+".identity"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("identity: %v, %v", info, err)
	}
	meta, err := os.ReadFile(filepath.Join(s.layersDir(), testKey+".json"))
	if err != nil || strings.Contains(string(meta), secret) {
		t.Errorf("description: %s, %v", meta, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, found.LayerMeta); strings.Contains(text, "client") || strings.Contains(text, "99, 108") {
			t.Errorf("%s prints the identity: %s", verb, text)
		}
	}
	for range 2 {
		if err := s.DeleteLayer(t.Context(), testKey); err != nil {
			t.Error(err)
		}
	}
	expectTree(t, s.dataDir)
}

func TestLayerErrors(t *testing.T) {
	beside := func(l *Layer, ending string) string { return strings.TrimSuffix(l.Path, ".qcow2") + ending }
	for name, c := range map[string]struct {
		spoil func(t *testing.T, l *Layer) error
		want  error
	}{
		"no disk":     {func(_ *testing.T, l *Layer) error { return os.Remove(l.Path) }, fs.ErrNotExist},
		"no identity": {func(_ *testing.T, l *Layer) error { return os.Remove(beside(l, ".identity")) }, ErrCorrupt},
		"no json":     {func(_ *testing.T, l *Layer) error { return os.Remove(beside(l, ".json")) }, ErrCorrupt},
		"bad json":    {func(_ *testing.T, l *Layer) error { return os.Truncate(beside(l, ".json"), 9) }, ErrCorrupt},
		"cut short":   {func(_ *testing.T, l *Layer) error { return os.Truncate(l.Path, 3) }, ErrCorrupt},
		"written to": {func(_ *testing.T, l *Layer) error {
			return os.Chtimes(l.Path, time.Time{}, time.Now().Add(time.Minute))
		}, ErrCorrupt},
		"another's": {func(t *testing.T, l *Layer) error {
			put(t, beside(l, ".json"), `{"schema": 1, "key": "x"}`)
			return nil
		}, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := publishedLayer(t)
			if err := c.spoil(t, l); err != nil {
				t.Fatal(err)
			}
			if found, err := s.Layer(t.Context(), testKey); !errors.Is(err, c.want) || found != nil {
				t.Errorf("got %v, %v; want %v", found, err, c.want)
			}
		})
	}
}

func TestPublishLayerFails(t *testing.T) {
	s := newStore(t)
	mustLock(t, s, testKey)
	tmp := put(t, filepath.Join(s.BuildDir(testKey), "install.qcow2"), content)
	s.h = &noRename{s.h, ".qcow2"}
	if _, err := s.PublishLayer(t.Context(), tmp, testKey, LayerMeta{Identity: []byte(secret)}); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO", err)
	}
	expectTree(t, s.layersDir())
	if _, err := os.Stat(tmp); err != nil {
		t.Error(err)
	}
}
