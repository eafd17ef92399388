package pvetest

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var uploadPath = regexp.MustCompile(`^/nodes/([^/]+)/storage/([^/]+)/upload$`)

// upload is POST /nodes/{node}/storage/{storage}/upload. The whole body goes into a temporary file of the node that is
// connected to; only then anything but the privilege is looked at. What is refused then stays in /var/tmp.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, user, path string, note *Request) {
	tmp, fields, err := s.receive(w, r)
	if err != nil { // the connection just ends, and the temporary file goes with it
		if tmp != "" {
			_ = os.Remove(tmp)
		}
		panic(http.ErrAbortHandler)
	}
	note.Params = printable(fields)
	fields["tmpfilename"] = "/var/tmp/" + filepath.Base(tmp)
	c := &call{Server: s, user: user}
	data, err := c.run(http.MethodPost, path, fields)
	s.answer(w, c, data, err, note)
}

// filePart is all that the server takes for a file: it reads its header by such an expression, too.
var filePart = regexp.MustCompile(`^form-data; name="(.*?)"; filename="([^"]+)"`)

// receive reads the parts, which must come in this order: content, checksum-algorithm, checksum, the file.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) (tmp string, fields map[string]any, err error) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" || r.ContentLength <= 0 {
		return "", nil, errors.New("not a form with a Content-Length")
	}
	fields = map[string]any{}
	for name, v := range r.URL.Query() {
		fields[name] = v[0]
	}
	body := &stalling{r: r.Body, limit: s.opts.UploadStall, control: http.NewResponseController(w)}
	form := multipart.NewReader(body, params["boundary"])
	order := []string{"content", "checksum-algorithm", "checksum"}
	for {
		part, err := form.NextRawPart()
		if err != nil {
			return "", nil, err
		}
		if m := filePart.FindStringSubmatch(part.Header.Get("Content-Disposition")); m != nil {
			if m[1] != "filename" {
				return "", nil, fmt.Errorf("wrong field name %q for file upload, expected 'filename'", m[1])
			}
			fields["filename"] = strings.TrimSpace(m[2])
			if tmp, err = s.stage(part); err != nil {
				return tmp, nil, err
			}
			if _, err := form.NextRawPart(); !errors.Is(err, io.EOF) {
				return tmp, nil, errors.New("something follows the file")
			}
			_, err = drain(body)
			return tmp, fields, err
		}
		at := slices.Index(order, part.FormName())
		if at < 0 {
			return "", nil, fmt.Errorf("a field %q that is not wanted, or not here", part.FormName())
		}
		order = order[at+1:]
		value, err := io.ReadAll(io.LimitReader(part, 4<<10))
		if err != nil {
			return "", nil, err
		}
		fields[part.FormName()] = strings.TrimSpace(string(value))
	}
}

// stage writes the uploaded file to /var/tmp.
func (s *Server) stage(r io.Reader) (string, error) {
	folder := s.staging()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(folder, "pveupload-"+randomHex(16)))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, r)
	return f.Name(), errors.Join(err, f.Close())
}

func (s *Server) staging() string { return filepath.Join(s.root, "var", "tmp") }

// stalling ends a body from which nothing comes.
type stalling struct {
	r       io.Reader
	limit   time.Duration
	control *http.ResponseController
}

func (b *stalling) Read(p []byte) (int, error) {
	// A response that nobody gets has no deadline to set; its request still ends with its client.
	_ = b.control.SetReadDeadline(time.Now().Add(b.limit))
	n, err := b.r.Read(p)
	_ = b.control.SetReadDeadline(time.Time{})
	return n, err
}

// reject answers a request that is not let in, after a while. Of an upload at most what its buffer holds is read
// meanwhile: a client that sends more loses its connection, and the answer.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, err error) {
	var e *loginError
	if !errors.As(err, &e) {
		s.respondText(w, http.StatusInternalServerError, err.Error())
		return
	}
	s.mu.Lock()
	path := strings.TrimPrefix(r.URL.Path, "/api2/json")
	s.log = append(s.log, Request{Method: r.Method, Path: path, Status: e.status})
	s.mu.Unlock()
	if r.ContentLength > s.rel.maxPost && r.Header.Get("Expect") == "" {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(rejectWait))
		if n, _ := io.CopyN(io.Discard, r.Body, s.rel.maxPost); n == s.rel.maxPost {
			panic(http.ErrAbortHandler)
		}
	} else {
		pause(s.ctx, s.opts.AuthDelay)
	}
	respond(w, e.status, e.text, "", nil)
}

