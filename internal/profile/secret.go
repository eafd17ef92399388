package profile

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that does not show itself: every fmt verb and slog print a placeholder. Convert it to
// string to use it.
type Secret string

const redacted = "(redacted)"

// Format prints the placeholder whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is the placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText gives the placeholder, so that no encoder writes the secret by accident.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
