package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

const registryByHand = `# kept by hand
images:
  developer:
    arm64:
      path: /old/developer.qcow2
      built_at: 2025-01-27T10:00:00Z # a Monday
      cache_key: abc123
      profile: developer
      iso: debian-13.3.0-arm64-netinst
      note: mine
  other:
deployments:
  developer:
    proxmox-sg:
      type: template
      template_id: 9000
      deployed_at: 2025-01-27T11:00:00Z
    aws-sg: {type: ami, ami_id: ami-abc123}
version: 7
`

func registryImage(name string, arch host.Arch, key string) *Image {
	return &Image{Path: "/data/" + name + ".qcow2", Manifest: Manifest{
		Name: name, Arch: arch, Key: key, Profile: "developer", ISO: "debian-13",
		BuiltAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}}
}

func readRegistry(t *testing.T, s *Store) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dataDir, "registry.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRegistry(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	put(t, s.registryPath(), registryByHand)
	digits := strings.Repeat("1234567890", 7)[:64] // a key that looks like a number stays text
	for _, img := range []*Image{
		registryImage("developer", host.ARM64, testKey),
		registryImage("developer", host.X86_64, digits),
		registryImage("other", host.X86_64, testKey),
		registryImage("on", host.X86_64, testKey), // a boolean to other readers of YAML
	} {
		if err := s.RegisterImage(ctx, img); err != nil {
			t.Fatal(err)
		}
	}
	expectGolden(t, "registry.yml", []byte(readRegistry(t, s)))

	stale := registryImage("developer", host.X86_64, otherKey)
	if err := s.DeleteImage(ctx, stale.Manifest.Name, stale.Manifest.Arch, stale.Manifest.Key); err != nil {
		t.Fatal(err)
	}
	expectGolden(t, "registry.yml", []byte(readRegistry(t, s)))
	for _, img := range []*Image{registryImage("developer", host.X86_64, digits), registryImage("other", host.X86_64, testKey)} {
		if err := s.DeleteImage(ctx, img.Manifest.Name, img.Manifest.Arch, img.Manifest.Key); err != nil {
			t.Fatal(err)
		}
	}
	expectGolden(t, "registry_deleted.yml", []byte(readRegistry(t, s)))
}

func TestRegistryFromNothing(t *testing.T) {
	s := newStore(t)
	if err := s.RegisterImage(t.Context(), registryImage("dev", host.X86_64, testKey)); err != nil {
		t.Fatal(err)
	}
	expectGolden(t, "registry_new.yml", []byte(readRegistry(t, s)))
}

func TestRegistryLeavesWhatItCannotRead(t *testing.T) {
	for name, text := range map[string]string{
		"no yaml":    "images: [",
		"a list":     "- images\n",
		"a scalar":   "images\n",
		"wrong type": "images:\n  dev: 7\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			put(t, s.registryPath(), text)
			err := s.RegisterImage(t.Context(), registryImage("dev", host.X86_64, testKey))
			if err == nil || !strings.Contains(err.Error(), "registry.yml") {
				t.Errorf("got %v", err)
			}
			if got := readRegistry(t, s); got != text {
				t.Errorf("it now holds %q", got)
			}
		})
	}
}

func TestRegistryConcurrently(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	for i := range 10 {
		other := NewStore(host.NewLocal(), s.dataDir, s.cacheDir)
		wg.Go(func() {
			if err := other.RegisterImage(t.Context(), registryImage(fmt.Sprintf("dev%d", i), host.X86_64, testKey)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 10 {
		if name := fmt.Sprintf("  dev%d:", i); !strings.Contains(readRegistry(t, s), name) {
			t.Errorf("%s was lost", name)
		}
	}
}
