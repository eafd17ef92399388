package pvetest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/proxmox/pvetest"
)

func reader(s string) io.Reader { return strings.NewReader(s) }

const uploadTo = "/nodes/pve1/storage/local/upload"

// TestUploadOrder: any order but the one drops the connection.
func TestUploadOrder(t *testing.T) {
	t.Parallel()
	img := image(t, "x")
	content, algorithm := part{"content", "", "import"}, part{"checksum-algorithm", "", "sha256"}
	sum, file := part{"checksum", "", strings.Repeat("0", 64)}, part{"filename", "x.qcow2", img}
	for i, tc := range []struct {
		parts []part
		ok    bool
	}{
		{[]part{content, algorithm, sum, file}, true},
		{[]part{content, file}, true},
		{[]part{content, sum, algorithm, file}, false},
		{[]part{algorithm, sum, content, file}, false},
		{[]part{content, algorithm, file, sum}, false},
		{[]part{file, content, algorithm, sum}, false},
		{[]part{content, {"file", "x.qcow2", img}}, false},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := newClient(t, pvetest.Options{})
			ctype, body := form(tc.parts...)
			_, err := c.try("POST", uploadTo, ctype, bytes.NewReader(body))
			if (err == nil) != tc.ok {
				t.Errorf("answered: %v (%v)", err == nil, err)
			}
			c.s.Wait(time.Minute)
			if left := c.s.Staged(); len(left) > 0 {
				t.Errorf("left is %q", left)
			}
		})
	}
}

// TestUploadTask: what is wrong with a file itself shows in the task, and the file is gone.
func TestUploadTask(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	ctype, body := form(part{"content", "", "import"}, part{"checksum-algorithm", "", "sha256"},
		part{"checksum", "", strings.Repeat("0", 64)}, part{"filename", "x.qcow2", image(t, "x")})
	exit := c.wait(c.send("POST", uploadTo, ctype, bytes.NewReader(body)))
	if !strings.HasPrefix(exit, "checksum mismatch: got '") || !strings.HasSuffix(exit, "' != expect '"+strings.Repeat("0", 64)+"'") {
		t.Errorf("wrong checksum: %s", exit)
	}
	if exit := c.wait(c.upload("local", "import", "x.qcow2", "no image")); exit != "failed to query file information with qemu-img" {
		t.Errorf("no qcow2: %s", exit)
	}
	base := filepath.Join(t.TempDir(), "base")
	must(t, os.WriteFile(base, []byte(image(t, "x")), 0o600))
	qemuImg(t, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, base+".overlay")
	exit = c.wait(c.upload("local", "import", "x.qcow2", read(t, base+".overlay")))
	if !strings.HasPrefix(exit, "backing file not allowed for untrusted image '/var/tmp/pveupload-") {
		t.Errorf("backing file: %s", exit)
	}
	if left := append(c.s.Inventory(), c.s.Staged()...); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	// A qcow2 that calls itself raw is taken for what its name says.
	if exit := c.wait(c.upload("local", "import", "x.raw", image(t, "x"))); exit != "OK" {
		t.Errorf("a qcow2 as raw: %s", exit)
	}
}

// TestUploadNames: names are made safe, extensions must fit, and an existing file is overwritten.
func TestUploadNames(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{})
	img := image(t, "one")
	if exit := c.wait(c.upload("local", "import", "a b+c.qcow2", img)); exit != "OK" {
		t.Fatal(exit)
	}
	list := func() []any {
		return c.want(200, "GET", "/nodes/pve1/storage/local/content", "content=import").Data.([]any)
	}
	entry := list()[0].(map[string]any)
	if entry["volid"] != "local:import/a_b_c.qcow2" || entry["size"] != float64(len(img)) || entry["format"] != "qcow2" {
		t.Errorf("listed as %v, want a size of %d", entry, len(img))
	}
	again := image(t, "another content")
	if exit := c.wait(c.upload("local", "import", "a b+c.qcow2", again)); exit != "OK" {
		t.Fatal(exit)
	}
	if l := list(); len(l) != 1 || l[0].(map[string]any)["size"] != float64(len(again)) {
		t.Errorf("listed are %v", l)
	}
	for _, name := range []string{"x.img", "x.QCOW2", "x.txt", "qcow2"} {
		r := c.upload("local", "import", name, img)
		if r.status != 400 || r.Errors["filename"] != "invalid filename or wrong extension" {
			t.Errorf("%s: %d %s %v", name, r.status, r.reason, r.Errors)
		}
	}
	if left := c.s.Staged(); len(left) != 4 {
		t.Errorf("refused uploads in /var/tmp: %q", left)
	}
}

