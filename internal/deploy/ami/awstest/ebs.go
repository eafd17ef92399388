package awstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ebsAction is the action of EBS direct that a request is for, "" for none, and what varies in its path.
func ebsAction(method, path string) (action string, args []string) {
	p := strings.Split(strings.Trim(path, "/"), "/")
	if p[0] != "snapshots" {
		return "", nil
	}
	switch {
	case method == http.MethodPost && len(p) == 1:
		return "StartSnapshot", nil
	case method == http.MethodPost && len(p) == 3 && p[1] == "completion":
		return "CompleteSnapshot", p[2:]
	case method == http.MethodPut && len(p) == 4 && p[2] == "blocks":
		return "PutSnapshotBlock", []string{p[1], p[3]}
	case method == http.MethodGet && len(p) == 4 && p[2] == "blocks":
		return "GetSnapshotBlock", []string{p[1], p[3]}
	case method == http.MethodGet && len(p) == 3 && p[2] == "blocks":
		return "ListSnapshotBlocks", p[1:2]
	case method == http.MethodGet && len(p) == 3 && p[2] == "changedblocks":
		return "ListChangedBlocks", p[1:2]
	}
	return "", nil
}

// serveEBS carries out a request to EBS direct. Later has it fail in the background.
func (s *Server) serveEBS(w http.ResponseWriter, c *call, later bool) error {
	if len(c.args) > 0 && !isSnapshotID.MatchString(c.args[0]) {
		return invalid("INVALID_SNAPSHOT_ID", "The snapshot id %q is invalid.", c.args[0])
	}
	switch c.action {
	case "StartSnapshot":
		return s.startSnapshot(w, c)
	case "PutSnapshotBlock":
		return s.putBlock(w, c)
	case "CompleteSnapshot":
		return s.completeSnapshot(w, c, later)
	case "ListSnapshotBlocks":
		return s.listBlocks(w, c)
	case "ListChangedBlocks":
		return s.listChangedBlocks(w, c)
	default:
		return s.getBlock(w, c)
	}
}

var (
	isSnapshotID = regexp.MustCompile(`^snap-[0-9a-f]{8,59}$`)
	isToken      = regexp.MustCompile(`^[A-Za-z0-9+/=]{1,256}$`)
)

// invalid is a ValidationException.
func invalid(reason, format string, args ...any) *apiError {
	return &apiError{status: 400, code: "ValidationException", message: fmt.Sprintf(format, args...), reason: reason}
}

func noSnapshot(id string) *apiError {
	return &apiError{
		status: 404, code: "ResourceNotFoundException", message: "The snapshot does not exist: " + id,
		reason: "SNAPSHOT_NOT_FOUND",
	}
}

// failJSON answers with an error in the way of EBS direct.
func failJSON(w http.ResponseWriter, e *apiError) {
	w.Header().Set("X-Amzn-Errortype", e.code)
	body := map[string]string{"Message": e.message}
	if e.reason != "" {
		body["Reason"] = e.reason
	}
	_ = answerJSON(w, e.status, body)
}

func answerJSON(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(text)
	return err
}

// find is the snapshot of that id, of those that requests find by now. The server is locked.
func (s *Server) find(g *region, id string) (*snapshot, error) {
	s.reap(g)
	x := g.snapshots[id]
	if x == nil || hide(&x.hidden) {
		return nil, noSnapshot(id)
	}
	return x, nil
}

// header reads a header that is a number within bounds.
func header(h http.Header, name string, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(h.Get(name), 10, 64)
	if err != nil || n < low || n > high {
		return 0, invalid("INVALID_PARAMETER_VALUE", "%s is %q, not a number from %d to %d", name, h.Get(name), low, high)
	}
	return n, nil
}

// oneOf checks a header that has few values.
func oneOf(h http.Header, name, want string) error {
	if got := h.Get(name); got != want {
		return invalid("INVALID_PARAMETER_VALUE", "%s is %q, not %q", name, got, want)
	}
	return nil
}

// onlyQuery refuses what an action does not know.
func onlyQuery(q url.Values, known ...string) error {
	for name, values := range q {
		if !slices.Contains(known, name) || len(values) != 1 {
			return invalid("INVALID_PARAMETER_VALUE", "The parameter %s is not known, or there twice.", name)
		}
	}
	return nil
}
