package provision

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// verifyUser is the account a verification's seed makes.
const verifyUser = "pimcheck"

// Verification is the first boot of an image as its users will boot it, with a NoCloud seed, and the proof that
// cloud-init did what the seed says. Each one has a key and a host name of its own.
type Verification struct {
	id       Identity // only the client key is used: the image makes its own host keys
	hostname string
	platform Platform
}

// Platform is what a machine shows the system in it.
type Platform struct {
	Firmware string // "bios", "uefi", or "uefi-secure": Secure Boot is in force
	TPM      bool
}

// Facts are what a verified boot showed.
type Facts struct {
	MachineID string   // 32 hex digits
	HostKeys  []string // lines "type base64", sorted
	Hostname  string
	CloudInit string // cloud-init's final status, "done"
	Platform  Platform
}

// NewVerification makes a fresh key and host name, to check that an image boots on a platform.
func NewVerification(on Platform) (*Verification, error) {
	id, err := NewIdentity()
	if err != nil {
		return nil, err
	}
	return &Verification{id, "pim-verify-" + strings.ToLower(rand.Text()[:8]), on}, nil
}

// Format keeps the key out of every print.
func (v Verification) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "provision.Verification{REDACTED}")
}

// LogValue keeps the key out of logs.
func (v Verification) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Markers of cloud-init's own print of the host keys (its module keys_to_console), which goes to /dev/console. That
// need not be the serial port, so the seed has the keys printed there too, between the same markers.
const (
	keysBegin = "-----BEGIN SSH HOST KEY KEYS-----"
	keysEnd   = "-----END SSH HOST KEY KEYS-----"
)

// Seed returns the documents of the NoCloud seed by file name: user-data and meta-data.
// Source: cloud-init's documentation, "NoCloud" and "Cloud config examples".
func (v *Verification) Seed() map[string][]byte {
	return map[string][]byte{
		"meta-data": []byte("instance-id: " + v.hostname + "\nlocal-hostname: " + v.hostname + "\n"),
		"user-data": []byte(`#cloud-config
hostname: ` + v.hostname + `
users:
  - name: ` + verifyUser + `
    lock_passwd: true
    shell: /bin/sh
    ssh_authorized_keys:
      - ` + v.id.AuthorizedKey() + `
runcmd:
  - - sh
    - -c
    - |
      for tty in ttyS0 ttyAMA0 hvc0; do
          [ -c /dev/$tty ] || continue
          { echo; echo "` + keysBegin + `"; cat /etc/ssh/ssh_host_*_key.pub; echo "` + keysEnd + `"; } >/dev/$tty || true
      done 2>/dev/null
`),
	}
}

// ParseHostKeys returns the SSH host keys that a guest printed to its console, as lines "type base64", sorted.
// What other programs wrote between the keys is skipped, and so is a key that they garbled.
func ParseHostKeys(console []byte) []string {
	var keys []string
	inside := false
	for line := range strings.Lines(string(console)) {
		switch {
		case strings.Contains(line, keysBegin):
			inside = true
		case strings.Contains(line, keysEnd):
			inside = false
		case inside:
			if key, ok := parseHostKey(line); ok {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func parseHostKey(line string) (string, bool) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(line)))
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), true
}

// Check waits until the guest that booted with the seed has printed its host keys and is reached with one of
// them, then requires that cloud-init has finished without an error and that the host name, the user and its key
// are those of the seed, and that the system sees the platform it should boot on. console returns all that the guest wrote to its serial port so far; it is asked, and SSH
// tried, so often. seen, if not nil, is told what is waited for. Errors say what was seen last when ctx ends.
func (v *Verification) Check(ctx context.Context, dial Dial, addr string, console func() ([]byte, error), every time.Duration, seen func(error)) (Facts, error) {
	p, err := v.id.peer(dial, addr, verifyUser)
	if err != nil {
		return Facts{}, fmt.Errorf("cannot verify the image: %w", err)
	}
	keys, err := awaitHostKeys(ctx, console, every, seen)
	if err != nil {
		return Facts{}, fmt.Errorf("cannot verify the image: %w", err)
	}
	p.hostKeys = nil
	for _, k := range keys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(k))
		if err != nil {
			return Facts{}, fmt.Errorf("cannot verify the image: %w", err)
		}
		p.hostKeys = append(p.hostKeys, key)
	}
	g, err := p.wait(ctx, every, seen)
	if err != nil {
		return Facts{}, fmt.Errorf("cannot verify the image: %w", err)
	}
	defer g.Close()
	facts, err := v.ask(ctx, g)
	facts.HostKeys = keys
	if err != nil {
		return facts, fmt.Errorf("the image does not pass its verification: %w", err)
	}
	return facts, nil
}

