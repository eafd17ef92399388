package proxmox

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"os"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// payload is the file to upload: the image, with something around it when it has to be wrapped.
type payload struct {
	image      deploy.Image
	head, tail []byte
	size       int64
	sha256     string
}

// newPayload makes the file that a way takes. Only a wrapped one is read, for its digest.
func newPayload(ctx context.Context, w way, image deploy.Image) (*payload, error) {
	info, err := image.Host.Stat(image.Path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the image: %w", err)
	}
	if info.Size() != image.SizeBytes {
		return nil, fmt.Errorf("the image %s has %d bytes and not %d: it was changed", image.Path, info.Size(), image.SizeBytes)
	}
	p := &payload{image: image, size: image.SizeBytes, sha256: image.SHA256}
	if !w.wrapped {
		return p, nil
	}
	if err := p.wrap(); err != nil {
		return nil, err
	}
	r, err := p.open(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return nil, fmt.Errorf("cannot read the image: %w", err)
	}
	p.sha256 = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

// stubOVF stands for the description that an OVA begins with. Nothing reads it: the disk is imported by its name.
const stubOVF = `<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"/>` + "\n"

// wrap puts the image into a tar, as the last of its files.
func (p *payload) wrap() error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "image.ovf", Mode: 0o644, Size: int64(len(stubOVF))})
	if err == nil {
		_, err = io.WriteString(w, stubOVF)
	}
	if err == nil {
		err = w.WriteHeader(&tar.Header{Name: innerDisk, Mode: 0o644, Size: p.image.SizeBytes})
	}
	if err != nil {
		return fmt.Errorf("cannot wrap the image: %w", err)
	}
	const block = 512
	p.head = b.Bytes()
	p.tail = make([]byte, (block-p.image.SizeBytes%block)%block+2*block)
	p.size = int64(len(p.head)) + p.image.SizeBytes + int64(len(p.tail))
	return nil
}

// open reads the file. Reading ends when ctx does.
func (p *payload) open(ctx context.Context, progress func(done int64)) (*source, error) {
	f, err := p.image.Host.OpenFile(p.image.Path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the image: %w", err)
	}
	content := io.MultiReader(bytes.NewReader(p.head), io.LimitReader(f, p.image.SizeBytes), bytes.NewReader(p.tail))
	return &source{Reader: content, Closer: f, ctx: ctx, progress: progress}, nil
}

// source is a payload that is being read.
type source struct {
	io.Reader
	io.Closer
	ctx      context.Context
	done     int64
	progress func(done int64)
	err      error // that reading ended with, besides its end
}

func (s *source) Read(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = fmt.Errorf("cannot read the image: %w", err)
	}
	if s.done += int64(n); s.progress != nil && n > 0 {
		s.progress(s.done)
	}
	return n, err
}

// form is a multipart form around a payload.
type form struct {
	head, tail  []byte
	contentType string
}

// newForm has the fields in the order that Proxmox VE wants: with the file before another one, or the checksum before its
// algorithm, it drops the connection.
func (p *payload) newForm(content, name string) (*form, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range [][2]string{{"content", content}, {"checksum-algorithm", "sha256"}, {"checksum", p.sha256}} {
		if err := w.WriteField(f[0], f[1]); err != nil {
			return nil, err
		}
	}
	if _, err := w.CreateFormFile("filename", name); err != nil {
		return nil, err
	}
	n := b.Len()
	if err := w.Close(); err != nil {
		return nil, err
	}
	return &form{head: b.Bytes()[:n], tail: b.Bytes()[n:], contentType: w.FormDataContentType()}, nil
}
