// Package debtest lets tests, the demo and the benchmark run a real Debian installation on any machine that
// can reach a Debian mirror, also when that mirror lacks some of the installer's components (udebs).
//
// Prepare makes an installer ISO in the netboot layout from Debian's own packages, and a Kit that knows which
// udebs the mirror lacks. Kit.Serve starts a caching proxy on loopback that an emulated guest uses as its
// package mirror. With a complete mirror the proxy changes nothing. With an incomplete one it answers with a
// repaired udeb index and with udebs repacked from the ordinary packages, and nothing else differs.
package debtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

const (
	suite   = "trixie" // also part of the installer package's name, as 13
	kitFile = "kit.json"

	// recipe is part of a kit's fingerprint: raise it when the same inputs must give another kit.
	recipe = 1

	lockPoll = 200 * time.Millisecond
)

// installerRelease is the unsigned release file the installer reads; apt and debootstrap read InRelease.
const installerRelease = "dists/" + suite + "/Release"

// Kit is a prepared installer. It is plain data, safe for concurrent use.
type Kit struct {
	// ISO is the absolute path of the installer image: /linux and /initrd.gz at its root.
	ISO string
	// SHA256 is the image's digest in lower-case hex. It depends on the installer package's version only.
	SHA256 string
	// Overlaid says that the mirror lacks udebs, so that the proxy changes the udeb index. The installer then
	// needs the parameters of BootArgs, because the changed index is not signed.
	Overlaid bool
	// Signed says that the mirror's own udeb index is the one Debian's signed release file names. Some partial
	// mirrors serve another one; the kit is then always overlaid, and its udebs are as trustworthy as the
	// mirror and the way to it: good for tests, for nothing else.
	Signed bool
	// Own says that udebs of UdebsEnv stand in for some that the mirror lacks.
	Own bool

	arch    debArch
	dir     string // the kit's folder
	pool    string // the cache of package files, shared by all kits
	mirrors Mirrors
	proxy   *url.URL // the machine's own proxy for plain http, nil for none
}

// manifest is what kit.json keeps of a Kit.
type manifest struct {
	Fingerprint string `json:"fingerprint"`
	SHA256      string `json:"sha256"`
	Overlaid    bool   `json:"overlaid"`
	Signed      bool   `json:"signed"`
	Own         bool   `json:"own,omitempty"`
}

// BootArgs are the kernel command line parameters an installation through Serve needs: none with a complete
// mirror, else the one that lets the installer accept the repaired, unsigned index.
func (k *Kit) BootArgs() []string {
	if !k.Overlaid {
		return nil
	}
	return []string{"debian-installer/allow_unauthenticated=true"}
}

// Prepare makes the kit of an architecture in dir, or finds it there: a second call asks the mirror only whether the
// installer package or the udeb index changed. Kits of several architectures can be in one dir; any machine can make
// them. progress gets one line per stage and may be nil. Processes that prepare in the same dir wait for each other. A
// kit appears under its final name only when it is complete.
//
// The mirror is the machine's own (see FindMirrors); UdebsEnv helps out with udebs it lacks. It needs apt-get, dpkg-deb,
// cpio and xorriso.
func Prepare(ctx context.Context, dir string, arch host.Arch, progress func(string)) (*Kit, error) {
	if progress == nil {
		progress = func(string) {}
	}
	deb, err := debianArch(arch)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("debtest folder: %w", err)
	}
	mirrors, err := FindMirrors(os.DirFS("/"), os.Getenv)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the debtest folder: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("wait for another preparation in %s: %w", dir, err)
	}
	defer func() { _ = lock.Unlock() }()
	return prepareLocked(ctx, dir, deb, mirrors, progress)
}

// prepareLocked is Prepare with the folder's lock held.
func prepareLocked(ctx context.Context, dir string, arch debArch, mirrors Mirrors, progress func(string)) (*Kit, error) {
	progress("reading Debian 13's package lists for " + string(arch))
	apt := &aptArchive{dir: filepath.Join(dir, "apt-"+string(arch)), arch: arch, mirror: mirrors.Main}
	if err := apt.update(ctx); err != nil {
		return nil, err
	}
	client := newHTTP(apt.proxy)
	in, err := readInputs(ctx, apt, client)
	if err != nil {
		return nil, err
	}
	if !in.signed() {
		progress("WARNING: the mirror's udeb index is not the one Debian signed; its udebs are used unverified, for tests only")
	}
	kit := &Kit{
		arch:    arch,
		dir:     filepath.Join(dir, "kit-"+in.fingerprint()[:16]),
		pool:    filepath.Join(dir, "pool"),
		mirrors: mirrors,
		proxy:   apt.proxy,
	}
	if err := kit.load(in.fingerprint()); err == nil {
		progress("the prepared installer is up to date: " + kit.ISO)
		return kit, nil
	}
	if err := publish(kit.dir, func(tmp string) error {
		b := &builder{dir: tmp, apt: apt, http: client, inputs: in, mirrors: mirrors, progress: progress}
		return b.build(ctx)
	}); err != nil {
		return nil, err
	}
	if err := kit.load(in.fingerprint()); err != nil {
		return nil, err
	}
	progress("the installer is ready: " + kit.ISO)
	return kit, nil
}

