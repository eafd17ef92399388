package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

// remoteStore is a store on h, and the one here that it belongs to.
func remoteStore(t *testing.T, h host.Host) (remote, local *Store) {
	t.Helper()
	dir := t.TempDir()
	local = newStore(t)
	return NewRemoteStore(h, filepath.Join(dir, "data"), filepath.Join(dir, "cache"), local), local
}

// publishedOn puts an image into a store, as a build does.
func publishedOn(t *testing.T, s *Store, content string) *Image {
	t.Helper()
	unlock, err := s.Lock(t.Context(), testKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.PublishImage(t.Context(), put(t, s.TempPath(testKey, "image.qcow2"), content), testManifest())
	if err = errors.Join(err, unlock()); err != nil {
		t.Fatal(err)
	}
	return img
}

// remoteHost is this machine as another one, and counts what is read of its files.
type remoteHost struct {
	host.Host
	read atomic.Int64
	bare bool // without any program
}

func (r *remoteHost) Name() string { return "remote" }

func (r *remoteHost) LookPath(name string) (string, error) {
	if r.bare {
		return "", fmt.Errorf("%s: %w", name, host.ErrNotFound)
	}
	return r.Host.LookPath(name)
}

func (r *remoteHost) OpenFile(path string, flag int, perm fs.FileMode) (host.File, error) {
	f, err := r.Host.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &countedFile{f, &r.read}, nil
}

type countedFile struct {
	host.File
	read *atomic.Int64
}

func (f *countedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.read.Add(int64(n))
	return n, err
}

func TestFetch(t *testing.T) {
	for name, tc := range map[string]struct {
		arrived string // earlier, of content
		damage  bool   // the file there
		read    int    // bytes of the file there
		err     error
	}{
		"all of it":           {read: len(content)},
		"the rest":            {arrived: content[:7], read: len(content) - 7},
		"nothing more":        {arrived: content, read: 0},
		"a wrong beginning":   {arrived: "THIS IS", read: 2*len(content) - 7},
		"more than there is":  {arrived: content + "!", read: len(content)},
		"of a damaged file":   {damage: true, read: len(content), err: ErrCorrupt},
		"rest of damaged one": {damage: true, arrived: content[:7], read: 2*len(content) - 7, err: ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			h := &remoteHost{Host: host.NewLocal()}
			remote, local := remoteStore(t, h)
			img := publishedOn(t, remote, content)
			part := filepath.Join(local.fetchDir("dev-x86_64-"+testKey[:12]), img.Manifest.SHA256+host.PartSuffix)
			if tc.arrived != "" {
				put(t, part, tc.arrived)
			}
			if tc.damage {
				put(t, img.Path, strings.ToUpper(content))
			}
			h.read.Store(0)
			var told []int64
			got, err := local.Fetch(t.Context(), remote, img, func(done, total int64) { told = append(told, done, total) })
			if !errors.Is(err, tc.err) || err != nil && !strings.Contains(err.Error(), "from remote") {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if n := h.read.Load(); n != int64(tc.read) {
				t.Errorf("read %d bytes, want %d", n, tc.read)
			}
			if err != nil {
				if _, err := os.Stat(part); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the wrong copy is still there: %v", err)
				}
				return
			}
			if tc.read > 0 && !slices.Equal(told[len(told)-2:], []int64{int64(len(content)), int64(len(content))}) {
				t.Errorf("told %v", told)
			}
			base := filepath.Join("cache", "images", "dev-x86_64-"+testKey[:12])
			expectTree(t, local.dataDir, base+".json", base+".qcow2")
			if err := local.Verify(t.Context(), got); err != nil {
				t.Error(err)
			}
			if got.Manifest.SHA256 != img.Manifest.SHA256 || got.Manifest.Builder != img.Manifest.Builder {
				t.Errorf("its manifest is %+v", got.Manifest)
			}
			h.read.Store(0)
			if _, err := local.Fetch(t.Context(), remote, img, nil); err != nil || h.read.Load() > 0 {
				t.Errorf("fetched again: %v", err)
			}
		})
	}
}

// A file that is not the image it stands for is replaced; one of another build of the same key is not.
func TestFetchOverAnother(t *testing.T) {
	for name, damage := range map[string]bool{"another build": false, "damaged": true} {
		t.Run(name, func(t *testing.T) {
			remote, local := remoteStore(t, &remoteHost{Host: host.NewLocal()})
			img, own := publishedOn(t, remote, content), publishedOn(t, local, "another build")
			want := own.Manifest.SHA256
			if damage {
				put(t, own.Path, "rubbish")
				want = img.Manifest.SHA256
			}
			got, err := local.Fetch(t.Context(), remote, img, nil)
			if err != nil || got.Manifest.SHA256 != want {
				t.Errorf("got %+v, %v; want %s", got, err, want)
			}
		})
	}
}