// rejectWait is how long the real server lets a rejected client send.
const rejectWait = 3 * time.Second

var unsafeChars = regexp.MustCompile(`[^a-zA-Z0-9_.-]`)

// acceptUpload is what the server does with a file in /var/tmp. No request for an upload is passed on to the node that it
// names: the node that was connected to does the work, and copies the file over there.
func acceptUpload(c *call) (any, error) {
	node := c.params["node"]
	st, err := c.enabled(c.params["storage"], node)
	if err != nil {
		return nil, err
	}
	if !st.isDir() {
		return nil, die("can't upload to storage type '%s'", st.Type)
	}
	if c.params["tmpfilename"] == "" {
		return nil, die("missing temporary file name")
	}
	tmp := filepath.Join(c.staging(), filepath.Base(c.params["tmpfilename"]))
	size, err := os.Stat(tmp)
	if err != nil {
		return nil, die("temporary file '%s' does not exist", c.params["tmpfilename"])
	}
	content := c.params["content"]
	name := c.params["filename"]
	name = unsafeChars.ReplaceAllString(name[strings.LastIndexAny(name, `/\`)+1:], "_")
	if err := c.checkName(content, name); err != nil {
		return nil, err
	}
	if !st.has(content) {
		return nil, die("storage '%s' does not support '%s' content", st.ID, content)
	}
	folder := map[string]string{"iso": "iso/", "import": "import/"}[content]
	v, err := c.parseVolume(st.ID+":"+folder+name, node)
	if err != nil {
		return nil, err
	}
	checksum, algorithm := c.params["checksum"], c.params["checksum-algorithm"]
	t := c.start("imgcopy", "", c.opts.Nodes[0], c.user, func(ctx context.Context, t *task) error {
		t.print("starting file import from: %s", c.params["tmpfilename"])
		defer os.Remove(tmp)
		if algorithm != "" {
			got, err := digestFile(tmp, algorithm)
			if err != nil {
				return err
			}
			if !strings.EqualFold(got, checksum) {
				return die("checksum mismatch: got '%s' != expect '%s'", got, checksum)
			}
			t.print("calculating checksum...OK, checksum verified")
		}
		if err := c.checkUpload(ctx, content, tmp, c.params["tmpfilename"], v.format); err != nil {
			return err
		}
		t.print("target node: %s\ntarget file: %s\nfile size is: %d", node, c.shown(v), size.Size())
		if err := os.MkdirAll(filepath.Dir(c.file(v)), 0o755); err != nil {
			return err
		}
		if err := t.step(ctx); err != nil {
			return err
		}
		if err := os.Rename(tmp, c.file(v)); err != nil { // an existing file is overwritten
			return err
		}
		t.print("finished file import successfully")
		return nil
	})
	return t.upid, nil
}

// checkName wants an extension that the content can have.
func (c *call) checkName(content, name string) error {
	switch content {
	case "iso":
		if ext := strings.ToLower(filepath.Ext(name)); ext != ".iso" && ext != ".img" || len(name) == len(ext) {
			return wrongParam("filename", "wrong file extension")
		}
	case "import":
		ext := strings.TrimPrefix(filepath.Ext(name), ".")
		if !slices.Contains(c.rel.imports, ext) || len(name) == len(ext)+1 {
			return wrongParam("filename", "invalid filename or wrong extension")
		}
	default:
		return die("pvetest takes no '%s'", content)
	}
	return nil
}

// checkUpload looks into an uploaded file.
func (c *call) checkUpload(ctx context.Context, content, file, shown, format string) error {
	switch {
	case format == "ova":
		list, err := tarNames(file)
		if err != nil {
			return die("command 'tar -t -f %s' failed: exit code 2", shown)
		}
		if !slices.ContainsFunc(list, func(n string) bool { return strings.HasSuffix(n, ".ovf") }) {
			return die("ova archive has no .ovf file inside")
		}
		return nil
	case content == "iso":
		format = ""
	}
	_, err := c.untrusted(ctx, file, shown, format)
	return err
}

func digestFile(file, algorithm string) (string, error) {
	algorithms := map[string]func() hash.Hash{
		"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384,
		"sha512": sha512.New,
	}
	h := algorithms[algorithm]()
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// Staged lists the uploads that the server refused and left in /var/tmp. No client can see or remove them, so they are
// not in the Inventory.
func (s *Server) Staged() []string { return names(s.staging(), true) }
