package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// memo is the remembered digest of a file. It holds as long as the file's fingerprint is the same.
type memo struct {
	Path string `json:"path"`
	fingerprint
	SHA256 string `json:"sha256"`
}

// fingerprint changes, as good as always, when a file's content does.
type fingerprint struct {
	Size       int64     `json:"size"`
	ModifiedAt time.Time `json:"modified_at"`
	Inode      uint64    `json:"inode"` // 0 on a host that does not tell
}

func fingerprintOf(info fs.FileInfo) fingerprint {
	f := fingerprint{Size: info.Size(), ModifiedAt: info.ModTime().UTC()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Inode = st.Ino
	}
	return f
}

func (f fingerprint) equal(o fingerprint) bool {
	return f.Size == o.Size && f.Inode == o.Inode && f.ModifiedAt.Equal(o.ModifiedAt)
}

// settled is how old a modification must be for a fingerprint to be trusted: a file may be written twice within
// one tick of a coarse clock.
const settled = 2 * time.Second

// FileDigest is the SHA-256 of a file on the host as 64 hex digits, remembered below cacheDir.
func (s *Store) FileDigest(ctx context.Context, name string) (string, error) {
	info, err := s.h.Stat(name)
	if err != nil {
		return "", err
	}
	current, now := fingerprintOf(info), time.Now()
	key := sha256.Sum256([]byte(name))
	memoPath := path.Join(s.cacheDir, "digests", hex.EncodeToString(key[:8])+".json")
	if data, err := host.ReadFile(s.h, memoPath); err == nil {
		var m memo
		if json.Unmarshal(data, &m) == nil && m.Path == name && m.equal(current) {
			return m.SHA256, nil
		}
	}
	sum, err := s.hash(ctx, name)
	if err != nil {
		return "", err
	}
	if now.Sub(current.ModifiedAt) > settled {
		// A memo that cannot be written costs another reading, and is no reason to fail.
		if data, err := encode(memo{name, current, sum}); err == nil && s.h.MkdirAll(path.Dir(memoPath), 0o755) == nil {
			_ = host.WriteFile(s.h, memoPath, data, 0o644)
		}
	}
	return sum, nil
}

// hash is the SHA-256 of a file on the host. It fails when the file changes meanwhile: the digest would be that
// of a content that never was.
func (s *Store) hash(ctx context.Context, name string) (sum string, err error) {
	f, err := s.h.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.Stat()
	if err != nil {
		return "", err
	}
	if sum, err = s.sum(ctx, name, f); err != nil {
		return "", fmt.Errorf("cannot read %s: %w", name, err)
	}
	after, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !fingerprintOf(before).equal(fingerprintOf(after)) {
		return "", fmt.Errorf("cannot read %s: it changes while it is read", name)
	}
	return sum, nil
}

// sum is the digest of an open file: on another machine by a program there, which spares the file a journey, unless it
// has none.
func (s *Store) sum(ctx context.Context, name string, f io.Reader) (string, error) {
	if s.local != nil {
		sum, err := s.hashThere(ctx, name)
		if !errors.Is(err, host.ErrNotFound) {
			return sum, err
		}
	}
	d := sha256.New()
	if _, err := io.CopyBuffer(d, contextReader{ctx, f}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(d.Sum(nil)), nil
}

// contextReader makes a long reading end with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
