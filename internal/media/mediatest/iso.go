// Package mediatest makes ISO images for tests.
package mediatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ISO has xorriso make an image of files by path, and returns its own path.
func ISO(t testing.TB, files map[string][]byte) string {
	t.Helper()
	xorriso, err := exec.LookPath("xorriso")
	if err != nil {
		t.Skip("needs xorriso")
	}
	dir, iso := t.TempDir(), filepath.Join(t.TempDir(), "test.iso")
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), xorriso, "-as", "mkisofs", "-quiet", "-R", "-V", "TEST", "-o", iso, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("xorriso: %v\n%s", err, out)
	}
	return iso
}
