package preseed

import (
	"errors"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"comments", "# d-i\n\n   # more \\\n", ""},
		{"answers", "d-i a/b string\nd-i\ta/b\tselect  x y\n d-i a/b boolean true\nd-i a/b seen false\n", ""},
		{"continued", "d-i a/b string x; \\\n  # kept \\\n  y\nd-i c/d note\n", ""},
		{"continued type", "d-i a/b \\\n  boolean true\n", ""},
		{"short", "d-i a/b string\nd-i a/b\n", `line 2: not of the form "owner question type value"`},
		{"type", "\nd-i a/b strnig secret\n", `line 2: a/b: "strnig" is no type, use one of string, password, boolean, select, multiselect, note, text, error, title, seen`},
		{"boolean", "d-i a/b boolean yes\n", "line 1: a/b: a boolean is true or false"},
		{"boolean without value", "d-i a/b boolean\n", "line 1: a/b: a boolean is true or false"},
		{"after continuation", "d-i a/b string x \\\ny\nd-i\n", `line 3: not of the form "owner question type value"`},
		{"open end", "d-i a/b string x \\", "line 1: the text ends within a line that a backslash continues"},
		{"space after backslash", "d-i a/b string x \\ \n  y\n", "line 1: a space after the backslash keeps it from continuing the line\nline 2: not of the form \"owner question type value\""},
		{"carriage return", "#\r\nd-i\r\n", "line 1: ends in a carriage return: use Unix line ends"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.text)
			var line *LineError
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("unexpected: %v", err)
			case tt.want != "" && (err == nil || err.Error() != tt.want):
				t.Errorf("got  %v\nwant %s", err, tt.want)
			case tt.want != "" && !errors.As(err, &line):
				t.Errorf("%T is no *LineError", err)
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("d-i a/b string x \\\n y\n# z\nd-i c/d boolean true\n")
	f.Add("\\\n\\")
	f.Add("d-i a \\ \n")
	f.Fuzz(func(t *testing.T, text string) {
		err := Check(text)
		var line *LineError
		if errors.As(err, &line) && (line.Line < 1 || line.Line > strings.Count(text, "\n")+1) {
			t.Errorf("line %d of %q", line.Line, text)
		}
		if err == nil && Check(text+"\nd-i x/y string z\n") != nil && !strings.HasSuffix(text, `\`) {
			t.Errorf("%q is not whole", text)
		}
	})
}
