package debtest

import (
	"crypto/md5"  //nolint:gosec // the installer's release file lists MD5 sums beside SHA-256
	"crypto/sha1" //nolint:gosec // as above, on older releases
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Sections of a release file, each a list of " DIGEST SIZE PATH" lines
// (https://wiki.debian.org/DebianRepository/Format).
const (
	sectionMD5    = "MD5Sum:"
	sectionSHA1   = "SHA1:"
	sectionSHA256 = "SHA256:"
)

// releaseDigest is the SHA-256 a release file gives for a path below its folder.
func releaseDigest(release, path string) (string, error) {
	section := ""
	for line := range strings.Lines(release) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasPrefix(line, " ") {
			section = line
			continue
		}
		words := strings.Fields(line)
		if section == sectionSHA256 && len(words) == 3 && words[2] == path {
			return words[0], nil
		}
	}
	return "", fmt.Errorf("the archive's release file has no SHA-256 for %s", path)
}

// rewriteRelease gives a release file in which path (a .xz file) has the digests and size of content. The same
// file's other forms (plain, .gz) are no longer listed, so that a reader takes this one. All other lines stay.
func rewriteRelease(release, path string, content []byte) string {
	stem := strings.TrimSuffix(path, ".xz")
	var out strings.Builder
	section := ""
	for line := range strings.Lines(release) {
		words := strings.Fields(line)
		listed := strings.HasPrefix(line, " ") && len(words) == 3
		switch {
		case listed && words[2] == path:
			fmt.Fprintf(&out, " %s %d %s\n", digestFor(section, content), len(content), path)
			continue
		case listed && (words[2] == stem || strings.HasPrefix(words[2], stem+".")):
			continue
		case !strings.HasPrefix(line, " "):
			section = strings.TrimSpace(line)
		}
		out.WriteString(line)
	}
	return out.String()
}

// digestFor is content's digest by a section's algorithm, in lower-case hex; SHA-256 for an unknown section.
func digestFor(section string, content []byte) string {
	switch section {
	case sectionMD5:
		sum := md5.Sum(content) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	case sectionSHA1:
		sum := sha1.Sum(content) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	default:
		sum := sha256.Sum256(content)
		return hex.EncodeToString(sum[:])
	}
}
