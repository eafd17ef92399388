package cache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

const content = "this is a qcow2"

// published is a store with one image of content.
func published(t *testing.T) (*Store, *Image) {
	t.Helper()
	s := newStore(t)
	mustLock(t, s, testKey)
	img, err := s.PublishImage(t.Context(), put(t, s.TempPath(testKey, "image.qcow2"), content), testManifest())
	if err != nil {
		t.Fatal(err)
	}
	return s, img
}

func testManifest() Manifest {
	return Manifest{
		Key: testKey, Name: "dev", Profile: "developer", Arch: host.X86_64, Format: "qcow2", Firmware: "bios", ISO: "debian-13",
		Inputs:   map[string]string{"arch": "x86_64", "script:base": Digest([]byte("a<b"))},
		Packages: []Package{{"bash", "5.2.37-2+b1", "amd64"}}, VirtualSizeBytes: 20 << 30,
		Builder: "local", Accelerator: "tcg", AcceleratorReason: "no /dev/kvm <&>", Recipe: "1",
		StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), BuiltAt: time.Date(2026, 1, 2, 3, 24, 5, 0, time.UTC),
		Steps:           []Step{{"install", 1200.5}},
		Verify:          &Verification{MachineID: "0123456789abcdef0123456789abcdef", HostKeys: []string{"ssh-ed25519 AAAA"}, CloudInit: "done"},
		ProviderVersion: "0.1.0",
	}
}

func lookUp(t *testing.T, s *Store) (*Image, error) {
	t.Helper()
	return s.Image(t.Context(), "dev", host.X86_64, testKey)
}

