package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// transferWindow is how much is read and written at a time, in bytes: it fills a connection also over a long way.
const transferWindow = 4 << 20

// NewRemoteStore is NewStore on another machine than the provider's own. An ISO that is a file is one of local's
// machine, and is copied to cacheDir/isos, once for each content.
func NewRemoteStore(h host.Host, dataDir, cacheDir string, local *Store) *Store {
	s := NewStore(h, dataDir, cacheDir)
	s.local = local
	return s
}

// onProvider is the store on the provider's machine.
func (s *Store) onProvider() *Store {
	if s.local != nil {
		return s.local
	}
	return s
}

// Fetch copies an image of another store into this one, under the key's lock. A valid image of the key that is stored
// already is taken as it is, whatever its digest: a key's images are as good as each other. What has arrived of a copy
// that was cut short is gone on with. progress, when not nil, is called often with the bytes there are and will be.
// Errors: ErrCorrupt when the image is not what its manifest says; syscall.ENOSPC; host.ErrDisconnected, after which
// another Fetch goes on.
func (s *Store) Fetch(ctx context.Context, from *Store, img *Image, progress func(done, total int64)) (*Image, error) {
	got, err := s.fetch(ctx, from, img, progress)
	if err != nil {
		return nil, fmt.Errorf("cannot fetch image %s from %s: %w", img.Path, from.h.Name(), err)
	}
	return got, nil
}

func (s *Store) fetch(ctx context.Context, from *Store, img *Image, progress func(done, total int64)) (_ *Image, err error) {
	m := img.Manifest
	unlock, err := s.Lock(ctx, m.Key, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if have, err := s.Image(ctx, m.Name, m.Arch, m.Key); err == nil && s.Verify(ctx, have) == nil {
		return have, nil
	}
	dir := s.fetchDir(ImageID(m.Name, m.Arch, m.Key))
	if err := s.h.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// The digest is in the name, so that a piece of one build's image never becomes the beginning of another's.
	t := transfer{from: from.h, file: img.Path, to: s, part: path.Join(dir, m.SHA256+host.PartSuffix), want: m.SHA256, progress: progress}
	got, err := t.run(ctx)
	if err != nil {
		return nil, err
	}
	if got != m.SHA256 {
		return nil, fmt.Errorf("%w: its sha256 is %s, its manifest says %s", ErrCorrupt, got, m.SHA256)
	}
	fetched, err := s.publishImage(t.part, m)
	if err != nil {
		return nil, err
	}
	return fetched, s.h.RemoveAll(dir)
}

// fetchDir holds what has arrived of an image. It is none of the directories that Lock cleans.
func (s *Store) fetchDir(id string) string { return path.Join(s.dataDir, "fetches", id) }

// takeISO copies a file of the provider's machine to file, whose lock the caller holds.
func (s *Store) takeISO(ctx context.Context, from, file, want string, progress func(done, total int64)) error {
	t := transfer{from: s.local.h, file: from, to: s, part: file + host.PartSuffix, want: want, progress: progress}
	got, err := t.run(ctx)
	if err != nil {
		return fmt.Errorf("cannot copy it to %s: %w", s.h.Name(), err)
	}
	if got != want {
		return &ChecksumError{Want: want, Got: got, URL: from}
	}
	return host.Publish(s.h, t.part, file)
}

// transfer copies a file from one machine to another, by way of a part file that outlives an interruption.
type transfer struct {
	from     host.Files
	file     string
	to       *Store
	part     string // what has arrived so far
	want     string // the content's SHA-256, 64 hex digits
	progress func(done, total int64)
}

// run copies what is missing and returns the digest of what there is then. When that is not the one wanted, or the disk
// is full, the part file is gone.
func (t *transfer) run(ctx context.Context) (sum string, err error) {
	for again := true; again; {
		if again, err = t.copy(ctx); err == nil {
			sum, err = t.to.hash(ctx, t.part)
		}
		if err == nil && sum == t.want {
			return sum, nil
		}
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			return "", err
		}
		// A beginning that was damaged is no reason to give up: copied anew, it is right or the file itself is wrong.
		if removed := host.RemoveIfExists(t.to.h, t.part); err != nil || removed != nil {
			return "", errors.Join(err, removed)
		}
	}
	return sum, nil
}

// copy adds to the part file what it lacks, and tells whether it held something before.
func (t *transfer) copy(ctx context.Context) (resumed bool, err error) {
	src, err := t.from.OpenFile(t.file, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := t.to.h.OpenFile(t.part, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	all, err := src.Stat()
	if err != nil {
		return false, err
	}
	have, err := dst.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	missing := all.Size() - have
	if missing < 0 {
		return true, nil // it cannot be a beginning: its digest will say so
	}
	if _, err := src.Seek(have, io.SeekStart); err != nil {
		return false, err
	}
	free, err := t.to.h.Free(t.part)
	if err == nil && free < uint64(missing) {
		err = fmt.Errorf("it wants %d MiB more, %d MiB are free at %s: %w", missing>>20, free>>20, t.part, syscall.ENOSPC)
	}
	if err != nil {
		return false, err
	}
	out := &counter{w: dst, done: have, total: all.Size(), progress: t.progress}
	_, err = io.CopyBuffer(out, contextReader{ctx, src}, make([]byte, transferWindow))
	return have > 0, err
}

// counter tells how far a copy is. It hides what else its writer can do, so that a copy goes through a large buffer.
type counter struct {
	w           io.Writer
	done, total int64
	progress    func(done, total int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.done += int64(n)
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
	return n, err
}