// TestUploadStorage: a wrong storage shows only after the whole body, and leaves the file in /var/tmp.
func TestUploadStorage(t *testing.T) {
	t.Parallel()
	runFailuresOfUpload(t, "9.2", "local-lvm", "x.qcow2", 500, "can't upload to storage type 'lvmthin'")
	runFailuresOfUpload(t, "9.2", "data", "x.qcow2", 500, "storage 'data' does not support 'import' content")
	runFailuresOfUpload(t, "9.2", "nonsense", "x.qcow2", 500, "storage 'nonsense' does not exist")
	runFailuresOfUpload(t, "8.3", "local", "x.qcow2", 400, "Parameter verification failed.")
	runFailuresOfUpload(t, "8.2", "local", "x.ova", 400, "Parameter verification failed.")
}

func runFailuresOfUpload(t *testing.T, version, storage, name string, status int, reason string) {
	t.Helper()
	t.Run(version+" "+storage, func(t *testing.T) {
		t.Parallel()
		c := newClient(t, pvetest.Options{Version: version})
		r := c.upload(storage, "import", name, image(t, "x"))
		if r.status != status || r.reason != reason {
			t.Errorf("%d %s", r.status, r.reason)
		}
		if len(c.s.Staged()) != 1 {
			t.Errorf("in /var/tmp is %q", c.s.Staged())
		}
	})
}

// TestUploadWithoutPrivilege: who sends a large body at once never learns why; who waits does.
func TestUploadWithoutPrivilege(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{Tokens: map[string]map[string][]string{pvetest.TokenID: {"/": {"Datastore.Audit"}}}})
	ctype, body := form(part{"content", "", "import"}, part{"filename", "x.raw", strings.Repeat("x", 8<<20)})
	if r, err := c.try("POST", uploadTo, ctype, bytes.NewReader(body)); err == nil {
		t.Errorf("a large body was answered: %d %s", r.status, r.reason)
	}
	r, err := c.try("POST", uploadTo, ctype, strings.NewReader("x"))
	if err != nil || r.status != 403 || r.reason != "Permission check failed (/storage/local, Datastore.AllocateTemplate)" || r.body != "" {
		t.Errorf("%d %s %q: %v", r.status, r.reason, r.body, err)
	}
	if left := c.s.Staged(); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// TestUploadStalls: a body that stops coming ends the upload and its temporary file.
func TestUploadStalls(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{UploadStall: 20 * time.Millisecond})
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(c.s.URL, "https://"))
	must(t, err)
	defer conn.Close()
	ctype, body := form(part{"content", "", "import"}, part{"filename", "x.raw", strings.Repeat("x", 1<<20)})
	_, err = fmt.Fprintf(conn, "POST /api2/json%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		uploadTo, c.header.Get("Authorization"), ctype, len(body), body[:1<<19])
	must(t, err)
	if answer, err := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("answered %q: %v", answer, err)
	}
	if left := c.s.Staged(); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// TestUploadCancelled: a client that goes takes the temporary file with it.
func TestUploadCancelled(t *testing.T) {
	t.Parallel()
	c := newClient(t, pvetest.Options{UploadStall: time.Hour}) // a busy machine is no stall
	ctx, cancel := context.WithCancel(t.Context())
	ctype, body := form(part{"content", "", "import"}, part{"filename", "x.raw", strings.Repeat("x", 1<<20)})
	half, rest := net.Pipe()
	go func() {
		_, _ = rest.Write(body[:len(body)/2])
		cancel()
		_ = rest.Close() // the client waits for its reader
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.URL+"/api2/json"+uploadTo, half)
	must(t, err)
	req.ContentLength = int64(len(body))
	req.Header = c.header.Clone()
	req.Header.Set("Content-Type", ctype)
	if _, err := c.http.Do(req); err == nil {
		t.Error("answered")
	}
	for len(c.s.Staged()) > 0 {
		if t.Context().Err() != nil {
			t.Fatal("the temporary file stays")
		}
	}
}

