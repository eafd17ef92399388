package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	testKey  = Inputs{{"test", "one"}}.Key()
	otherKey = Inputs{{"test", "two"}}.Key()
)

// newStore is an empty store on this machine that waits little.
func newStore(t *testing.T) *Store {
	t.Helper()
	return newStoreOn(t, host.NewLocal())
}

func newStoreOn(t *testing.T, h host.Host) *Store {
	t.Helper()
	dir := t.TempDir()
	s := NewStore(h, filepath.Join(dir, "data"), filepath.Join(dir, "cache"))
	s.backoff = time.Millisecond
	return s
}

func mustLock(t *testing.T, s *Store, key string) {
	t.Helper()
	unlock, err := s.Lock(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unlock(); err != nil {
			t.Error(err)
		}
	})
}

func put(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// tree lists every file below dir, sorted, without lock files.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasSuffix(p, ".lock") {
			rel, _ := filepath.Rel(dir, p)
			names = append(names, rel)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func expectTree(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("files\n got %q\nwant %q", got, want)
	}
}

func expectGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (run with -update to accept)\n got %s\nwant %s", name, got, want)
	}
}

func TestLockRemovesLeftovers(t *testing.T) {
	s := newStore(t)
	ours := []string{
		s.TempPath(testKey, "image.qcow2"),
		filepath.Join(s.imagesDir(), ImageID("dev", host.ARM64, testKey)+".json.x1y2.part"),
		filepath.Join(s.layersDir(), testKey+".json.x1y2.part"),
		filepath.Join(s.BuildDir(testKey), "overlay.part"),
	}
	others := []string{
		s.TempPath(otherKey, "image.qcow2"),
		filepath.Join(s.imagesDir(), ImageID("dev", host.ARM64, testKey)+".qcow2"),
		filepath.Join(s.layersDir(), otherKey+".json.x1y2.part"),
		filepath.Join(s.BuildDir(testKey), "console.log"),
		filepath.Join(s.BuildDir(otherKey), "overlay.part"),
	}
	for _, f := range slices.Concat(ours, others) {
		put(t, f, "x")
	}
	mustLock(t, s, testKey)
	for _, f := range ours {
		if _, err := os.Stat(f); !os.IsNotExist(err) {
			t.Errorf("%s is still there", f)
		}
	}
	for _, f := range others {
		if _, err := os.Stat(f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestLockWaitsAndEndsWithItsContext(t *testing.T) {
	s := newStore(t)
	mustLock(t, s, testKey)
	mustLock(t, s, otherKey) // another key does not wait
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Lock(ctx, testKey, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestLockMakesTheDirectories(t *testing.T) {
	s := newStore(t)
	mustLock(t, s, testKey)
	for dir, mode := range map[string]os.FileMode{s.layersDir(): 0o700, filepath.Dir(s.TempPath(testKey, "x")): 0o755} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %v", dir, info, err, mode)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"debian-dev": true, "a": true, "9_.x": true, strings.Repeat("x", 200): true,
		"": false, "..": false, ".x": false, "-x": false, "a/b": false, "a b": false, "ä": false, "a\n": false,
		strings.Repeat("x", 201): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	s := newStore(t)
	if _, err := s.Lock(t.Context(), "../x", nil); err == nil {
		t.Error("locked a key that leads out of the directory")
	}
	if _, err := s.Image(t.Context(), "../x", host.ARM64, testKey); err == nil {
		t.Error("looked for an image outside the store")
	}
}

func TestRefs(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	id := ImageID("dev", host.X86_64, testKey)
	for _, ref := range []string{"one", "two", "two"} {
		if err := s.AddRef(ctx, id, ref); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(s.refsDir(id), "three.x1y2.part"), "")
	for _, step := range []struct {
		id, ref string
		last    bool
	}{
		{id, "none", false},
		{id, "one", false},
		{id, "one", false},
		{id, "two", true},
		{id, "two", true},
		{otherKey, "one", true},
	} {
		if last, err := s.DropRef(ctx, step.id, step.ref); err != nil || last != step.last {
			t.Errorf("drop %s of %s: got %v, %v; want %v", step.ref, step.id, last, err, step.last)
		}
	}
	expectTree(t, s.dataDir)
	if err := s.AddRef(ctx, id, "../../x"); err == nil {
		t.Error("added a reference outside the store")
	}
}

// interrupted is a host on which something happens before a file is opened, or renamed, for the first time.
type interrupted struct {
	host.Host
	open, rename func()
}

func (i *interrupted) OpenFile(name string, flag int, perm fs.FileMode) (host.File, error) {
	once(&i.open)
	return i.Host.OpenFile(name, flag, perm)
}

func (i *interrupted) Rename(from, to string) error {
	once(&i.rename)
	return i.Host.Rename(from, to)
}

func once(f *func()) {
	if do := *f; do != nil {
		*f = nil
		do()
	}
}

// A reference is added while another is dropped by somebody without the lock, as after a build that failed.
func TestRefAddedWhileAnotherIsDropped(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	drop := func() {
		if _, err := s.DropRef(ctx, testKey, "failed"); err != nil {
			t.Error(err)
		}
	}
	busy := NewStore(&interrupted{s.h, drop, drop}, s.dataDir, s.cacheDir)
	if err := busy.AddRef(ctx, testKey, "ours"); err != nil {
		t.Error(err)
	}
	if last, err := s.DropRef(ctx, testKey, "failed"); last || err != nil {
		t.Errorf("the reference is gone: %v", err)
	}
}

func TestRefsConcurrently(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	var wg sync.WaitGroup
	lasts := make(chan string, 8)
	refs := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, ref := range refs {
		if err := s.AddRef(ctx, testKey, ref); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range refs {
		wg.Go(func() {
			unlock, err := s.Lock(ctx, testKey, nil)
			if err != nil {
				t.Error(err)
				return
			}
			last, err := s.DropRef(ctx, testKey, ref)
			if err = errors.Join(err, unlock()); err != nil {
				t.Error(err)
			}
			if last {
				lasts <- ref
			}
		})
	}
	wg.Wait()
	if len(lasts) != 1 {
		t.Errorf("%d callers dropped the last reference", len(lasts))
	}
}
