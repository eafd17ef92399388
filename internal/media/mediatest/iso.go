// Package mediatest makes ISO images for tests.
package mediatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Files has xorriso make the image iso of files elsewhere, by the path they have on it.
func Files(t testing.TB, iso string, files map[string]string) {
	t.Helper()
	args := []string{"-as", "mkisofs", "-quiet", "-R", "-V", "TEST", "-o", iso, "-graft-points"}
	for name, file := range files {
		args = append(args, "/"+name+"="+file)
	}
	xorriso(t, args...)
}

// ISO has xorriso make an image of files by path, and returns its own path.
func ISO(t testing.TB, files map[string][]byte) string {
	t.Helper()
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
	xorriso(t, "-as", "mkisofs", "-quiet", "-R", "-V", "TEST", "-o", iso, dir)
	return iso
}

func xorriso(t testing.TB, args ...string) {
	t.Helper()
	tool, err := exec.LookPath("xorriso")
	if err != nil {
		t.Skip("needs xorriso")
	}
	if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("xorriso: %v\n%s", err, out)
	}
}
