package hosttest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// EndHolder ends whatever holds a lock file for an SSH client: the processes that have its path among their arguments,
// which only those of the test can have.
func EndHolder(t *testing.T, lock string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc here")
	}
	ended := 0
	for _, f := range files {
		if text, err := os.ReadFile(f); err != nil || !strings.Contains(string(text), lock) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err == nil {
			ended++
		}
	}
	if ended == 0 {
		t.Fatalf("no process has %q in its arguments", lock)
	}
}
