package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// ErrCorrupt is wrapped when something is stored under a key but is not what was published.
var ErrCorrupt = errors.New("damaged")

// Store keeps images, layers and downloads on one host, which it only touches through the Host interface. All
// methods are safe for concurrent use; those that change what a key stands for want the key's Lock held.
type Store struct {
	h        host.Host
	dataDir  string
	cacheDir string
	local    *Store // the one on the provider's machine, nil when this is it

	client  *http.Client
	backoff time.Duration // before the first retry of a download; doubled after each
	idle    time.Duration // a download that brings nothing for so long is broken
}

// NewStore returns the store in dataDir (images, layers, builds, registry.yml) and cacheDir (what can be fetched
// again). Both are absolute paths on h and are made when first written to.
func NewStore(h host.Host, dataDir, cacheDir string) *Store {
	return &Store{h: h, dataDir: dataDir, cacheDir: cacheDir, client: &http.Client{}, backoff: time.Second, idle: time.Minute}
}

func (s *Store) imagesDir() string { return path.Join(s.dataDir, "cache", "images") }

func (s *Store) layersDir() string { return path.Join(s.dataDir, "layers") }

func (s *Store) locksDir() string { return path.Join(s.dataDir, "locks") }

// BuildDir is where a build of key keeps its logs and its working disks. The caller makes it, with mode 0700.
func (s *Store) BuildDir(key string) string { return path.Join(s.dataDir, "builds", Short(key)) }

// TempPath is an unfinished file of the build that holds key's lock, on the file system of the stored images;
// name tells its files apart. What a dead build leaves there is removed by the next Lock of the key.
func (s *Store) TempPath(key, name string) string {
	return path.Join(s.imagesDir(), Short(key)+"."+name+host.PartSuffix)
}

// Lock makes the caller the only one, in any process, to build key. It waits until the lock is free or ctx ends;
// waiting, when not nil, is called once before the first wait. It then makes the store's directories and removes
// the unfinished files of builds that died.
func (s *Store) Lock(ctx context.Context, key string, waiting func()) (unlock func() error, err error) {
	if err := checkNames(key); err != nil {
		return nil, fmt.Errorf("cannot lock a build: %w", err)
	}
	if err := s.makeDirs(); err != nil {
		return nil, err
	}
	unlock, err = s.h.Lock(ctx, path.Join(s.locksDir(), key+".lock"), waiting)
	if err != nil {
		return nil, err
	}
	if err := s.removeLeftovers(key); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// Held tells whether the locks of keys are still ours, by asking: another machine may have given them up while the
// connection was lost, or this one slept.
func (s *Store) Held(ctx context.Context, keys ...string) (bool, error) {
	remote, ok := s.h.(host.Remote)
	if !ok {
		return true, nil
	}
	if err := remote.KeepLocks(ctx); err != nil {
		return false, fmt.Errorf("cannot look after the locks: %w", err)
	}
	return !slices.ContainsFunc(keys, func(key string) bool {
		return !remote.Held(path.Join(s.locksDir(), key+".lock"))
	}), nil
}

// TrySlot takes the n-th of the store's build slots, counted from 0; nil when somebody has it, in any process on any
// machine that builds into this store.
func (s *Store) TrySlot(ctx context.Context, n int) (release func() error, err error) {
	if err := s.makeDirs(); err != nil {
		return nil, err
	}
	try, cancel := context.WithCancel(ctx)
	defer cancel()
	taken := false
	release, err = s.h.Lock(try, path.Join(s.locksDir(), fmt.Sprintf("slot-%d.lock", n)), func() {
		taken = true
		cancel()
	})
	if taken && err != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return nil, nil
	}
	return release, err
}

func (s *Store) makeDirs() error {
	// Layers hold the key that opens a build's guest, logs whatever scripts print: nobody else's business.
	for _, d := range []struct {
		dir  string
		mode fs.FileMode
	}{{s.dataDir, 0o755}, {s.imagesDir(), 0o755}, {s.layersDir(), 0o700}, {s.locksDir(), 0o755}} {
		if err := s.h.MkdirAll(d.dir, d.mode); err != nil {
			return fmt.Errorf("cannot make the store's directory: %w", err)
		}
	}
	return nil
}

// removeLeftovers removes the unfinished files of key: the holder of its lock knows that nobody writes them.
func (s *Store) removeLeftovers(key string) error {
	for _, dir := range []string{s.imagesDir(), s.layersDir(), s.BuildDir(key)} {
		infos, err := s.h.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot look for what a dead build left: %w", err)
		}
		for _, info := range infos {
			name := info.Name()
			ours := dir == s.BuildDir(key) || strings.Contains(name, Short(key))
			if !ours || !strings.HasSuffix(name, host.PartSuffix) {
				continue
			}
			if err := host.RemoveIfExists(s.h, path.Join(dir, name)); err != nil {
				return fmt.Errorf("cannot remove what a dead build left: %w", err)
			}
		}
	}
	return nil
}

// validName is what may become a file's name: no separators, no hidden files, nothing a shell would mind.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// CheckName tells whether name can name an image: letters, digits, dot, dash and underscore, a letter or digit
// first, at most 200.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%q is not a usable name: use letters, digits, '.', '-' and '_', beginning with a letter or digit", name)
	}
	return nil
}

func checkNames(names ...string) error {
	for _, n := range names {
		if err := CheckName(n); err != nil {
			return err
		}
	}
	return nil
}
