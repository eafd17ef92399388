package debtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// keyring is where Debian's own package debian-archive-keyring puts the archive's keys.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// errNoPackage says that the archive has no package of that name.
var errNoPackage = errors.New("no such package in the archive")

// aptArchive is the Debian 13 archive seen through apt with its own source list, lists, cache and (empty)
// package database in dir, so that the machine's own suite, packages and pins neither matter nor change.
type aptArchive struct {
	dir    string
	arch   debArch
	mirror *url.URL
	proxy  *url.URL // the machine's own proxy for http, by apt's configuration; nil for none, set by update
}

// options are apt's options for the private archive. The machine's other settings (proxy, retries) stay valid.
func (a *aptArchive) options() []string {
	values := []string{
		"Dir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"),
		"Dir::Etc::sourceparts=/dev/null",
		"Dir::Etc::preferences=/dev/null",
		"Dir::Etc::preferencesparts=/dev/null",
		"Dir::State=" + a.dir,
		"Dir::State::Lists=" + filepath.Join(a.dir, "lists"),
		"Dir::State::status=" + filepath.Join(a.dir, "status"),
		"Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"Dir::Cache::pkgcache=pkgcache.bin", // container images switch these off, and every call parses the lists anew
		"Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"APT::Architecture=" + string(a.arch),
		"APT::Architectures=" + string(a.arch),
		"APT::Sandbox::User=root",
		"Acquire::Languages=none",
	}
	var argv []string
	for _, v := range values {
		argv = append(argv, "-o", v)
	}
	return argv
}

// command is an apt program with the private archive's options.
func (a *aptArchive) command(dir, program string, args ...string) command {
	return command{argv: append(append([]string{program}, a.options()...), args...), dir: dir}
}

// update reads the archive's current package lists; apt verifies their signature.
func (a *aptArchive) update(ctx context.Context) error {
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return fmt.Errorf("prepare apt's folders: %w", err)
		}
	}
	files := map[string]string{
		"sources.list": fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, a.mirror, suite),
		"status":       "",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("prepare apt's folders: %w", err)
		}
	}
	if _, err := a.command("", "apt-get", "-q", "update").output(ctx); err != nil {
		return fmt.Errorf("read the Debian 13 package lists: %w", err)
	}
	out, err := a.command("", "apt-config", "dump", "--no-empty", "--format", "%v%n", "Acquire::http::Proxy").output(ctx)
	if err != nil {
		return fmt.Errorf("read apt's proxy setting: %w", err)
	}
	if u, err := url.Parse(strings.TrimSpace(string(out))); err == nil && u.Host != "" {
		a.proxy = u
	}
	return nil
}

// version is the newest version of a package in the lists update fetched. Without such a package the error
// wraps errNoPackage. The name is exact: apt-get itself would take one with a dot or a plus for a pattern.
func (a *aptArchive) version(ctx context.Context, name string) (string, error) {
	out, err := a.command("", "apt-cache", "show", "--no-all-versions", name).output(ctx)
	if err != nil {
		if failed := new(commandError); errors.As(err, &failed) && strings.Contains(failed.stderr, "No packages found") {
			err = fmt.Errorf("%w (%w)", errNoPackage, err)
		}
		return "", fmt.Errorf("look for the package %s: %w", name, err)
	}
	for _, p := range parseStanzas(string(out)) {
		if p.get("Package") == name && p.get("Version") != "" {
			return p.get("Version"), nil
		}
	}
	return "", fmt.Errorf("look for the package %s: %w", name, errNoPackage)
}

// digest is the SHA-256 the signed release file gives for a path below its folder.
func (a *aptArchive) digest(path string) (string, error) {
	release, err := a.inRelease()
	if err != nil {
		return "", err
	}
	return releaseDigest(release, path)
}

// inRelease is the text of the release file whose signature apt verified.
func (a *aptArchive) inRelease() (string, error) {
	found, err := filepath.Glob(filepath.Join(a.dir, "lists", "*_dists_"+suite+"_InRelease"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("apt kept %d of them for %s, want 1", len(found), suite)
	}
	if err != nil {
		return "", fmt.Errorf("find the signed release file: %w", err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		return "", fmt.Errorf("read the signed release file: %w", err)
	}
	return string(data), nil
}

// download fetches an ordinary package into a new folder below into and gives its file's path; the caller
// removes the folder. Without such a package the error wraps errNoPackage.
func (a *aptArchive) download(ctx context.Context, name, into string) (string, error) {
	version, err := a.version(ctx, name)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(into, "deb-")
	if err != nil {
		return "", fmt.Errorf("download %s: %w", name, err)
	}
	_, err = a.command(dir, "apt-get", "-q", "download", name+"="+version).output(ctx)
	if err != nil {
		return "", errors.Join(fmt.Errorf("download %s: %w", name, err), os.RemoveAll(dir))
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("apt left %d packages, want 1", len(found))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("download %s: %w", name, err), os.RemoveAll(dir))
	}
	return found[0], nil
}