var errNoHostKeys = errors.New("no SSH host keys on the serial console; without cloud-init in the image there are none")

func awaitHostKeys(ctx context.Context, console func() ([]byte, error), every time.Duration, seen func(error)) ([]string, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for told := false; ; told = true {
		text, err := console()
		if err != nil {
			return nil, fmt.Errorf("cannot read the serial console: %w", err)
		}
		if keys := ParseHostKeys(text); len(keys) > 0 && bytes.Contains(text, []byte(keysEnd)) {
			return keys, nil
		}
		if seen != nil && !told {
			seen(errNoHostKeys)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; last seen: %w", context.Cause(ctx), errNoHostKeys)
		case <-tick.C:
		}
	}
}

// ask reads the facts and compares them with the seed.
func (v *Verification) ask(ctx context.Context, g *Guest) (Facts, error) {
	var f Facts
	status, err := g.cloudInit(ctx)
	if err != nil {
		return f, err
	}
	f.CloudInit = status.Status
	out, err := g.Output(ctx, "cat /etc/machine-id; hostname; id -un")
	if err != nil {
		return f, fmt.Errorf("cannot read the guest's identity: %w", err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 3 {
		return f, fmt.Errorf("cannot read the guest's identity: %q", out)
	}
	f.MachineID, f.Hostname = lines[0], lines[1]
	if f.Platform, err = g.platform(ctx); err != nil {
		return f, err
	}
	return f, errors.Join(
		f.Platform.differs(v.platform),
		status.problem(),
		differs("host name", f.Hostname, v.hostname),
		differs("user", lines[2], verifyUser),
		machineIDProblem(f.MachineID),
	)
}

func differs(what, got, want string) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("the %s is %q, the seed says %q", what, got, want)
}

var machineID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func machineIDProblem(id string) error {
	if machineID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("the machine-id is %q, not 32 hex digits", id)
}

// cloudInit is what cloud-init says of its run. Source: its documentation, "cloud-init status".
type cloudInit struct {
	Status         string   `json:"status"` // "done", "error", "disabled", …
	ExtendedStatus string   `json:"extended_status"`
	Detail         string   `json:"detail"`
	Errors         []string `json:"errors"`
}

// cloudInit waits until cloud-init has ended. Its exit status repeats what the document says: 1 for errors, 2 for
// recoverable ones, which an image may have.
func (g *Guest) cloudInit(ctx context.Context) (cloudInit, error) {
	out, err := g.Output(ctx, "cloud-init status --wait --format json || [ $? -le 2 ]")
	if err != nil {
		return cloudInit{}, fmt.Errorf("cannot ask cloud-init for its status: %w", err)
	}
	var c cloudInit
	start := bytes.IndexByte(out, '{') // --wait prints dots before
	if err := json.Unmarshal(out[max(0, start):], &c); err != nil {
		return cloudInit{}, fmt.Errorf("cannot read cloud-init's status %q: %w", out, err)
	}
	return c, nil
}

func (c cloudInit) problem() error {
	if c.Status == "done" && len(c.Errors) == 0 {
		return nil
	}
	return fmt.Errorf("cloud-init ended with status %q: %s %s", c.Status, c.Detail, strings.Join(c.Errors, "; "))
}
