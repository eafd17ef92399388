package debtest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func TestISOIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("xorriso"); err != nil {
		t.Skip("xorriso is not installed")
	}
	digest := func(mode os.FileMode) string {
		t.Helper()
		dir := t.TempDir()
		tree := filepath.Join(dir, "some-tree")
		for name, text := range map[string]string{"linux": "kernel", "initrd.gz": strings.Repeat("initrd", 1000)} {
			if err := writeFile(filepath.Join(tree, name), strings.NewReader(text), mode); err != nil {
				t.Fatal(err)
			}
		}
		iso := filepath.Join(dir, "x.iso")
		if err := makeISO(t.Context(), tree, iso); err != nil {
			t.Fatal(err)
		}
		sum, err := fileSHA256(iso)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	if first, second := digest(0o644), digest(0o600); first != second {
		t.Errorf("two images of the same files differ: %s, %s", first, second)
	}
}

func TestExtractTar(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, text := range map[string]string{"./a/b": "wanted", "./c": "not", "./a/../../d": "outside"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "new/b")
	err := extractTar(&archive, func(name string) string {
		if name == "a/b" {
			return target
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "wanted" {
		t.Errorf("got %q, %v", data, err)
	}
	if err := extractTar(strings.NewReader("no archive"), func(string) string { return "" }); err == nil {
		t.Error("garbage was accepted")
	}
}

func TestPublishIsAllOrNothing(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "kit")
	broken := errors.New("broken")
	fill := func(text string, err error) func(string) error {
		return func(tmp string) error {
			return errors.Join(os.WriteFile(filepath.Join(tmp, "f"), []byte(text), 0o600), err)
		}
	}
	if err := publish(target, fill("half", broken)); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(target)); err != nil || len(entries) != 0 {
		t.Errorf("a failure left %v, %v", entries, err)
	}
	for _, text := range []string{"one", "two"} {
		if err := publish(target, fill(text, nil)); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(filepath.Join(target, "f")); err != nil || string(data) != text {
			t.Errorf("got %q, %v", data, err)
		}
	}
}

func TestKitLoadsOnlyWhatItsManifestSays(t *testing.T) {
	t.Parallel()
	k := &Kit{arch: "amd64", dir: t.TempDir()}
	if err := k.load("f"); err == nil {
		t.Error("an empty folder was taken for a kit")
	}
	iso := filepath.Join(k.dir, "debian-13-amd64-netboot.iso")
	if err := os.WriteFile(iso, []byte("image"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := digestFor(sectionSHA256, []byte("image"))
	if err := (manifest{Fingerprint: "f", SHA256: sum, Overlaid: true}).save(k.dir); err != nil {
		t.Fatal(err)
	}
	if err := k.load("other"); err == nil {
		t.Error("a kit of other inputs was taken")
	}
	if err := k.load("f"); err != nil || k.ISO != iso || k.SHA256 != sum || !k.Overlaid || k.Signed {
		t.Errorf("got %+v, %v", k, err)
	}
	if got := k.BootArgs(); !reflect.DeepEqual(got, []string{"debian-installer/allow_unauthenticated=true"}) {
		t.Errorf("boot arguments %q", got)
	}
	if got := (&Kit{}).BootArgs(); got != nil {
		t.Errorf("a complete mirror needs %q", got)
	}
	if err := os.WriteFile(iso, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.load("f"); err == nil {
		t.Error("a damaged image was taken")
	}
}

func TestInputsFingerprint(t *testing.T) {
	t.Parallel()
	base := inputs{installerVersion: "1", signedSHA256: digestFor(sectionSHA256, []byte("i")), index: []byte("i")}
	if !base.signed() {
		t.Error("the signed index is not recognised")
	}
	seen := map[string]bool{base.fingerprint(): true}
	for _, other := range []inputs{
		{installerVersion: "2", signedSHA256: base.signedSHA256, index: base.index},
		{installerVersion: "1", signedSHA256: "x", index: base.index},
		{installerVersion: "1", signedSHA256: base.signedSHA256, index: []byte("j")},
	} {
		if seen[other.fingerprint()] {
			t.Errorf("%v has another kit's fingerprint", other)
		}
		seen[other.fingerprint()] = true
	}
}

func TestCommandErrorTellsWhatHappened(t *testing.T) {
	t.Parallel()
	_, err := command{argv: []string{"cat", "/nonexistent/file"}}.output(t.Context())
	if err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (command{argv: []string{"cat"}}).output(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAptSeesOnlyItsOwnArchive(t *testing.T) {
	t.Parallel()
	base, err := url.Parse("http://example.test/debian/")
	if err != nil {
		t.Fatal(err)
	}
	a := &aptArchive{dir: "/d", arch: "arm64", mirror: base}
	argv := a.command("", "apt-get", "update").argv
	for _, want := range []string{
		"Dir::Etc::sourcelist=/d/sources.list", "Dir::Etc::sourceparts=/dev/null", "Dir::State::Lists=/d/lists",
		"Dir::State::status=/d/status", "Dir::Cache=/d/cache", "APT::Architecture=arm64", "APT::Architectures=arm64",
	} {
		if !slices.Contains(argv, want) {
			t.Errorf("%q lacks %s", argv, want)
		}
	}
	if argv[0] != "apt-get" || argv[len(argv)-1] != "update" {
		t.Errorf("got %q", argv)
	}
}

func TestArchitecturesHaveKitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	arm, err := debianArch(host.ARM64)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		arm.installer(): "debian-installer-13-netboot-arm64",
		arm.images():    "usr/lib/debian-installer/images/13/arm64/text/debian-installer/arm64",
		arm.iso():       "debian-13-arm64-netboot.iso",
		arm.index():     "dists/trixie/main/debian-installer/binary-arm64/Packages.xz",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := Prepare(t.Context(), t.TempDir(), "riscv64", nil); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("an architecture without an installer: %v", err)
	}
}
