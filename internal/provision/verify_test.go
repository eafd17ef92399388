package provision_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/provision/provisiontest"
)

const (
	ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEngfYXMUq7FlFoxhJmfFZBOUqDEYYwKWLuN3tEaZgyO"
	begin      = "-----BEGIN SSH HOST KEY KEYS-----\r\n"
	end        = "-----END SSH HOST KEY KEYS-----\r\n"
)

func TestParseHostKeys(t *testing.T) {
	tests := map[string]struct {
		console string
		want    []string
	}{
		"none":           {"Debian GNU/Linux 13 golden ttyS0\r\n", nil},
		"one":            {"boot\r\n" + begin + ed25519Key + " root@clone\r\n" + end + "login: ", []string{ed25519Key}},
		"twice":          {begin + ed25519Key + " a\r\n" + end + begin + ed25519Key + " b\r\n" + end, []string{ed25519Key}},
		"kernel between": {begin + "[   12.3] random: crng init done\r\n" + ed25519Key + "\r\n" + end, []string{ed25519Key}},
		"garbled":        {begin + ed25519Key[:30] + "[  12.3] x\r\n" + ed25519Key[30:] + "\r\n" + end, nil},
		"outside":        {ed25519Key + "\r\n" + begin + end, nil},
		"prefix":         {"[  1.0] cloud-init: " + begin + ed25519Key + "\r\n", []string{ed25519Key}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := provision.ParseHostKeys([]byte(tc.console)); strings.Join(got, "|") != strings.Join(tc.want, "|") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzParseHostKeys(f *testing.F) {
	f.Add([]byte(begin + ed25519Key + " root@clone\r\n" + end))
	f.Fuzz(func(t *testing.T, console []byte) {
		for _, k := range provision.ParseHostKeys(console) {
			if again := provision.ParseHostKeys([]byte(begin + k + "\n" + end)); len(again) != 1 || again[0] != k {
				t.Errorf("%q is read as %q", k, again)
			}
		}
	})
}

// clone is a guest that booted with the seed.
func clone(t *testing.T, v *provision.Verification, hostname, user, status string) (*provisiontest.Server, provision.Identity) {
	t.Helper()
	id := newIdentity(t)
	s := provisiontest.Start(t, id)
	s.Authorize(seeded(t, v, "      - "))
	s.Stub("cat", `case $1 in /etc/machine-id) echo 0123456789abcdef0123456789abcdef ;; *) exec /bin/cat "$@" ;; esac`)
	s.Stub("ls", "exit 2") // neither UEFI nor a TPM
	s.Stub("hostname", "echo "+hostname)
	s.Stub("id", "echo "+user)
	s.Stub("cloud-init", status)
	return s, id
}

// seeded returns the rest of the first line of the user-data that begins so.
func seeded(t *testing.T, v *provision.Verification, begin string) string {
	t.Helper()
	for line := range strings.Lines(string(v.Seed()["user-data"])) {
		if rest, ok := strings.CutPrefix(line, begin); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("the seed has no %q", begin)
	return ""
}

func verification(t *testing.T) *provision.Verification {
	t.Helper()
	v, err := provision.NewVerification(provision.Platform{Firmware: "bios"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const done = `echo '....{"status": "done", "extended_status": "done", "detail": "DataSourceNoCloud", "errors": []}'`

func TestVerification(t *testing.T) {
	v := verification(t)
	hostname := seeded(t, v, "hostname: ")
	s, id := clone(t, v, hostname, "pimcheck", done)
	asked := 0
	console := func() ([]byte, error) {
		if asked++; asked < 3 {
			return []byte("booting\r\n" + begin), nil
		}
		return []byte("booting\r\n" + begin + id.HostKey() + "\r\n" + ed25519Key + "\r\n" + end), nil
	}
	var seen []error
	facts, err := v.Check(t.Context(), s.Dial, s.Addr, console, every, func(err error) { seen = append(seen, err) })
	if err != nil {
		t.Fatal(err)
	}
	if facts.Hostname != hostname || facts.MachineID != "0123456789abcdef0123456789abcdef" || facts.CloudInit != "done" ||
		len(facts.HostKeys) != 2 {
		t.Errorf("got %+v", facts)
	}
	if len(seen) != 1 || !strings.Contains(seen[0].Error(), "no SSH host keys") {
		t.Errorf("told of %v", seen)
	}
}

func TestVerificationFails(t *testing.T) {
	v := verification(t)
	hostname := seeded(t, v, "hostname: ")
	tests := map[string]struct{ hostname, user, status, want string }{
		"host name":       {"golden", "pimcheck", done, `the host name is "golden", the seed says "` + hostname + `"`},
		"user":            {hostname, "root", done, `the user is "root"`},
		"error":           {hostname, "pimcheck", `echo '{"status": "error", "errors": ["no disk"]}'; exit 1`, `cloud-init ended with status "error":  no disk`},
		"done with error": {hostname, "pimcheck", `echo '{"status": "done", "errors": ["late"]}'; exit 1`, "late"},
		"disabled":        {hostname, "pimcheck", `echo '{"status": "disabled", "detail": "no datasource"}'; exit 2`, `status "disabled": no datasource`},
		"no cloud-init":   {hostname, "pimcheck", "echo not found >&2; exit 127", "not found"},
		"not JSON":        {hostname, "pimcheck", "echo hello", `cannot read cloud-init's status "hello\n"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, id := clone(t, v, tc.hostname, tc.user, tc.status)
			console := func() ([]byte, error) { return []byte(begin + id.HostKey() + "\r\n" + end), nil }
			_, err := v.Check(t.Context(), s.Dial, s.Addr, console, every, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestVerificationMayHaveRecoverableErrors(t *testing.T) {
	v := verification(t)
	status := `echo '{"status": "done", "extended_status": "degraded done", "errors": [], "recoverable_errors": {"WARNING": ["x"]}}'; exit 2`
	s, id := clone(t, v, seeded(t, v, "hostname: "), "pimcheck", status)
	console := func() ([]byte, error) { return []byte(begin + id.HostKey() + "\r\n" + end), nil }
	if _, err := v.Check(t.Context(), s.Dial, s.Addr, console, every, nil); err != nil {
		t.Error(err)
	}
}

func TestVerificationEndsWithItsContext(t *testing.T) {
	v := verification(t)
	s, id := clone(t, v, "", "", done)
	errLimit := errors.New("no clone within 1s")
	tests := map[string]struct {
		console string
		faults  provisiontest.Faults
		want    string
	}{
		"no keys":      {"login: ", provisiontest.Faults{}, "no SSH host keys on the serial console"},
		"other keys":   {begin + ed25519Key + "\r\n" + end, provisiontest.Faults{}, "another system answers"},
		"user refused": {begin + id.HostKey() + "\r\n" + end, provisiontest.Faults{RefuseKey: true}, "refuses the SSH key (user pimcheck)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s.SetFaults(tc.faults)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errLimit)
			defer cancel()
			console := func() ([]byte, error) { return []byte(tc.console), nil }
			_, err := v.Check(ctx, s.Dial, s.Addr, console, every, nil)
			if !errors.Is(err, errLimit) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want the limit and %q", err, tc.want)
			}
		})
	}
	console := func() ([]byte, error) { return nil, os.ErrPermission }
	if _, err := v.Check(t.Context(), s.Dial, s.Addr, console, every, nil); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got error %v, want the console's", err)
	}
}

func TestSeed(t *testing.T) {
	v := verification(t)
	hostname := seeded(t, v, "hostname: ")
	seed := v.Seed()
	if got, want := string(seed["meta-data"]), "instance-id: "+hostname+"\nlocal-hostname: "+hostname+"\n"; got != want || len(seed) != 2 {
		t.Errorf("meta-data: got %q, want %q", got, want)
	}
	user := strings.ReplaceAll(string(seed["user-data"]), hostname, "HOSTNAME")
	golden(t, "user-data.golden", strings.ReplaceAll(user, seeded(t, v, "      - "), "KEY"))
	if seeded(t, verification(t), "hostname: ") == hostname {
		t.Error("two verifications have one host name")
	}
}
