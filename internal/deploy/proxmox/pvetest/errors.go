package pvetest

import (
	"fmt"
	"net/http"
	"strings"
)

// apiError is what a request or a task fails with. As in Perl, its text ends with a newline.
type apiError struct {
	status  int
	message string
	errors  map[string]string // by parameter
}

func (e *apiError) Error() string { return e.message }

// die is an error of the server's own, status 500.
func die(format string, args ...any) error {
	return &apiError{status: http.StatusInternalServerError, message: fmt.Sprintf(format, args...) + "\n"}
}

// wrongParam is a 400 about one parameter.
func wrongParam(name, format string, args ...any) error {
	return &apiError{
		status: http.StatusBadRequest, message: "Parameter verification failed.\n",
		errors: map[string]string{name: fmt.Sprintf(format, args...)},
	}
}

// forbidden is a 403. what is such as "/storage/local, Datastore.Audit", or "".
func forbidden(what string) error {
	message := "Permission check failed"
	if what != "" {
		message += " (" + what + ")"
	}
	return &apiError{status: http.StatusForbidden, message: message + "\n"}
}

// firstLine is what the end of a failed task shows of its error.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
