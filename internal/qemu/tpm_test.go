package qemu

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// needSwtpm skips a test where swtpm is not installed. In CI it is.
func needSwtpm(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(tpmBinary); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("swtpm is not installed")
	}
	t.Skip("swtpm is not installed; `make setup` installs it")
}

// withTPM gives a machine a running TPM.
func withTPM(t *testing.T, h host.Host, m *Machine) *TPM {
	t.Helper()
	m.TPMSocket = filepath.Join(filepath.Dir(m.QMPSocket), "tpm.sock")
	tpm, err := StartTPM(t.Context(), h, m.TPMSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tpm.End(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return tpm
}

// QEMU takes the TPM, on both boards, and swtpm ends with it: nobody has to look for it when a provider was killed.
func TestTPM(t *testing.T) {
	needSwtpm(t)
	for _, arch := range host.Arches {
		t.Run(string(arch), func(t *testing.T) {
			h, m := efiMachine(t, arch, UEFI)
			tpm := withTPM(t, h, &m)
			vm, err := Start(t.Context(), h, m)
			if err != nil {
				t.Fatal(err)
			}
			defer kill(t, vm)
			got, err := vm.mon.run(t.Context(), []byte(`{"execute":"query-tpm"}`))
			if err != nil || !strings.Contains(string(got), `"type": "emulator"`) || !strings.Contains(string(got), `"model": "tpm-tis`) {
				t.Errorf("query-tpm: %s, %v", got, err)
			}
			kill(t, vm)
			<-tpm.proc.Done()
		})
	}
}

// A swtpm to which no QEMU came is found by its socket.
func TestEndTPMAt(t *testing.T) {
	needSwtpm(t)
	onEachHost(t, func(t *testing.T, h host.Host) {
		m := Machine{QMPSocket: filepath.Join(shortDir(t), "qmp")}
		tpm := withTPM(t, h, &m)
		if err := EndTPMAt(t.Context(), h, m.TPMSocket); err != nil {
			t.Fatal(err)
		}
		<-tpm.proc.Done()
		if err := EndTPMAt(t.Context(), h, m.TPMSocket); err == nil {
			t.Error("there is another")
		}
	})
}

func TestStartTPMFails(t *testing.T) {
	for name, c := range map[string]struct {
		h      host.Host
		socket string
		says   string
	}{
		"not installed": {noPrograms{host.NewLocal()}, "/tmp/x/tpm.sock", "install the package swtpm (Debian"},
		"long path":     {host.NewLocal(), "/tmp/" + strings.Repeat("x", 120) + "/tpm.sock", "longer than 103 bytes"},
	} {
		if _, err := StartTPM(t.Context(), c.h, c.socket); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	needSwtpm(t)
	_, err := StartTPM(t.Context(), host.NewLocal(), filepath.Join(shortDir(t), "missing", "tpm.sock"))
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("got %v, want swtpm's own words", err)
	}
}

// noPrograms is a host without any.
type noPrograms struct{ host.Host }

func (noPrograms) LookPath(name string) (string, error) { return programs{}.LookPath(name) }

// shortDir is a directory in whose path a socket has room.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pim-tpm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
