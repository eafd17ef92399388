package debtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makeUdeb packs a udeb with nothing in it into a folder.
func makeUdeb(t *testing.T, dir, file, name, arch string) {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not installed")
	}
	root := t.TempDir()
	control := "Package: " + name + "\nVersion: 1\nArchitecture: " + arch + "\nMaintainer: t <t@example.test>\nDescription: a test\n"
	if err := errors.Join(os.Mkdir(filepath.Join(root, "DEBIAN"), 0o755),
		os.WriteFile(filepath.Join(root, "DEBIAN/control"), []byte(control), 0o644)); err != nil {
		t.Fatal(err)
	}
	build := command{argv: []string{"dpkg-deb", "--build", "--root-owner-group", root, filepath.Join(dir, file)}}
	if _, err := build.output(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestOwnUdebsStandInForMissingOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeUdeb(t, dir, "partman-base.udeb", "partman-base", "arm64")
	makeUdeb(t, dir, "partman-efi.udeb", "partman-efi", "amd64")
	makeUdeb(t, dir, "grub-installer.udeb", "another", "arm64")
	b := &builder{dir: t.TempDir(), apt: &aptArchive{arch: "arm64"}, inputs: inputs{own: ownUdebs(dir)}}
	if err := os.Mkdir(filepath.Join(b.dir, overlayDir), 0o755); err != nil {
		t.Fatal(err)
	}
	missing := func(name string) stanza { return stanza{{"Package", name}} }
	entry, err := b.addOwn(t.Context(), missing("partman-base"))
	if err != nil || entry.get("Filename") != "pool/overlay/partman-base.udeb" || entry.get("SHA256") == "" || entry.get("Version") != "1" {
		t.Errorf("the index has %v, %v", entry, err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, overlayDir, "partman-base.udeb")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"partman-efi", "grub-installer"} {
		if _, err := b.addOwn(t.Context(), missing(name)); err == nil || !strings.Contains(err.Error(), "not the udeb "+name+" for arm64") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if findOwn("", "arm64") != "" || findOwn(dir, "arm64") != "" || findOwn(filepath.Dir(dir), debArch(filepath.Base(dir))) != ownUdebs(dir) {
		t.Error("the folder of an architecture is not found, or one that is not there")
	}
	if b.inputs.own.has("partman-auto") || ownUdebs("").has("partman-base") {
		t.Error("a udeb was found that is not there")
	}
}

func TestOwnUdebsArePartOfTheFingerprint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if digest, err := ownUdebs("").digest(); digest != "" || err != nil {
		t.Errorf("no folder: %q, %v", digest, err)
	}
	if _, err := ownUdebs(dir).digest(); err == nil {
		t.Error("an empty folder was accepted")
	}
	seen := map[string]bool{inputs{}.fingerprint(): true}
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, "a.udeb"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		digest, err := ownUdebs(dir).digest()
		if err != nil {
			t.Fatal(err)
		}
		got := inputs{ownDigest: digest}.fingerprint()
		if seen[got] {
			t.Errorf("%q does not change the fingerprint", text)
		}
		seen[got] = true
	}
}

func TestIncompleteMirrorIsAnErrorOnlyWithoutWhatInstalls(t *testing.T) {
	t.Parallel()
	if err := incomplete([]string{"libgtk2.0-0-udeb"}); err != nil {
		t.Error(err)
	}
	err := incomplete([]string{"libgtk2.0-0-udeb", "partman-base"})
	if err == nil || !strings.Contains(err.Error(), "lacks partman-base,") || !strings.Contains(err.Error(), UdebsEnv) {
		t.Errorf("got %v", err)
	}
}
