package media

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	files := map[string][]byte{
		"user-data":      []byte("#cloud-config\n" + strings.Repeat("# x\n", 2000)), // more than one sector
		"meta-data":      []byte("instance-id: i-1\n"),
		"network-config": {},
	}
	image, err := Seed(files)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if label := string(image[16*sectorSize+40:][:32]); strings.TrimRight(label, " \x00") != SeedLabel {
		t.Errorf("the volume is named %q", label)
	}
	for name, data := range files {
		if got := readBack(t, image, name); !bytes.Equal(got, data) {
			t.Errorf("%s holds %q", name, got)
		}
	}
	compareWithXorriso(t, image, files)
}

// readBack reads a file of a seed with the reader of this package.
func readBack(t *testing.T, image []byte, name string) []byte {
	t.Helper()
	v, err := openVolume(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := v.fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// compareWithXorriso asks an implementation that shares no code with ours.
func compareWithXorriso(t *testing.T, image []byte, files map[string][]byte) {
	t.Helper()
	xorriso, err := exec.LookPath("xorriso")
	if err != nil {
		t.Skip("needs xorriso")
	}
	iso, dir := filepath.Join(t.TempDir(), "seed.iso"), t.TempDir()
	if err := os.WriteFile(iso, image, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), xorriso, "-no_rc", "-indev", iso, "-osirrox", "on", "-extract", "/", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !strings.Contains(string(text), "Volume id    : '"+SeedLabel+"'") {
		t.Errorf("xorriso does not find the label: %s", text)
	}
	for name, data := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("xorriso reads %s as %q, %v", name, got, err)
		}
	}
}

func TestSeedRefusesNames(t *testing.T) {
	for _, name := range []string{"", "..", "../x", "a/b", `a\b`, ".hidden"} {
		if image, err := Seed(map[string][]byte{name: nil}); err == nil || image != nil {
			t.Errorf("%q was taken as a name", name)
		}
	}
}
