package proxmox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// upload is an image on its way into the import storage.
type upload struct {
	*target
	at   *site
	r    deploy.Request
	name string
	*payload
}

// newUpload names the file by the image's digest and the deployment's place: two deployments of one image must not share
// a file, because an upload overwrites it in place while another's import may be reading it.
func (t *target) newUpload(ctx context.Context, at *site, r deploy.Request) (*upload, error) {
	p, err := newPayload(ctx, at.way, r.Image)
	if err != nil {
		return nil, err
	}
	return &upload{target: t, at: at, r: r, name: "pim-" + r.Image.SHA256 + uploadSuffix(at, r.Name), payload: p}, nil
}

// uploadSuffix ends the names of all uploads for one deployment.
func uploadSuffix(at *site, name string) string {
	sum := sha256.Sum256([]byte(at.node + "/" + name))
	return "-" + hex.EncodeToString(sum[:4]) + at.way.ext
}

func (u *upload) volume() string {
	return u.s.ImportStorage + ":" + u.at.way.content + "/" + u.name
}

// stage makes sure that the file is there, whole and verified by the server.
func (u *upload) stage(ctx context.Context) error {
	there, err := u.sweep(ctx)
	if err != nil || there {
		return err
	}
	for try := 1; ; try++ {
		upid, err := u.send(ctx)
		if err == nil {
			if _, err = u.through(ctx, upid); err != nil {
				return fmt.Errorf("the server did not accept the upload of %s: %w", u.image.Path, err)
			}
			return nil
		}
		if !transient(err) {
			return u.forbidden(ctx, err)
		}
		steady, cancel := deploy.Lasting(ctx)
		there, unknown := u.arrived(steady)
		cancel()
		switch {
		case there:
			return nil
		case unknown != nil:
			return errors.Join(err, unknown)
		case try >= u.pace.Attempts || u.pause(ctx, try) != nil:
			return u.forbidden(ctx, err)
		}
	}
}

// send makes the request, with a length that is known and a body that is never held in memory. It goes through
// go-proxmox's client no more than that: that sends the fields in random order. When ctx ends before all is sent, the
// server gets less than it was told to and drops it; after that the answer is waited for, because it names the task.
func (u *upload) send(ctx context.Context) (upid string, err error) {
	form, err := u.newForm(u.at.way.content, u.name)
	if err != nil {
		return "", err
	}
	content, err := u.open(ctx, func(done int64) { u.r.Report("upload", done, u.size) })
	if err != nil {
		return "", err
	}
	defer content.Close()
	path := "/nodes/" + u.at.node + "/storage/" + u.s.ImportStorage + "/upload"
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, u.Endpoint+apiPath+path,
		io.NopCloser(io.MultiReader(bytes.NewReader(form.head), content, bytes.NewReader(form.tail))))
	if err != nil {
		return "", err
	}
	req.ContentLength = int64(len(form.head)) + u.size + int64(len(form.tail))
	req.Header.Set("Content-Type", form.contentType)
	if err := u.authorize(ctx, req.Header); err != nil {
		return "", err
	}
	resp, err := u.http.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var answer object
		err = decode(resp.Body, &answer)
		upid = answer["data"]
	}
	if content.err != nil {
		return "", content.err
	}
	return upid, explain(ctx, u.Endpoint, "POST "+path, err)
}

// arrived waits for uploads of ours that the cluster is at work on, and looks whether this one is there. Their task runs on
// the node that was connected to, which may be any behind the address: it copies the file to the storage's node.
func (u *upload) arrived(ctx context.Context) (bool, error) {
	var nodes []object
	if err := u.get(ctx, "/nodes", nil, &nodes); err != nil {
		return false, err
	}
	var upids []string
	for _, n := range nodes {
		if n["status"] == "offline" {
			continue
		}
		more, err := u.running(ctx, n["node"], "imgcopy", 0)
		if err != nil {
			return false, err
		}
		upids = append(upids, more...)
	}
	var failed *taskError
	for _, upid := range upids {
		if _, err := u.await(ctx, upid); err != nil && !errors.As(err, &failed) {
			return false, err
		}
	}
	return u.there(ctx)
}

// there looks for the file, by name and size.
func (u *upload) there(ctx context.Context) (bool, error) {
	files, err := u.files(ctx)
	for _, f := range files {
		if f["volid"] == u.volume() {
			return f["size"] == strconv.FormatInt(u.size, 10), err
		}
	}
	return false, err
}

func (u *upload) files(ctx context.Context) ([]object, error) {
	var files []object
	err := u.get(ctx, "/nodes/"+u.at.node+"/storage/"+u.s.ImportStorage+"/content", params{"content": u.at.way.content}, &files)
	if err != nil {
		return nil, fmt.Errorf("cannot list storage %s: %w", u.s.ImportStorage, err)
	}
	return files, nil
}

// sweep looks for the file, which a provider that was killed may have left, and removes what others left of this
// deployment.
func (u *upload) sweep(ctx context.Context) (there bool, err error) {
	files, err := u.files(ctx)
	if err != nil {
		return false, err
	}
	ours := u.s.ImportStorage + ":" + u.at.way.content + "/pim-"
	for _, f := range files {
		created, _ := strconv.ParseInt(f["ctime"], 10, 64)
		switch {
		case f["volid"] == u.volume():
			there = f["size"] == strconv.FormatInt(u.size, 10)
		case strings.HasPrefix(f["volid"], ours) && strings.HasSuffix(f["volid"], uploadSuffix(u.at, u.r.Name)) &&
			created > 0 && time.Since(time.Unix(created, 0)) > u.pace.Abandoned:
			_ = u.removeVolume(ctx, u.at.node, f["volid"]) // the next deployment tries again
		}
	}
	return there, nil
}

// unstage removes the file: the import has made a full copy. That it stays is no failure of the deployment.
func (u *upload) unstage(ctx context.Context, mayLack bool) {
	ctx, cancel := deploy.Cleanup(ctx)
	defer cancel()
	if mayLack {
		files, err := u.files(ctx)
		if err == nil && !hasVolume(files, u.volume()) {
			return
		}
	}
	err := u.removeVolume(ctx, u.at.node, u.volume())
	if err == nil {
		return
	}
	if files, e := u.files(ctx); e == nil && !hasVolume(files, u.volume()) {
		return
	}
	u.r.Report(fmt.Sprintf("The uploaded file %s stays on node %s, which is harmless: %v", u.volume(), u.at.node, err), 0, 0)
}

func hasVolume(files []object, volume string) bool {
	for _, f := range files {
		if f["volid"] == volume {
			return true
		}
	}
	return false
}

// removeVolume deletes a volume of a storage.
func (c *client) removeVolume(ctx context.Context, node, volume string) error {
	path := "/nodes/" + node + "/storage/" + storageOf(volume) + "/content/" + url.PathEscape(volume)
	upid, err := c.change(ctx, http.MethodDelete, path, nil, repeatable)
	if err == nil {
		_, err = c.through(ctx, upid)
	}
	return err
}

// forbidden adds why an upload failed, if it is for a lack of privileges: the server closes the connection on a client
// that sends on, so that its answer is lost.
func (u *upload) forbidden(ctx context.Context, err error) error {
	if lacks, e := u.lacks(ctx, "/storage/"+u.s.ImportStorage, privUpload); e == nil && len(lacks) > 0 {
		return &deploy.FieldError{Field: "import_storage", Err: fmt.Errorf("%s lacks the privilege %s on /storage/%s: %w",
			u.user(), privUpload, u.s.ImportStorage, err)}
	}
	return fmt.Errorf("cannot upload the image: %w", err)
}
