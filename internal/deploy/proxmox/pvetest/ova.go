package pvetest

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
)

// tarNames lists the files of a tar archive.
func tarNames(file string) ([]string, error) {
	var list []string
	err := eachInTar(file, func(h *tar.Header, _ io.Reader) error {
		list = append(list, h.Name)
		return nil
	})
	if err == nil && len(list) == 0 {
		err = errors.New("this does not look like a tar archive")
	}
	return list, err
}

func eachInTar(file string, do func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = do(h, r)
		}
		if err != nil {
			return err
		}
	}
}

// extract takes a disk out of an OVA, into an image of the VM on the working storage.
func (c *call) extract(ctx context.Context, v *vm, src volume) (volume, error) {
	st := src.st
	if id := c.params["import-working-storage"]; id != "" {
		var err error
		if st, err = c.enabled(id, v.node); err != nil {
			return volume{}, err
		}
	}
	format := src.format[len("ova+"):]
	out := volume{st: st, node: v.node, kind: "images", vmid: v.id, format: format}
	c.mu.Lock()
	err := c.reserveName(&out, "")
	c.mu.Unlock()
	if err != nil {
		return volume{}, err
	}
	if err := c.unpack(ctx, src, out); err != nil {
		_ = c.free(out)
		return volume{}, err
	}
	return out, nil
}

func (c *call) unpack(ctx context.Context, src, dst volume) error {
	found := false
	err := eachInTar(c.file(src), func(h *tar.Header, r io.Reader) error {
		if h.Name != src.inner {
			return nil
		}
		if found = true; h.Typeflag != tar.TypeReg {
			return die("extracted file '%s' from archive '%s' is not a regular file", src.inner, src.leaf)
		}
		f, err := os.Create(c.file(dst))
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	if !found {
		return die("command 'tar -x --force-local --no-same-owner -f %s %s' failed: exit code 2", c.shown(src), src.inner)
	}
	_, err = c.untrusted(ctx, c.file(dst), c.shown(dst), dst.format)
	return err
}
