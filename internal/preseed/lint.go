package preseed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// types are the kinds of debconf questions, debconf-devel(7), and "seen", by which an answer marks a question as
// asked.
var types = []string{"string", "password", "boolean", "select", "multiselect", "note", "text", "error", "title", "seen"}

// LineError is a mistake in a line of the answers.
type LineError struct {
	Line     int    // where the answer begins, counted from 1
	Question string // the question it answers, "" when there is none to read
	Msg      string
}

func (e *LineError) Error() string {
	if e.Question == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Question, e.Msg)
}

// Check finds what the installer would stop at, or silently ignore: every answer must be of the form "owner
// question type value". It returns all mistakes, joined, each a *LineError. It says nothing of an answer's value,
// which can be a secret.
func Check(text string) error {
	if before, _, found := strings.Cut(text, "\r"); found {
		return &LineError{Line: strings.Count(before, "\n") + 1, Msg: "ends in a carriage return: use Unix line ends"}
	}
	var errs []error
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		start := i
		answer := strings.TrimSpace(lines[i])
		if answer == "" || answer[0] == '#' {
			continue
		}
		for ; strings.HasSuffix(lines[i], `\`) && i+1 < len(lines); i++ {
			answer = strings.TrimSuffix(answer, `\`) + " " + lines[i+1]
			answer = strings.TrimRight(answer, " \t")
		}
		e := checkAnswer(answer)
		if strings.HasSuffix(lines[i], `\`) {
			e = &LineError{Msg: "the text ends within a line that a backslash continues"}
		} else if trimmed := strings.TrimRight(lines[i], " \t"); strings.HasSuffix(trimmed, `\`) {
			e = &LineError{Msg: "a space after the backslash keeps it from continuing the line"}
		}
		if e != nil {
			e.Line = start + 1
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

func checkAnswer(answer string) *LineError {
	f := strings.Fields(answer)
	if len(f) < 3 {
		return &LineError{Msg: `not of the form "owner question type value"`}
	}
	question, kind := f[1], f[2]
	switch {
	case !slices.Contains(types, kind):
		return &LineError{Question: question, Msg: fmt.Sprintf("%q is no type, use one of %s", kind, strings.Join(types, ", "))}
	case kind == "boolean" || kind == "seen":
		if len(f) != 4 || f[3] != "true" && f[3] != "false" {
			return &LineError{Question: question, Msg: "a " + kind + " is true or false"}
		}
	}
	return nil
}
