package debtest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// extract copies regular files out of a package. place gives the target path of a member (named without the
// leading "./") or "" to skip it; folders are made as needed.
func extract(ctx context.Context, deb string, place func(name string) string) error {
	pr, pw := io.Pipe()
	go func() {
		pw.CloseWithError(command{argv: []string{"dpkg-deb", "--fsys-tarfile", deb}}.to(ctx, pw))
	}()
	err := extractTar(pr, place)
	_ = pr.CloseWithError(io.ErrClosedPipe) // ends dpkg-deb when the archive is not read to its end
	if err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	return nil
}

// extractTar is extract for a tar stream; it reads to the stream's end.
func extractTar(r io.Reader, place func(name string) string) error {
	members := tar.NewReader(r)
	for {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // the padding, so that the writer ends well
			return err
		}
		if err != nil {
			return err
		}
		target := place(path.Clean(strings.TrimPrefix(h.Name, "./")))
		if target == "" || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(target, members, h.FileInfo().Mode().Perm()); err != nil {
			return err
		}
	}
}

// writeFile writes a new file and the folders above it.
func writeFile(target string, r io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// readInitrd finds out which kernel the installer runs and which udebs it has, from its initrd.
func readInitrd(ctx context.Context, initrd string) (installer, error) {
	f, err := os.Open(initrd)
	if err != nil {
		return installer{}, fmt.Errorf("read the installer's initrd: %w", err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return installer{}, fmt.Errorf("read the installer's initrd: %w", err)
	}
	const status = "var/lib/dpkg/status"
	out, err := command{argv: []string{"cpio", "--extract", "--to-stdout", "--quiet", status}, stdin: plain}.output(ctx)
	if err != nil {
		return installer{}, fmt.Errorf("read the installer's initrd: %w", err)
	}
	what, ok := parseInstaller(string(out))
	if !ok {
		return installer{}, fmt.Errorf("read the installer's initrd: %s names no kernel image", status)
	}
	return what, nil
}
