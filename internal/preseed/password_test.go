package preseed_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
)

func TestHashPassword(t *testing.T) {
	first, err := preseed.HashPassword("change me ÄÖ")
	if err != nil {
		t.Fatal(err)
	}
	second, err := preseed.HashPassword("change me ÄÖ")
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("two hashes of one password are the same: the salt is not random")
	}
	parts := strings.Split(first, "$")
	if len(parts) != 4 || parts[1] != "6" || len(parts[2]) != 16 || len(parts[3]) != 86 {
		t.Fatalf("%q is not of the form $6$SALT$HASH", first)
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("needs openssl to compare with")
	}
	want, err := exec.Command(openssl, "passwd", "-6", "-salt", parts[2], "change me ÄÖ").Output()
	if err != nil {
		t.Fatal(err)
	}
	if first != strings.TrimSpace(string(want)) {
		t.Errorf("got %s, openssl has %s", first, want)
	}
}

func TestHashPasswordRefuses(t *testing.T) {
	for _, password := range []string{"", "a\x00b", "a\n"} {
		if hash, err := preseed.HashPassword(password); err == nil {
			t.Errorf("%q gave %q, want an error", password, hash)
		}
	}
}
