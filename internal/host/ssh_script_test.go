package host

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var quoted = map[string]string{
	"":            `''`,
	"plain":       `plain`,
	"/a-b_c.d:e":  `/a-b_c.d:e`,
	"a b":         `'a b'`,
	"it's":        `'it'\''s'`,
	`back\slash`:  `'back'\\'slash'`,
	`\'`:          `\\\'`,
	"$HOME `id`":  "'$HOME `id`'",
	"~":           `'~'`,
	"a=b":         `'a=b'`,
	"line\nfeed":  "'line\nfeed'",
	"*?[!]{a,b}#": `'*?[!]{a,b}#'`,
	"\xff\xfeä":   "'\xff\xfeä'",
}

func TestQuote(t *testing.T) {
	for word, want := range quoted {
		if got := quote(word); got != want {
			t.Errorf("quote(%q) = %s, want %s", word, got, want)
		}
		for _, shell := range []string{"sh", "bash", "zsh", "fish"} {
			if _, err := exec.LookPath(shell); err == nil {
				echoes(t, shell, word)
			}
		}
	}
}

// FuzzQuote tests that a shell takes a quoted word as it is.
func FuzzQuote(f *testing.F) {
	for word := range quoted {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if !strings.Contains(word, "\x00") { // which no argument can hold
			echoes(t, "sh", word)
		}
	})
}

// Where the processes of others are hidden, a session has all but its server's.
func TestBeginWithAHiddenServer(t *testing.T) {
	for kind, dir := range map[string]string{"run.sh": "", "start.sh": t.TempDir()} {
		hidden := script() + "born() { [ \"$1\" = $PPID ] || echo 7; }\n" + strings.TrimPrefix(script("begin.sh", kind), script())
		cmd := exec.Command("sh", "-c", hidden, "sh", "mark", "", "", "0", "true")
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		out, err := cmd.Output()
		s := &session{conn: &sshConn{servers: map[processRef]bool{}}}
		if err == nil {
			err = s.begun(strings.Fields(string(out))[1:])
		}
		if err != nil || s.ref.born != "7" || len(s.conn.servers) != 0 || !strings.HasPrefix(s.dir, dir) || (s.dir == "") != (dir == "") {
			t.Errorf("%s: %q, %v, %+v", kind, out, err, s)
		}
	}
}

func echoes(t *testing.T, shell, word string) {
	t.Helper()
	line := "printf '%s|' " + quoteAll([]string{"first", word, "last"})
	var out bytes.Buffer
	cmd := exec.Command(shell, "-c", line)
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil || out.String() != "first|"+word+"|last|" {
		t.Errorf("%s: %q became %q, %v", shell, word, out.String(), err)
	}
}

func TestScriptsAreWholeWithoutComments(t *testing.T) {
	entries, err := remote.ReadDir("remote")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sh") {
			continue
		}
		text := script(e.Name())
		if err := exec.Command("sh", "-n", "-c", text).Run(); err != nil || strings.Contains(text, "\n#") {
			t.Errorf("%s: %v\n%s", e.Name(), err, text)
		}
	}
}