func TestPublishImage(t *testing.T) {
	s, img := published(t)
	base := filepath.Join("cache", "images", "dev-x86_64-"+testKey[:12])
	expectTree(t, s.dataDir, base+".json", base+".qcow2")
	found, err := lookUp(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if found.Path != img.Path || found.Manifest.SHA256 != sha(content) || found.Manifest.SizeBytes != int64(len(content)) {
		t.Errorf("found %+v", found)
	}
	if err := s.Verify(t.Context(), found); err != nil {
		t.Error(err)
	}
	m, err := os.ReadFile(img.ManifestPath)
	if err != nil {
		t.Fatal(err)
	}
	// The golden file shows the stable names of the fields; the time is the file's.
	stamp := img.Manifest.ModifiedAt.Format(time.RFC3339Nano)
	expectGolden(t, "manifest.json", []byte(strings.Replace(string(m), stamp, "MODIFIED", 1)))
}

func TestPublishImageReplaces(t *testing.T) {
	s, _ := published(t)
	const next = "another qcow2"
	if _, err := s.PublishImage(t.Context(), put(t, s.TempPath(testKey, "image.qcow2"), next), testManifest()); err != nil {
		t.Fatal(err)
	}
	img, err := lookUp(t, s)
	if err != nil || img.Manifest.SHA256 != sha(next) || s.Verify(t.Context(), img) != nil {
		t.Errorf("found %+v, %v", img, err)
	}
}

func TestImageErrors(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, img *Image) error
		want   error
		delete bool // the image comes with the error, to be deleted
	}{
		"no image":    {func(_ *testing.T, img *Image) error { return os.Remove(img.Path) }, fs.ErrNotExist, false},
		"no manifest": {func(_ *testing.T, img *Image) error { return os.Remove(img.ManifestPath) }, ErrCorrupt, true},
		"neither": {func(_ *testing.T, img *Image) error {
			return errors.Join(os.Remove(img.Path), os.Remove(img.ManifestPath))
		}, fs.ErrNotExist, false},
		"cut short":       {func(_ *testing.T, img *Image) error { return os.Truncate(img.Path, 3) }, ErrCorrupt, true},
		"broken manifest": {func(_ *testing.T, img *Image) error { return os.Truncate(img.ManifestPath, 30) }, ErrCorrupt, true},
		"another's manifest": {func(t *testing.T, img *Image) error {
			m, err := os.ReadFile(img.ManifestPath)
			put(t, img.ManifestPath, strings.Replace(string(m), testKey, testKey[:12]+otherKey[12:], 1))
			return err
		}, ErrCorrupt, true},
		"newer manifest": {func(t *testing.T, img *Image) error {
			m, err := os.ReadFile(img.ManifestPath)
			put(t, img.ManifestPath, strings.Replace(string(m), `"schema": 1`, `"schema": 2`, 1))
			return err
		}, ErrCorrupt, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, img := published(t)
			if err := c.spoil(t, img); err != nil {
				t.Fatal(err)
			}
			found, err := lookUp(t, s)
			if !errors.Is(err, c.want) || (found != nil) != c.delete {
				t.Fatalf("got %v, %v; want %v", found, err, c.want)
			}
			if c.delete {
				if err := s.DeleteImage(t.Context(), found.Manifest.Name, found.Manifest.Arch, found.Manifest.Key); err != nil {
					t.Error(err)
				}
				expectTree(t, s.dataDir)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	ctx := t.Context()
	t.Run("a change that keeps the size", func(t *testing.T) {
		s, img := published(t)
		put(t, img.Path, strings.ToUpper(content))
		if err := os.Chtimes(img.Path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(ctx, img); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v, want ErrCorrupt", err)
		}
	})
	t.Run("a touched image is good, and read once", func(t *testing.T) {
		s, img := published(t)
		if err := os.Chtimes(img.Path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		reads := &countingHost{Host: s.h, path: img.Path}
		s.h = reads
		for range 3 {
			if err := s.Verify(ctx, img); err != nil {
				t.Error(err)
			}
		}
		if reads.opened != 1 {
			t.Errorf("read the image %d times", reads.opened)
		}
	})
	t.Run("missing", func(t *testing.T) {
		s, img := published(t)
		if err := os.Remove(img.Path); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(ctx, img); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// countingHost counts how often a file is opened. It is not for concurrent use.
type countingHost struct {
	host.Host
	path   string
	opened int
}

func (c *countingHost) OpenFile(path string, flag int, perm fs.FileMode) (host.File, error) {
	if path == c.path {
		c.opened++
	}
	return c.Host.OpenFile(path, flag, perm)
}

func TestPublishImageFails(t *testing.T) {
	t.Run("disk full", func(t *testing.T) {
		s := newStore(t)
		mustLock(t, s, testKey)
		tmp := put(t, s.TempPath(testKey, "image.qcow2"), content)
		s.h = hosttest.WithSpace(s.h, 100)
		if _, err := s.PublishImage(t.Context(), tmp, testManifest()); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v, want ENOSPC", err)
		}
		expectTree(t, s.imagesDir(), filepath.Base(tmp))
	})
	t.Run("the last step", func(t *testing.T) {
		s := newStore(t)
		mustLock(t, s, testKey)
		tmp := put(t, s.TempPath(testKey, "image.qcow2"), content)
		s.h = &noRename{s.h, ".qcow2"}
		if _, err := s.PublishImage(t.Context(), tmp, testManifest()); !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v, want EIO", err)
		}
		expectTree(t, s.imagesDir(), filepath.Base(tmp))
	})
	t.Run("cancelled", func(t *testing.T) {
		s := newStore(t)
		mustLock(t, s, testKey)
		tmp := put(t, s.TempPath(testKey, "image.qcow2"), content)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.PublishImage(ctx, tmp, testManifest()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		expectTree(t, s.imagesDir(), filepath.Base(tmp))
	})
	t.Run("nothing there", func(t *testing.T) {
		s := newStore(t)
		if _, err := s.PublishImage(t.Context(), s.TempPath(testKey, "x"), testManifest()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("bad name", func(t *testing.T) {
		s := newStore(t)
		m := testManifest()
		m.Name = "a/b"
		if _, err := s.PublishImage(t.Context(), put(t, s.TempPath(testKey, "x"), content), m); err == nil {
			t.Error("no error")
		}
	})
}

// noRename fails to give files names with a suffix.
type noRename struct {
	host.Host
	suffix string
}

func (n *noRename) Rename(oldpath, newpath string) error {
	if strings.HasSuffix(newpath, n.suffix) {
		return syscall.EIO
	}
	return n.Host.Rename(oldpath, newpath)
}

func TestDeleteImage(t *testing.T) {
	s, img := published(t)
	for range 2 { // what is gone already is no error
		if err := s.DeleteImage(t.Context(), img.Manifest.Name, img.Manifest.Arch, img.Manifest.Key); err != nil {
			t.Error(err)
		}
	}
	expectTree(t, s.dataDir)
}
