package preseed

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/GehirnInc/crypt/sha512_crypt"
)

// saltLetters are the 64 letters of crypt(5).
const saltLetters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// SamePassword tells whether hash, of HashPassword, is one of the password.
func SamePassword(password, hash string) bool {
	return sha512_crypt.New().Verify(hash, []byte(password)) == nil
}

// HashPassword is the SHA-512 crypt(5) hash of a password, "$6$SALT$HASH", with a new random salt. Errors: an empty
// password, and control characters, which cannot be typed at a prompt.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	if strings.ContainsFunc(password, unicode.IsControl) {
		return "", errors.New("the password holds a line break or another control character")
	}
	salt := make([]byte, sha512_crypt.SaltLenMax)
	rand.Read(salt)
	for i, b := range salt {
		salt[i] = saltLetters[b%64]
	}
	hash, err := sha512_crypt.New().Generate([]byte(password), append([]byte(sha512_crypt.MagicPrefix), salt...))
	if err != nil {
		return "", fmt.Errorf("cannot hash the password: %w", err)
	}
	return hash, nil
}
