package provision_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/pim-tools/terraform-provider-pim/internal/provision"
)

func newIdentity(t *testing.T) provision.Identity {
	t.Helper()
	id, err := provision.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentitySurvivesItsFile(t *testing.T) {
	id := newIdentity(t)
	text, err := id.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var read provision.Identity
	if err := read.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if read.AuthorizedKey() != id.AuthorizedKey() || read.HostKey() != id.HostKey() {
		t.Error("the keys changed")
	}
	if newIdentity(t).AuthorizedKey() == id.AuthorizedKey() || id.AuthorizedKey() == id.HostKey() {
		t.Error("two keys are the same")
	}
}

func TestIdentityFormats(t *testing.T) {
	id := newIdentity(t)
	for name, tc := range map[string]struct {
		private []byte
		public  string
	}{"client": {id.ClientPrivatePEM(), id.AuthorizedKey()}, "host": {id.HostPrivatePEM(), id.HostKey()}} {
		key, err := ssh.ParsePrivateKey(tc.private)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))) + " pim-build-" + name
		if tc.public != want || !strings.HasPrefix(want, "ssh-ed25519 ") {
			t.Errorf("%s: got %q, want %q", name, tc.public, want)
		}
	}
}

func TestIdentityRefusesOtherText(t *testing.T) {
	id := newIdentity(t)
	whole, err := id.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"empty":     "",
		"one key":   string(id.ClientPrivatePEM()),
		"more":      string(whole) + "more",
		"cut short": string(whole[:len(whole)/2]),
		"not keys":  strings.Repeat("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", 2),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			var read provision.Identity
			err := read.UnmarshalText([]byte(text))
			if err == nil {
				t.Fatal("got no error")
			}
			if _, err := read.MarshalText(); err == nil {
				t.Error("the identity has keys after all")
			}
		})
	}
}

func TestIdentityRedactsItself(t *testing.T) {
	id := newIdentity(t)
	v, err := provision.NewVerification(provision.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "id", id, "v", v)
	around := struct{ id provision.Identity }{id} // fmt cannot call methods of an unexported field
	for _, text := range []string{
		log.String(), fmt.Sprintf("%v %+v %#v %s %x", id, id, id, id, id),
		fmt.Sprintf("%v %+v %#v", around, around, around), fmt.Sprintf("%v %+v %#v %s", v, v, v, *v),
	} {
		if len(text) > 400 || strings.Contains(text, "PRIVATE") {
			t.Errorf("this may hold a key: %s", text)
		}
	}
}
