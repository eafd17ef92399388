package debtest

import (
	"strings"
)

// field is one field of a stanza. value keeps its continuation lines as they are written, joined by newlines.
type field struct {
	name, value string
}

// stanza is one paragraph of a Debian control file (deb822), its fields in order.
type stanza []field

// get is a field's value, "" when absent. Field names compare without case (Debian Policy 5.1).
func (s stanza) get(name string) string {
	for _, f := range s {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// only is the stanza with just the named fields, in their present order.
func (s stanza) only(names ...string) stanza {
	var out stanza
	for _, f := range s {
		for _, name := range names {
			if strings.EqualFold(f.name, name) {
				out = append(out, f)
			}
		}
	}
	return out
}

// String is the stanza as text, one field a line, without a blank line behind.
func (s stanza) String() string {
	var b strings.Builder
	for _, f := range s {
		b.WriteString(f.name)
		b.WriteString(":")
		if f.value != "" && !strings.HasPrefix(f.value, "\n") {
			b.WriteString(" ")
		}
		b.WriteString(f.value)
		b.WriteString("\n")
	}
	return b.String()
}

// formatStanzas is the inverse of parseStanzas: stanzas separated by one blank line.
func formatStanzas(all []stanza) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString(s.String())
		b.WriteString("\n")
	}
	return b.String()
}

// parseStanzas reads paragraphs separated by blank lines. Lines that are neither a field nor a continuation
// are ignored, as are empty paragraphs.
func parseStanzas(text string) []stanza {
	var all []stanza
	var current stanza
	flush := func() {
		if len(current) > 0 {
			all = append(all, current)
			current = nil
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.TrimSpace(line) == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			if n := len(current); n > 0 {
				current[n-1].value += "\n" + line
			}
		default:
			if name, value, ok := strings.Cut(line, ":"); ok {
				current = append(current, field{name: name, value: strings.TrimSpace(value)})
			}
		}
	}
	flush()
	return all
}

// commaList splits a relation field such as Provides; versions and blanks are dropped.
func commaList(value string) []string {
	var out []string
	for item := range strings.SplitSeq(value, ",") {
		if words := strings.Fields(item); len(words) > 0 {
			out = append(out, words[0])
		}
	}
	return out
}
