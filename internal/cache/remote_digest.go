package cache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// hashPrograms print the SHA-256 of a file in hexadecimal, and then its name: GNU, busybox and BSD have the first,
// Perl brings the second along.
var hashPrograms = [][]string{{"sha256sum"}, {"shasum", "-a", "256"}}

// hashThere is hash by a program of the machine, so that a file need not travel to be known. Errors:
// host.ErrNotFound when it has none.
func (s *Store) hashThere(ctx context.Context, name string) (string, error) {
	for _, program := range hashPrograms {
		found, err := s.h.LookPath(program[0])
		if errors.Is(err, host.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		var out strings.Builder
		argv := append([]string{found}, append(program[1:], name)...)
		if err := s.h.Run(ctx, host.Cmd{Argv: argv, Stdout: &out}); err != nil {
			return "", err
		}
		// "\" comes before the digest where the name has characters that must be escaped.
		sum, _, _ := strings.Cut(strings.TrimPrefix(out.String(), `\`), " ")
		if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 {
			return "", fmt.Errorf("%s says %q instead of a checksum", program[0], sum)
		}
		return sum, nil
	}
	return "", fmt.Errorf("%s: %w", hashPrograms[0][0], host.ErrNotFound)
}
