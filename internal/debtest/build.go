package debtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
)

// Names inside a kit's folder.
const (
	overlayDir = "overlay" // Packages.xz, Release and the overlay's udebs
	treeDir    = "tree"    // the image's files, removed when the image is made
)

// builder makes one kit in dir.
type builder struct {
	dir      string
	apt      *aptArchive
	http     *http.Client
	inputs   inputs
	mirrors  Mirrors
	progress func(string)
}

// build makes the image, then the overlay if the mirror needs one, then the manifest.
func (b *builder) build(ctx context.Context) error {
	initrd, err := b.unpackInstaller(ctx)
	if err != nil {
		return err
	}
	what, err := readInitrd(ctx, initrd)
	if err != nil {
		return err
	}
	b.progress("making " + b.apt.arch.iso())
	iso := filepath.Join(b.dir, b.apt.arch.iso())
	tree := filepath.Join(b.dir, treeDir)
	if err := makeISO(ctx, tree, iso); err != nil {
		return err
	}
	if err := os.RemoveAll(tree); err != nil {
		return fmt.Errorf("remove the unpacked installer: %w", err)
	}
	overlaid, err := b.overlay(ctx, what)
	if err != nil {
		return err
	}
	sum, err := fileSHA256(iso)
	if err != nil {
		return err
	}
	return manifest{
		Fingerprint: b.inputs.fingerprint(), SHA256: sum, Overlaid: overlaid, Signed: b.inputs.signed(), Own: b.inputs.ownDigest != "",
	}.save(b.dir)
}

// unpackInstaller takes kernel and initrd out of the installer package into the image's tree and gives the
// initrd's path.
func (b *builder) unpackInstaller(ctx context.Context) (string, error) {
	name := b.apt.arch.installer()
	b.progress("downloading " + name + " " + b.inputs.installerVersion)
	deb, err := b.apt.download(ctx, name, b.dir)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(filepath.Dir(deb))
	images := b.apt.arch.images()
	tree := filepath.Join(b.dir, treeDir)
	wanted := map[string]string{
		path.Join(images, "linux"):     filepath.Join(tree, "linux"),
		path.Join(images, "initrd.gz"): filepath.Join(tree, "initrd.gz"),
	}
	if err := extract(ctx, deb, func(name string) string { return wanted[name] }); err != nil {
		return "", err
	}
	for name, file := range wanted {
		if _, err := os.Stat(file); err != nil {
			return "", fmt.Errorf("the installer package has no %s: %w", name, err)
		}
	}
	return filepath.Join(tree, "initrd.gz"), nil
}

// overlay checks the mirror and writes the overlay when files are missing or the index is not the signed one; it says whether it did.
func (b *builder) overlay(ctx context.Context, what installer) (bool, error) {
	b.progress("checking the mirror's installer components")
	stanzas, err := parseIndex(b.inputs.index)
	if err != nil {
		return false, err
	}
	present, err := b.probe(ctx, what, stanzas)
	if err != nil {
		return false, err
	}
	p := what.plan(stanzas, present)
	if p.complete() && b.inputs.signed() {
		return false, nil
	}
	b.progress(fmt.Sprintf("the mirror lacks %d installer components: repacking what is needed", len(p.merge)+len(p.repack)))
	if err := os.MkdirAll(filepath.Join(b.dir, overlayDir), 0o755); err != nil {
		return false, fmt.Errorf("create the overlay: %w", err)
	}
	index, err := b.repair(ctx, what, p)
	if err != nil {
		return false, err
	}
	packed, err := packXZ([]byte(formatStanzas(index)))
	if err != nil {
		return false, err
	}
	release, err := fetch(ctx, b.http, b.mirrors.Main.JoinPath(installerRelease))
	if err != nil {
		return false, err
	}
	return true, errors.Join(
		b.writeOverlay("Packages.xz", packed),
		b.writeOverlay("Release", []byte(rewriteRelease(string(release), b.apt.arch.releaseName(), packed))),
	)
}

// repair builds the missing udebs and gives the new index. A udeb without an ordinary twin is left out.
func (b *builder) repair(ctx context.Context, what installer, p plan) ([]stanza, error) {
	index := p.keep
	var lost []string
	for _, s := range p.repack {
		name := s.get("Package")
		replace := b.repackTwin
		if b.inputs.own.has(name) {
			replace = b.addOwn
		}
		entry, err := replace(ctx, s)
		if errors.Is(err, errNoPackage) {
			lost = append(lost, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		index = append(index, entry)
	}
	if err := incomplete(lost); err != nil {
		return nil, err
	}
	if p.modules {
		b.progress("repacking the kernel modules of linux " + what.kernel)
		entry, err := b.mergeModules(ctx, what.kernel, what.provides(p))
		if err != nil {
			return nil, err
		}
		index = append(index, entry)
	}
	return index, nil
}

// writeOverlay writes one file of the overlay.
func (b *builder) writeOverlay(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(b.dir, overlayDir, name), content, 0o644); err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	return nil
}
