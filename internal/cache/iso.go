package cache

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// ISO is an installer image, or a disk image to begin with, and where it is to be had. Path, or a URL that is a file:// URL or an absolute path,
// names a file on the provider's machine. There it is used where it is; a remote store takes a copy.
type ISO struct {
	Name        string // in the catalog, for messages
	URL         string
	Path        string
	SHA256      string // 64 hex digits, with or without "sha256:" before them
	ChecksumURL string // of a SHA256SUMS file, used when SHA256 is empty
	Filename    string // the ISO's line in that file; "" for the last element of URL or Path
	Kind        string // what messages call it, "" for "ISO"
}

// ErrNoChecksum is wrapped when nothing says which content a download must have.
var ErrNoChecksum = errors.New("it has no checksum")

// ChecksumError is an ISO with another content than it should have. A download with that fault is removed, so
// that the next run fetches it again; a file of the user's is left alone.
type ChecksumError struct {
	Want, Got string // 64 hex digits
	URL       string // or path
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: wrong checksum: its sha256 is %s, expected %s", e.URL, e.Got, e.Want)
}

// ISODigest is the SHA-256 of an ISO as 64 hex digits. It never downloads the ISO: the digest is the catalog's
// checksum, else the ISO's line of the SHA256SUMS file at ChecksumURL, else computed from a file and
// remembered until that changes. Errors: ErrNoChecksum, *StatusError, fs.ErrNotExist.
func (s *Store) ISODigest(ctx context.Context, iso ISO) (string, error) {
	sum, err := s.isoDigest(ctx, iso)
	if err != nil {
		return "", fmt.Errorf("cannot tell the checksum of %s: %w", iso.what(), err)
	}
	return sum, nil
}

func (s *Store) isoDigest(ctx context.Context, iso ISO) (string, error) {
	if iso.SHA256 != "" {
		return parseSHA256(iso.SHA256)
	}
	file, local, err := iso.local()
	if err != nil {
		return "", err
	}
	switch {
	case iso.ChecksumURL != "":
		sums, err := s.fetchSmall(ctx, iso.ChecksumURL)
		if err != nil {
			return "", err
		}
		sum, err := findSum(sums, iso.filename())
		if err != nil {
			return "", fmt.Errorf("%s: %w", redact(iso.ChecksumURL), err)
		}
		return sum, nil
	case local:
		return s.onProvider().FileDigest(ctx, file)
	default:
		return "", fmt.Errorf("%w: set its sha256 or the URL of a SHA256SUMS file", ErrNoChecksum)
	}
}

// EnsureISO returns the path on the host of the ISO's file, verified against ISODigest. A file that is here is used
// where it is; anything else is downloaded to cacheDir/isos, once for any number of callers in any number of
// processes, and a download that was cut short goes on where it ended. A remote machine downloads by itself where it can.
// progress, when not nil, is called often from
// one goroutine with the bytes there are and the bytes there will be, 0 when the server does not say. Errors:
// *ChecksumError, *StatusError, syscall.ENOSPC, and those of ISODigest.
func (s *Store) EnsureISO(ctx context.Context, iso ISO, progress func(done, total int64)) (string, error) {
	file, err := s.ensureISO(ctx, iso, progress)
	if err != nil {
		return "", fmt.Errorf("cannot get %s: %w", iso.what(), err)
	}
	return file, nil
}

