package pvetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// call is one request, its parameters checked.
type call struct {
	*Server
	user   string // "root@pam", or "user@realm!token"
	params map[string]string
	total  int // the result is a part of so many
}

// serve answers a request as pveproxy and pvedaemon do together; the order of the checks is theirs.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api2/json")
	if !ok {
		s.respondText(w, http.StatusInternalServerError, "no such file '"+r.URL.Path+"'")
		return
	}
	note := &Request{Method: r.Method, Path: path}
	if len(r.TransferEncoding) > 0 {
		s.respondText(w, http.StatusNotImplemented, "chunked transfer encoding not supported")
		return
	}
	user, err := s.authenticate(r, path)
	if err != nil {
		s.reject(w, r, err)
		return
	}
	if user != "" && r.Method == http.MethodPost && uploadPath.MatchString(path) {
		s.upload(w, r, user, path, note)
		return
	}
	in, status, text := s.readParams(r)
	if status != 0 {
		s.respondText(w, status, text)
		return
	}
	c := &call{Server: s, user: user}
	data, err := c.run(r.Method, path, in)
	note.Params = printable(in)
	s.answer(w, c, data, err, note)
}

// run finds the endpoint, checks privileges and parameters, and calls its handler.
func (c *call) run(method, path string, in map[string]any) (any, error) {
	e, inPath := find(c.api, method, path)
	if e == nil {
		return nil, &apiError{
			status: http.StatusNotImplemented, message: fmt.Sprintf("Method '%s %s' not implemented", method, path),
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if v, ok := inPath[name]; ok && v != in[name] {
			return nil, wrongParam(name, "duplicate parameter (already defined in URI) with conflicting values!")
		}
		inPath[name] = in[name]
	}
	if isToken(c.user) && e.AllowToken == 0 {
		return nil, forbidden(fmt.Sprintf("URI '%s' not available with API token, need proper ticket.\n", path))
	}
	if err := c.permitted(e, inPath); err != nil {
		return nil, err
	}
	if node, _ := inPath["node"].(string); e.ProxyTo == "node" && !slices.Contains(c.opts.Nodes, node) {
		return nil, die("hostname lookup '%s' failed - failed to get address info for: %s: Name or service not known", node, node)
	}
	var err error
	if c.params, err = e.validate(inPath); err != nil {
		return nil, err
	}
	handle := handlers[method+" "+e.Path]
	if handle == nil {
		return nil, &apiError{
			status: http.StatusNotImplemented, message: fmt.Sprintf("pvetest does not do %s %s", method, e.Path),
		}
	}
	return handle(c)
}

// readParams reads a query, a form or a JSON object. A status other than 0 is the answer already.
func (s *Server) readParams(r *http.Request) (in map[string]any, status int, text string) {
	in = map[string]any{}
	if r.ContentLength > 0 {
		ctype, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		switch {
		case r.Method != http.MethodPost && r.Method != http.MethodPut:
			return nil, http.StatusNotImplemented, fmt.Sprintf("Unexpected content for method '%s'", r.Method)
		case r.ContentLength > s.rel.maxPost:
			return nil, http.StatusNotImplemented, "for data too large"
		case ctype != "" && ctype != "application/x-www-form-urlencoded" && ctype != "application/json":
			return nil, 506, fmt.Sprintf("upload 'Content-Type '%s' not implemented", ctype)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		if ctype == "application/json" {
			d := json.NewDecoder(strings.NewReader(string(body)))
			d.UseNumber()
			if err := d.Decode(&in); err != nil {
				return nil, http.StatusInternalServerError, "malformed JSON string: " + err.Error()
			}
		} else if !addForm(in, string(body)) {
			return nil, http.StatusBadRequest, "bad request"
		}
	}
	if !addForm(in, r.URL.RawQuery) {
		return nil, http.StatusBadRequest, "bad request"
	}
	delete(in, "_dc")
	return in, 0, ""
}

func addForm(in map[string]any, form string) bool {
	values, err := url.ParseQuery(form)
	for name, v := range values {
		if len(v) == 1 {
			in[name] = v[0]
		} else {
			in[name] = v
		}
	}
	return err == nil
}

// printable are the parameters for the log of requests.
func printable(in map[string]any) map[string]string {
	out := map[string]string{}
	for name, v := range in {
		if name != "password" && name != "cipassword" {
			out[name] = fmt.Sprint(v)
		}
	}
	return out
}

// answer sends the result of a call.
func (s *Server) answer(w http.ResponseWriter, c *call, data any, err error, note *Request) {
	status, reason := http.StatusOK, "OK"
	body := map[string]any{"data": data}
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{status: http.StatusInternalServerError, message: err.Error() + "\n"}
		}
		status, reason = e.status, e.message
		if e.errors != nil {
			body["errors"] = e.errors
		}
		if s.rel.bodyText {
			body["message"] = e.message
		}
		if status == http.StatusUnauthorized {
			pause(s.ctx, s.opts.AuthDelay)
		}
	} else if c.total > 0 {
		body["total"] = c.total
	}
	note.Status = status
	s.mu.Lock()
	s.log = append(s.log, *note)
	s.mu.Unlock()
	out, err := json.Marshal(body)
	if err != nil {
		status, reason, out = http.StatusInternalServerError, err.Error(), nil
	}
	respond(w, status, reason, "application/json;charset=UTF-8", out)
}

// respondText answers what never came to a handler. The text is in the body since 8.4.
func (s *Server) respondText(w http.ResponseWriter, status int, text string) {
	var body []byte
	if s.rel.bodyText {
		body = []byte(text)
	}
	respond(w, status, text, "", body)
}

// respond writes an answer with a reason phrase, which net/http has no way to set: so the connection is taken over, and
// ends with the answer, as it does after an error of the real server.
func respond(w http.ResponseWriter, status int, reason, ctype string, body []byte) {
	reason, _, _ = strings.Cut(reason, "\n")
	h, ok := w.(http.Hijacker)
	if status < 400 || !ok { // not ok: an answer that nobody gets
		if ctype != "" {
			w.Header().Set("Content-Type", ctype)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	conn, buf, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	text := fmt.Sprintf("HTTP/1.1 %d %s\r\nServer: pve-api-daemon/3.0\r\nConnection: close\r\n", status, reason)
	if ctype != "" {
		text += "Content-Type: " + ctype + "\r\n"
	}
	text += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := conn.Write([]byte(text)); err != nil {
		return
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		// A connection closed with unread bytes is reset, and the client may lose the answer.
		_ = conn.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, io.LimitReader(buf, 1<<20))
	}
}

// linger bounds how long an answered client may go on sending.
const linger = 500 * time.Millisecond

// drain reads a body to its end.
func drain(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
