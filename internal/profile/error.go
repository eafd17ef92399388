package profile

import (
	"fmt"
	"strings"
)

// Error is one fault in the configuration, with the place to mend it.
type Error struct {
	// File is the file at fault and Line and Column the place in it, both from 1 and 0 when the whole file is
	// meant. File is empty when the fault is in the Request; Field then names what part of it: "name", "arch",
	// "iso", or a field of its Override.
	File         string
	Line, Column int
	// Field is the path of the value: "developer.build.memory", "scripts[1]" in a Request, "" for none.
	Field string
	// Of is the setting that names File, such as "autoinstall"; "" where no setting does.
	Of   string
	Msg  string // what is wrong
	Hint string // what to do, a sentence without its full stop; "" for none
	Err  error  // cause, nil for none
}

// Error gives FILE:LINE:COLUMN: FIELD: MSG: CAUSE (HINT), less what is not known.
func (e *Error) Error() string {
	var parts []string
	if e.File != "" {
		place := e.File
		if e.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
		}
		parts = append(parts, place)
	}
	if e.Field != "" {
		parts = append(parts, e.Field)
	}
	parts = append(parts, e.Msg)
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	s := strings.Join(parts, ": ")
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errors is every fault found in one go, in the order of the files. Load and Resolve fail with nothing else, and
// never with an empty one.
type Errors []*Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look into every fault.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// orNil keeps a typed nil out of an error interface.
func (es Errors) orNil() error {
	if len(es) == 0 {
		return nil
	}
	return es
}
