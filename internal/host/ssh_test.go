package host_test

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/host/hosttest"
)

func TestSSH(t *testing.T) {
	s := hosttest.StartSSHD(t)
	h := s.Connect(t)
	hosttest.Run(t, func(*testing.T) host.Host { return h })
}

// dialSSH connects with some settings changed.
func dialSSH(t *testing.T, c host.SSHConfig) *host.SSH {
	t.Helper()
	h, err := host.DialSSH(bounded(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// bounded is a context that only a defect lets end.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// within fails when something takes a minute.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// begun runs a command that says its process id, and returns what Run returns later, and that id.
func begun(t *testing.T, h host.Host, script string) (<-chan error, string) {
	t.Helper()
	r, w := io.Pipe()
	result := make(chan error, 1)
	go func() {
		result <- h.Run(t.Context(), host.Cmd{Argv: []string{"sh", "-c", "echo $$; " + script}, Stdout: w})
	}()
	b := make([]byte, 16)
	n, err := r.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r) //nolint:errcheck // ends with the test
	return result, strings.TrimSpace(string(b[:n]))
}

// lives tells whether there is such a process, other than a zombie.
func lives(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func needProc(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc")
	}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: never", what)
		}
	}
}