// inputs is all that decides what a kit contains, apart from which files the mirror lacks.
type inputs struct {
	installerVersion string // of the installer package
	signedSHA256     string // of the udeb index, from the signed release file
	index            []byte // the udeb index as the mirror serves it, packed
	own              ownUdebs
	ownDigest        string // of own, "" for none
}

// signed says whether the served index is the one the release file names.
func (in inputs) signed() bool { return digestFor(sectionSHA256, in.index) == in.signedSHA256 }

// fingerprint names the kit made of these inputs.
func (in inputs) fingerprint() string {
	text := fmt.Appendf(nil, "%d\n%s\n%s\n%s\n", recipe, in.installerVersion, in.signedSHA256, digestFor(sectionSHA256, in.index))
	if in.ownDigest != "" {
		text = fmt.Appendf(text, "%s\n", in.ownDigest)
	}
	return digestFor(sectionSHA256, text)
}

// readInputs asks the archive for the inputs; apt's lists must be up to date.
func readInputs(ctx context.Context, apt *aptArchive, client *http.Client) (inputs, error) {
	version, err := apt.version(ctx, apt.arch.installer())
	if err != nil {
		return inputs{}, err
	}
	digest, err := apt.digest(apt.arch.releaseName())
	if err != nil {
		return inputs{}, err
	}
	index, err := fetch(ctx, client, apt.mirror.JoinPath(apt.arch.index()))
	if err != nil {
		return inputs{}, err
	}
	own := findOwn(os.Getenv(UdebsEnv), apt.arch)
	ownDigest, err := own.digest()
	if err != nil {
		return inputs{}, err
	}
	return inputs{installerVersion: version, signedSHA256: digest, index: index, own: own, ownDigest: ownDigest}, nil
}

// load fills the kit from its folder. It is an error when the folder is missing, incomplete, or of another
// fingerprint, and when the image's digest is not what the manifest says.
func (k *Kit) load(fingerprint string) error {
	data, err := os.ReadFile(filepath.Join(k.dir, kitFile))
	if err != nil {
		return fmt.Errorf("read the kit's manifest: %w", err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read the kit's manifest: %w", err)
	}
	iso := filepath.Join(k.dir, k.arch.iso())
	sum, err := fileSHA256(iso)
	if err != nil {
		return err
	}
	if m.Fingerprint != fingerprint || m.SHA256 != sum {
		return errors.New("the kit's files do not match its manifest")
	}
	k.ISO, k.SHA256, k.Overlaid, k.Signed, k.Own = iso, sum, m.Overlaid, m.Signed, m.Own
	return nil
}

// save writes the manifest; the kit is complete with it.
func (m manifest) save(dir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write the kit's manifest: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, kitFile), data, 0o644); err != nil {
		return fmt.Errorf("write the kit's manifest: %w", err)
	}
	return nil
}

// publish lets fill write a folder under a temporary name beside target, and renames it to target when fill
// succeeded. What was at target before is replaced. The caller holds a lock on the parent.
func publish(target string, fill func(tmp string) error) error {
	parent := filepath.Dir(target)
	leftovers, err := filepath.Glob(filepath.Join(parent, "tmp-*"))
	if err != nil {
		return fmt.Errorf("look for an earlier preparation's leftovers: %w", err)
	}
	for _, path := range append(leftovers, target) {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove what an earlier preparation left: %w", err)
		}
	}
	tmp, err := os.MkdirTemp(parent, "tmp-")
	if err != nil {
		return fmt.Errorf("prepare in %s: %w", parent, err)
	}
	if err := fill(tmp); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Rename(tmp, target); err != nil {
		return errors.Join(fmt.Errorf("publish %s: %w", target, err), os.RemoveAll(tmp))
	}
	return nil
}

// fileSHA256 is the digest of a file's content in lower-case hex.
func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("digest of %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
