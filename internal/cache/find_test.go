package cache

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func TestFindImage(t *testing.T) {
	s, img := published(t)
	for _, key := range []string{testKey, Short(testKey), testKey[:20]} {
		if found, err := s.FindImage(t.Context(), key); err != nil || found.Path != img.Path || found.Manifest.Key != testKey {
			t.Errorf("%s: %+v, %v", key, found, err)
		}
	}
	for _, key := range []string{"", "dev", testKey[:11], testKey + "0", "../" + testKey, strings.ToUpper(testKey)} {
		if found, err := s.FindImage(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q finds %v, %v", key, found, err)
		}
	}
	for _, key := range []string{otherKey, testKey[:12] + otherKey[12:]} { // the second has the same file name
		if found, err := s.FindImage(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s finds %v, %v", key, found, err)
		}
	}
}

func TestFindImageInAnEmptyStore(t *testing.T) {
	if found, err := newStore(t).FindImage(t.Context(), testKey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, %v", found, err)
	}
}

func TestFindImageErrors(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(img *Image) error
		want  error
	}{
		"image gone":      {func(img *Image) error { return os.Remove(img.Path) }, fs.ErrNotExist},
		"manifest gone":   {func(img *Image) error { return os.Remove(img.ManifestPath) }, fs.ErrNotExist},
		"broken manifest": {func(img *Image) error { return os.Truncate(img.ManifestPath, 30) }, fs.ErrNotExist},
		"cut short":       {func(img *Image) error { return os.Truncate(img.Path, 3) }, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s, img := published(t)
			if err := c.spoil(img); err != nil {
				t.Fatal(err)
			}
			if found, err := s.FindImage(t.Context(), testKey); !errors.Is(err, c.want) {
				t.Errorf("got %v, %v; want %v", found, err, c.want)
			}
		})
	}
}

func TestFindImageOfTwoNames(t *testing.T) {
	s, _ := published(t)
	m := testManifest()
	m.Name = "other"
	img, err := s.PublishImage(t.Context(), put(t, s.TempPath(testKey, "x"), content), m)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.FindImage(t.Context(), testKey)
	for _, name := range []string{"dev", "other"} {
		if id := ImageID(name, host.X86_64, testKey); err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("%v does not name %s", err, id)
		}
	}
	if found, err := s.FindContent(t.Context(), testKey); err != nil || found.Manifest.Key != testKey {
		t.Errorf("got %+v, %v; either would do", found, err)
	}
	if err := os.Remove(img.Path); err != nil { // its manifest alone is nothing
		t.Fatal(err)
	}
	if found, err := s.FindImage(t.Context(), testKey); err != nil || found.Manifest.Name != "dev" {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestFindContentIsNotDamaged(t *testing.T) {
	s, img := published(t)
	m := testManifest()
	m.Name = "other"
	if _, err := s.PublishImage(t.Context(), put(t, s.TempPath(testKey, "x"), content), m); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img.Path, 3); err != nil {
		t.Fatal(err)
	}
	if found, err := s.FindContent(t.Context(), Short(testKey)); err != nil || found.Manifest.Name != "other" {
		t.Errorf("got %+v, %v", found, err)
	}
	if _, err := s.FindImage(t.Context(), testKey); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestFindContentOfTwoKeys(t *testing.T) {
	s, _ := published(t)
	m := testManifest()
	m.Name, m.Key = "other", testKey[:12]+otherKey[12:]
	if _, err := s.PublishImage(t.Context(), put(t, s.TempPath(m.Key, "x"), content), m); err != nil {
		t.Fatal(err)
	}
	if found, err := s.FindContent(t.Context(), testKey[:12]); err == nil {
		t.Errorf("got %+v", found)
	}
	if found, err := s.FindContent(t.Context(), testKey); err != nil || found.Manifest.Name != "dev" {
		t.Errorf("got %+v, %v", found, err)
	}
	if found, err := s.FindContent(t.Context(), otherKey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %+v, %v", found, err)
	}
}
