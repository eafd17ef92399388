// Package qemutest helps tests that run the real QEMU.
package qemutest

import (
	"os"
	"os/exec"
	"testing"
)

// Need skips a test where QEMU is not installed. In CI it is, so there its absence is a failure.
func Need(t testing.TB) {
	t.Helper()
	for _, name := range []string{"qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed; `make setup` installs it", name)
	}
}
