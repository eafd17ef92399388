package preseed

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestHashPassword(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("needs openssl to compare with")
	}
	shape := regexp.MustCompile(`^\$6\$([./0-9A-Za-z]{16})\$[./0-9A-Za-z]{86}$`)
	seen := map[string]bool{}
	for _, p := range []string{"x", "x", "pässwörd with spaces", `'"\$`, strings.Repeat("long", 30)} {
		hash, err := HashPassword(p)
		if err != nil {
			t.Fatal(err)
		}
		m := shape.FindStringSubmatch(hash)
		if m == nil || seen[hash] {
			t.Fatalf("hash %q", hash)
		}
		seen[hash] = true
		want, err := exec.CommandContext(t.Context(), openssl, "passwd", "-6", "-salt", m[1], p).Output()
		if err != nil {
			t.Fatal(err)
		}
		if hash != strings.TrimSpace(string(want)) {
			t.Errorf("%q: got %s, openssl has %s", p, hash, want)
		}
		if err := checkValue(hash, false); err != nil {
			t.Errorf("%q cannot be an answer: %v", hash, err)
		}
	}
}

func TestSamePassword(t *testing.T) {
	hash, err := HashPassword("x")
	if err != nil || !SamePassword("x", hash) || SamePassword("y", hash) || SamePassword("x", "") || SamePassword("x", "!") {
		t.Errorf("of %q, %v", hash, err)
	}
}

func TestHashPasswordRefuses(t *testing.T) {
	for _, p := range []string{"", "a\nb", "a\x00b"} {
		if hash, err := HashPassword(p); err == nil {
			t.Errorf("%q has the hash %q", p, hash)
		}
	}
}
