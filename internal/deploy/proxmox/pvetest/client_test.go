package pvetest_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu/qemutest"
)

// client speaks to a server with nothing but net/http.
type client struct {
	t      *testing.T
	s      *pvetest.Server
	http   *http.Client
	header http.Header
}

// reply is an answer.
type reply struct {
	status int
	reason string // of the status line
	body   string
	Data   any
	Errors map[string]string
	Total  int
}

func newClient(t *testing.T, o pvetest.Options) *client {
	t.Helper()
	qemutest.Need(t)
	s := pvetest.New(t, o)
	ca, err := os.ReadFile(s.CAFile)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	c := &client{t: t, s: s, http: &http.Client{Transport: transport}}
	return c.as(pvetest.TokenID)
}

// as is the same client with another token.
func (c *client) as(token string) *client {
	other := *c
	other.header = http.Header{"Authorization": {"PVEAPIToken=" + c.s.Token(token)}}
	return &other
}

// root is the same client with root's ticket.
func (c *client) root() *client {
	c.t.Helper()
	other := *c
	other.header = nil
	r := other.want(200, "POST", "/access/ticket", "username=root@pam", "password="+pvetest.RootPassword)
	data := r.Data.(map[string]any)
	other.header = http.Header{}
	other.header.Set("Cookie", "PVEAuthCookie="+data["ticket"].(string))
	other.header.Set("CSRFPreventionToken", data["CSRFPreventionToken"].(string))
	return &other
}

// do sends a request; params are "name=value", in the query unless the method has a body.
func (c *client) do(method, path string, params ...string) reply {
	c.t.Helper()
	form := url.Values{}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		form.Add(name, value)
	}
	if method == http.MethodPost || method == http.MethodPut {
		return c.send(method, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	}
	return c.send(method, path+"?"+form.Encode(), "", nil)
}

func (c *client) send(method, path, ctype string, body io.Reader) reply {
	c.t.Helper()
	r, err := c.try(method, path, ctype, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (c *client) try(method, path, ctype string, body io.Reader) (reply, error) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.s.URL+"/api2/json"+path, body)
	must(c.t, err)
	for k, v := range c.header {
		req.Header[k] = v
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	out := reply{status: resp.StatusCode, reason: strings.TrimPrefix(resp.Status, fmt.Sprint(resp.StatusCode, " ")), body: string(data)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		must(c.t, json.Unmarshal(data, &out))
	}
	return out, nil
}

// want wants a status.
func (c *client) want(status int, method, path string, params ...string) reply {
	c.t.Helper()
	r := c.do(method, path, params...)
	if r.status != status {
		c.t.Fatalf("%s %s %q: %d %s, want %d\n%s", method, path, params, r.status, r.reason, status, r.body)
	}
	return r
}

// task makes a request that starts a task, waits for it and gives its exit status.
func (c *client) task(method, path string, params ...string) string {
	c.t.Helper()
	r := c.want(200, method, path, params...)
	return c.wait(r)
}

func (c *client) wait(r reply) string {
	c.t.Helper()
	upid, ok := r.Data.(string)
	if !ok || r.status != 200 {
		c.t.Fatalf("no task: %d %s %s", r.status, r.reason, r.body)
	}
	node := strings.Split(upid, ":")[1]
	for {
		status := c.want(200, "GET", "/nodes/"+node+"/tasks/"+upid+"/status").Data.(map[string]any)
		if status["status"] == "stopped" {
			return status["exitstatus"].(string)
		}
		c.s.Wait(0) // yields; the next look tells
	}
}

// ok wants a task to succeed.
func (c *client) ok(method, path string, params ...string) {
	c.t.Helper()
	if exit := c.task(method, path, params...); exit != "OK" {
		c.t.Fatalf("%s %s %q: %s", method, path, params, exit)
	}
}

// part is a part of an upload's form; a file has a file name.
type part struct{ name, filename, value string }

func form(parts ...part) (ctype string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf("form-data; name=%q", p.name)
		if p.filename != "" {
			disposition += fmt.Sprintf("; filename=%q", p.filename)
			h.Set("Content-Type", "application/octet-stream")
		}
		h.Set("Content-Disposition", disposition)
		pw, _ := w.CreatePart(h)
		_, _ = pw.Write([]byte(p.value))
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

// upload sends a file with its checksum, in the order that the server wants.
func (c *client) upload(storage, content, name, data string) reply {
	c.t.Helper()
	sum := sha256.Sum256([]byte(data))
	ctype, body := form(part{"content", "", content}, part{"checksum-algorithm", "", "sha256"},
		part{"checksum", "", hex.EncodeToString(sum[:])}, part{"filename", name, data})
	return c.send("POST", "/nodes/pve1/storage/"+storage+"/upload", ctype, bytes.NewReader(body))
}

// config is a VM's configuration as the API shows it.
func (c *client) config(id string) map[string]any {
	c.t.Helper()
	return c.want(200, "GET", "/nodes/pve1/qemu/"+id+"/config").Data.(map[string]any)
}

// image is a qcow2 of 8 MiB with some content.
func image(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	disk := make([]byte, 8<<20)
	copy(disk[1<<20:], strings.Repeat(content, 1000))
	must(t, os.WriteFile(raw, disk, 0o600))
	file := filepath.Join(dir, "qcow2")
	qemuImg(t, "convert", "-c", "-f", "raw", "-O", "qcow2", raw, file)
	return read(t, file)
}

func qemuImg(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "qemu-img", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return string(data)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