func TestFetchWithoutRoom(t *testing.T) {
	remote, _ := remoteStore(t, &remoteHost{Host: host.NewLocal()})
	img := publishedOn(t, remote, content)
	local := newStoreOn(t, &fullHost{host.NewLocal()})
	if _, err := local.Fetch(t.Context(), remote, img, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	expectTree(t, local.dataDir)
}

// fullHost has no room left.
type fullHost struct{ host.Host }

func (*fullHost) Free(string) (uint64, error) { return 0, nil }

func TestDeleteImageRemovesWhatArrived(t *testing.T) {
	s := newStore(t)
	put(t, filepath.Join(s.fetchDir("dev-x86_64-"+testKey[:12]), "x.part"), "x")
	if err := s.DeleteImage(t.Context(), "dev", host.X86_64, testKey); err != nil {
		t.Fatal(err)
	}
	expectTree(t, s.dataDir)
}

func TestRemoteStoreTakesISO(t *testing.T) {
	for name, bare := range map[string]bool{"with sha256sum": false, "with nothing": true} {
		t.Run(name, func(t *testing.T) {
			remote, local := remoteStore(t, &remoteHost{Host: host.NewLocal(), bare: bare})
			iso := ISO{Name: "tiny", Path: put(t, filepath.Join(local.dataDir, "tiny.iso"), isoText)}
			if sum, err := remote.ISODigest(t.Context(), iso); err != nil || sum != sha(isoText) {
				t.Fatalf("digest %s, %v", sum, err)
			}
			want := filepath.Join(remote.cacheDir, "isos", sha(isoText)[:12]+"-tiny.iso")
			copies := 0
			for range 2 {
				got, err := remote.EnsureISO(t.Context(), iso, func(int64, int64) { copies++ })
				if err != nil || got != want {
					t.Fatalf("got %s, %v; want %s", got, err, want)
				}
			}
			if text, err := os.ReadFile(want); err != nil || string(text) != isoText || copies != 1 {
				t.Errorf("%d copies, the last %q, %v", copies, text, err)
			}
			iso.SHA256 = sha("another")
			var wrong *ChecksumError
			if _, err := remote.EnsureISO(t.Context(), iso, nil); !errors.As(err, &wrong) || wrong.URL != iso.Path {
				t.Errorf("a wrong file: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(remote.cacheDir, "isos", "*.part")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// An image and an ISO go through a connection that is cut again and again.
func TestTransfersThroughSSH(t *testing.T) {
	s := hosttest.StartSSHD(t)
	s.CutAfter(12 << 20)
	h := s.Connect(t)
	remote, local := remoteStore(t, h)
	data := make([]byte, 20<<20)
	rand.New(rand.NewSource(1)).Read(data)
	sum := sha256.Sum256(data)
	iso := ISO{Name: "large", Path: put(t, filepath.Join(local.dataDir, "large.iso"), string(data)), SHA256: hex.EncodeToString(sum[:])}

	persist := func(what string, try func() error) (failed int) {
		for ; failed < 10; failed++ {
			err := try()
			if err == nil {
				return failed
			}
			if !errors.Is(err, host.ErrDisconnected) {
				t.Fatalf("%s: %v", what, err)
			}
			if err := h.Reconnect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatalf("%s: never done", what)
		return failed
	}
	var file string
	if n := persist("the ISO", func() (err error) {
		file, err = remote.EnsureISO(t.Context(), iso, nil)
		return err
	}); n == 0 {
		t.Error("the ISO's connection was never cut")
	}
	if copied, err := os.ReadFile(file); err != nil || sha256.Sum256(copied) != sum {
		t.Errorf("the copied ISO is another: %v", err)
	}
	s.CutAfter(0)
	img := publishedOn(t, local.atHome(t, remote), string(data))
	s.CutAfter(12 << 20)
	s.Cut()
	if n := persist("the image", func() error {
		_, err := local.Fetch(t.Context(), remote, img, nil)
		return err
	}); n < 2 {
		t.Errorf("the image's connection was cut %d times", n)
	}
	got, err := lookUp(t, local)
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile(got.Path); err != nil || sha256.Sum256(copied) != sum {
		t.Errorf("the fetched image is another: %v", err)
	}
}

// atHome is a remote store as its own machine sees it.
func (s *Store) atHome(t *testing.T, remote *Store) *Store {
	t.Helper()
	return NewStore(s.h, remote.dataDir, remote.cacheDir)
}
