// Package cache keeps what a build makes and what it needs: the content-derived cache key, the store of images
// and install layers, downloaded installer ISOs, and registry.yml.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// keyVersion is the version of the canonical form below. Raising it makes every stored image stale.
const keyVersion = 1

// Part is one named input of a key. Name is what a person is shown when the part changes: "arch", "iso",
// "script:base". Value is a short literal, or Digest of something longer.
type Part struct{ Name, Value string }

// Inputs are the parts that decide the content of an image. Their order does not matter.
type Inputs []Part

// Key is the cache key: 64 hex digits, the SHA-256 of the canonical form of Map.
func (in Inputs) Key() string {
	sum := sha256.Sum256(canonical(in.Map()))
	return hex.EncodeToString(sum[:])
}

// Map gives the parts by name. A name that comes again with the same value is one part; with another value it
// gets a number ("script:setup#2" is the second of two different scripts of one name), so no part is ever lost.
func (in Inputs) Map() map[string]string {
	m := make(map[string]string, len(in))
	for _, p := range in {
		name := p.Name
		for n := 2; ; n++ {
			old, taken := m[name]
			if !taken || old == p.Value {
				break
			}
			name = fmt.Sprintf("%s#%d", p.Name, n)
		}
		m[name] = p.Value
	}
	return m
}

// canonical is {"version":1,"inputs":{NAME:VALUE,…}} with sorted names and no white space. Two different maps
// never have the same form: that is why it does not leave strings to encoding/json, which writes every invalid
// byte of a file name as the same U+FFFD.
func canonical(m map[string]string) []byte {
	b := fmt.Appendf(nil, `{"version":%d,"inputs":{`, keyVersion)
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = appendString(b, m[name])
	}
	return append(b, "}}"...)
}

// appendString appends a JSON string. A byte that is no UTF-8 becomes a lone low surrogate, \udc80 to \udcff,
// which no valid string can hold (the convention of Python's PEP 383).
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\udc%02x`, s[i])
		case r < ' ' || r == '"' || r == '\\':
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return append(b, '"')
}

// Digest is "sha256:" and 64 hex digits.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Short is the first 12 characters of a key, as in the names of files.
func Short(key string) string { return key[:min(12, len(key))] }
