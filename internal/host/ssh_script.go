package host

import (
	"embed"
	"strconv"
	"strings"
)

// remote are the shell scripts that run on the machine; lib.sh goes before each.
//
//go:embed remote
var remote embed.FS

// script is the text of scripts of the folder remote, one after the other.
func script(names ...string) string {
	var b strings.Builder
	for _, name := range append([]string{"lib.sh"}, names...) {
		text, err := remote.ReadFile("remote/" + name)
		if err != nil {
			panic(err) // a name in this package is wrong
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(strings.TrimSpace(line), "#") { // what is sent is for the machine
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// scriptArgv is the argument vector that runs a script with arguments.
func scriptArgv(name string, args ...string) []string {
	return append([]string{"sh", "-c", script(name), "sh"}, args...)
}

// quoteAll makes one line for a shell out of an argument vector: the words reach the command as they are.
func quoteAll(argv []string) string {
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

// quote makes a word that a POSIX shell takes as it is. Backslashes and single quotes stand outside the single
// quotes: fish, which may be somebody's login shell, gives them a meaning inside.
func quote(word string) string {
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	var b strings.Builder
	for word != "" {
		n := strings.IndexAny(word, `'\`)
		switch n {
		case 0:
			b.WriteString(`\` + word[:1])
			word = word[1:]
			continue
		case -1:
			n = len(word)
		}
		b.WriteString("'" + word[:n] + "'")
		word = word[n:]
	}
	if b.Len() == 0 {
		return "''"
	}
	return b.String()
}

// plain are the characters that mean themselves to every shell, wherever they stand.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@"

// commandLine is what the machine's login shell is given for a command. begin.sh says what the arguments are.
func commandLine(kind, mark, streams string, c Cmd) string {
	argv := []string{"/bin/sh", "-c", script("begin.sh", kind), "sh", mark, streams, c.Dir, strconv.Itoa(len(c.Env))}
	argv = append(append(argv, c.Env...), c.Argv...)
	return "exec " + quoteAll(argv)
}