func (s *Store) ensureISO(ctx context.Context, iso ISO, progress func(done, total int64)) (string, error) {
	want, err := s.isoDigest(ctx, iso)
	if err != nil {
		return "", err
	}
	source, local, err := iso.local()
	if err != nil {
		return "", err
	}
	if local && s.local == nil {
		got, err := s.FileDigest(ctx, source)
		if err == nil && got != want {
			err = &ChecksumError{Want: want, Got: got, URL: source}
		}
		return source, err
	}
	if local {
		if done, err := s.inPlace(ctx, source, want); done || err != nil {
			return source, err
		}
	}
	// The digest is in the name, so that two ISOs of one file name, or two versions of one, get along.
	dir := path.Join(s.cacheDir, "isos")
	file := path.Join(dir, Short(want)+"-"+safeFilename(iso.filename()))
	if err := s.h.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the download directory: %w", err)
	}
	unlock, err := s.h.Lock(ctx, file+".lock", nil)
	if err != nil {
		return "", err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process in any case
	switch got, err := s.FileDigest(ctx, file); {
	case err == nil && got == want:
		return file, nil
	case err == nil:
		if err := host.RemoveIfExists(s.h, file); err != nil {
			return "", fmt.Errorf("cannot replace a damaged download: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if local {
		return file, s.takeISO(ctx, source, file, want, progress)
	}
	d := download{Store: s, url: iso.URL, file: file, part: file + host.PartSuffix, progress: progress}
	if s.local != nil {
		if there, err := d.runThere(ctx, want); there || err != nil {
			return file, err
		}
	}
	return file, d.run(ctx, want)
}

func (i ISO) what() string { return fmt.Sprintf("%s %q", cmp.Or(i.Kind, "ISO"), i.Name) }

// local is the path of an ISO that is a file on the provider's machine.
func (i ISO) local() (file string, ok bool, err error) {
	file = i.Path
	if file == "" {
		u, err := url.Parse(i.URL)
		switch {
		case i.URL == "":
			return "", false, errors.New("it has neither a url nor a path")
		case err != nil:
			return "", false, errors.New("its url is malformed") // the error would quote all of it
		case u.Scheme == "http" || u.Scheme == "https":
			return "", false, nil
		case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost"):
			file = u.Path
		case u.Scheme == "":
			file = i.URL
		default:
			return "", false, fmt.Errorf("its url begins with %q: use https, http, file or an absolute path", u.Scheme+"://"+u.Host)
		}
	}
	if !path.IsAbs(file) {
		return "", false, fmt.Errorf("its path %q is not absolute", file)
	}
	return file, true, nil
}

// filename is the ISO's name in a SHA256SUMS file.
func (i ISO) filename() string {
	switch {
	case i.Filename != "":
		return i.Filename
	case i.Path != "":
		return path.Base(i.Path)
	}
	if u, err := url.Parse(i.URL); err == nil {
		return path.Base(u.Path)
	}
	return path.Base(i.URL)
}

// safeFilename is a name that stays in its directory; the digest before it already makes it unique.
func safeFilename(name string) string {
	if name = path.Base(name); CheckName(name) != nil {
		return "installer.iso"
	}
	return name
}

// parseSHA256 accepts what catalogs write: "sha256:" and hex digits of either case.
func parseSHA256(text string) (string, error) {
	sum := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(text), "sha256:"))
	if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
		return "", fmt.Errorf("%q is not a sha256 checksum: write 64 hex digits", text)
	}
	return sum, nil
}

// findSum finds the digest of filename in the output of sha256sum: "HASH  NAME" or, for binary mode, "HASH *NAME".
// A list of another algorithm, or one that disagrees with itself, gives an error, never a guess.
func findSum(sums []byte, filename string) (string, error) {
	found := ""
	lines := bufio.NewScanner(bytes.NewReader(sums))
	for lines.Scan() {
		hash, name, ok := strings.Cut(lines.Text(), " ")
		if !ok || name == "" || (name[0] != ' ' && name[0] != '*') {
			continue
		}
		if strings.TrimPrefix(strings.TrimRight(name[1:], "\r"), "./") != filename {
			continue
		}
		sum, err := parseSHA256(hash)
		if err != nil {
			return "", err
		}
		if found != "" && found != sum {
			return "", fmt.Errorf("two different checksums of %q", filename)
		}
		found = sum
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	if found == "" {
		return "", fmt.Errorf("no checksum of %q in it", filename)
	}
	return found, nil
}
