package awstest

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// call is one request: what is asked, where, and by whom.
type call struct {
	r       *http.Request
	scope   scope
	action  string
	args    []string   // of EBS direct: the parts of the path that vary
	form    url.Values // of EC2 and STS
	payload []byte     // of EC2 and STS
	region  *region
	caller  credentials
	n       int // how many of this action there were, with this one
}

// apiError is an error as a client gets it.
type apiError struct {
	status                int
	code, message, reason string // reason is EBS direct's
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// maxForm bounds the requests of EC2 and STS, in bytes.
const maxForm = 1 << 20

// handle answers a request, through the faults.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	c := &call{r: r}
	err := s.identify(c)
	s.count(c)
	r.Body = &countingBody{ReadCloser: r.Body, s: s, action: c.action}
	named := r.WithContext(r.Context())
	named.URL = &url.URL{Path: "/" + c.scope.region + "/" + c.action}
	s.faults.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err == nil {
			err = s.serve(w, c)
		}
		if err != nil {
			c.fail(w, err)
		}
	}), func(w http.ResponseWriter, _ *http.Request) {
		c.fail(w, c.fault(Throttled))
	}).ServeHTTP(w, named)
}

// identify finds out what is asked.
func (s *Server) identify(c *call) error {
	var err error
	if c.scope, err = parseScope(c.r.Header.Get("Authorization")); err != nil {
		return err
	}
	if c.scope.service == "ebs" {
		if c.action, c.args = ebsAction(c.r.Method, c.r.URL.Path); c.action == "" {
			return &apiError{status: 404, code: "UnknownOperationException", message: c.r.Method + " " + c.r.URL.Path}
		}
		return nil
	}
	if c.r.Method != http.MethodPost || c.r.URL.Path != "/" || c.r.URL.RawQuery != "" {
		return bad("InvalidRequest", "%s %s is not how the query protocol is spoken", c.r.Method, c.r.URL)
	}
	payload, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxForm))
	if err != nil {
		return &apiError{status: 413, code: "RequestEntityTooLarge", message: err.Error()}
	}
	c.payload = payload
	c.r.Body = http.NoBody
	if c.form, err = url.ParseQuery(string(payload)); err != nil {
		return bad("MalformedQueryString", "%v", err)
	}
	c.action = c.form.Get("Action")
	return nil
}

// serve carries a request out.
func (s *Server) serve(w http.ResponseWriter, c *call) error {
	fault, leave, err := s.enter(c)
	defer leave()
	if err != nil {
		return err
	}
	switch fault {
	case "", Later:
	case Drop:
		panic(http.ErrAbortHandler)
	case Stall:
		_, _ = io.ReadFull(c.r.Body, make([]byte, 64<<10))
		select { // the context does not end before the body is read
		case <-c.r.Context().Done():
		case <-s.ended:
		}
		panic(http.ErrAbortHandler)
	case Lost:
		w = nowhere{header: http.Header{}}
		defer panic(http.ErrAbortHandler)
	default:
		return c.fault(fault)
	}
	if err := s.authenticate(c); err != nil {
		return err
	}
	if err := s.authorize(c); err != nil {
		return err
	}
	switch c.scope.service {
	case "ebs":
		return s.serveEBS(w, c, fault == Later)
	case "ec2":
		return s.serveEC2(w, c, fault == Later)
	default:
		return s.serveSTS(w, c)
	}
}

// fail answers with an error in the way of the service.
func (c *call) fail(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: http.StatusInternalServerError, code: "InternalError", message: err.Error()}
	}
	// A client that still sends would see its connection end, and not the answer.
	_, _ = io.Copy(io.Discard, c.r.Body)
	switch {
	case c.scope.service == "ebs" || strings.HasPrefix(c.r.URL.Path, "/snapshots"):
		failJSON(w, e)
	case c.scope.service == "sts":
		failXML(w, "ErrorResponse", e)
	default:
		failXML(w, "Response", e)
	}
}

// nowhere is where the answer goes that nobody gets.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