// ova is a tar with a disk in it.
func ova(t *testing.T, disk string, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		data := "<Envelope/>"
		if strings.HasSuffix(name, ".qcow2") {
			data = disk
		}
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}))
		_, err := w.Write([]byte(data))
		must(t, err)
	}
	must(t, w.Close())
	return b.String()
}

// TestOVA imports a disk out of an OVA, as 8.3 can with a token and later versions still do.
func TestOVA(t *testing.T) {
	t.Parallel()
	for _, version := range versions[1:] {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, pvetest.Options{Version: version})
			img := image(t, "content")
			if exit := c.wait(c.upload("local", "import", "bad.ova", ova(t, img, "disk.qcow2"))); exit != "ova archive has no .ovf file inside" {
				t.Errorf("without an .ovf: %s", exit)
			}
			if exit := c.wait(c.upload("local", "import", "x.ova", ova(t, img, "x.ovf", "disk.qcow2"))); exit != "OK" {
				t.Fatal(exit)
			}
			r := c.want(400, "POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:0,import-from=local:import/x.ova/disk.qcow2")
			if want := "import working storage 'local' does not support 'images' content type or is not file based."; r.Errors["scsi0"] != want {
				t.Errorf("errors %v", r.Errors)
			}
			missing := c.task("POST", "/nodes/pve1/qemu", "vmid=9000", "import-working-storage=data",
				"scsi0=data:0,import-from=local:import/x.ova/other.qcow2")
			if !strings.HasPrefix(missing, "unable to create VM 9000 - error during extraction: command 'tar -x") {
				t.Errorf("a file that is not there: %s", missing)
			}
			c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "import-working-storage=data",
				"scsi0=local-lvm:0,import-from=local:import/x.ova/disk.qcow2")
			disk, format := c.s.DiskPath(t, 9000)
			source := filepath.Join(t.TempDir(), "source")
			must(t, os.WriteFile(source, []byte(img), 0o600))
			qemuImg(t, "compare", "-f", format, "-F", "qcow2", disk, source)
			want := []string{"file pve1 local:import/x.ova", "vm pve1/9000 stopped", "volume pve1/9000 local-lvm:vm-9000-disk-0"}
			if have := c.s.Inventory(); !slices.Equal(have, want) {
				t.Errorf("there is %q", have)
			}
		})
	}
}

// TestPath imports an .img by its path, which root's ticket can on all versions and is the only way before 8.3.
func TestPath(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, pvetest.Options{Version: version}).root()
			if exit := c.wait(c.upload("local", "iso", "x.img", image(t, "content"))); exit != "OK" {
				t.Fatal(exit)
			}
			var path string
			for _, st := range c.want(200, "GET", "/storage").Data.([]any) {
				if st := st.(map[string]any); st["storage"] == "local" {
					path = st["path"].(string) + "/template/iso/x.img"
				}
			}
			c.ok("POST", "/nodes/pve1/qemu", "vmid=9000", "scsi0=data:0,import-from="+path)
			c.ok("POST", "/nodes/pve1/qemu", "vmid=9001", "scsi0=data:0,import-from="+path+",format=qcow2")
			for id, want := range map[int]string{9000: "raw", 9001: "qcow2"} {
				if _, format := c.s.DiskPath(t, id); format != want {
					t.Errorf("the disk of %d is %s, want %s", id, format, want)
				}
			}
			exit := c.task("POST", "/nodes/pve1/qemu", "vmid=9002", "scsi0=data:0,import-from=/etc/passwd")
			if exit != "unable to create VM 9002 - can't find file '/etc/passwd'" {
				t.Errorf("another path: %s", exit)
			}
		})
	}
}
