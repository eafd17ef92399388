package hosttest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

func files(t *testing.T, newHost func(t *testing.T) host.Host) {
	t.Run("open flags", func(t *testing.T) { openFlags(t, newHost(t)) })
	t.Run("read, seek, read at", func(t *testing.T) { readSeek(t, newHost(t)) })
	t.Run("directories", func(t *testing.T) { directories(t, newHost(t)) })
	t.Run("errors", func(t *testing.T) { fileErrors(t, newHost(t)) })
	t.Run("rename replaces", func(t *testing.T) {
		h, dir := newHost(t), t.TempDir()
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		write(t, h, a, os.O_WRONLY|os.O_CREATE, "new")
		write(t, h, b, os.O_WRONLY|os.O_CREATE, "old")
		if err := h.Rename(a, b); err != nil {
			t.Fatal(err)
		}
		expectContent(t, b, "new")
		expectNames(t, dir, "b")
	})
	t.Run("whole files", func(t *testing.T) { wholeFiles(t, newHost(t)) })
	t.Run("modes", func(t *testing.T) { modes(t, newHost(t)) })
	t.Run("copy", func(t *testing.T) { copies(t, newHost(t)) })
	t.Run("free space", func(t *testing.T) {
		if n, err := newHost(t).Free(t.TempDir()); err != nil || n == 0 {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

func openFlags(t *testing.T, h host.Host) {
	name := filepath.Join(t.TempDir(), "f")
	write(t, h, name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, "abcdef")
	write(t, h, name, os.O_WRONLY, "AB")
	expectContent(t, name, "ABcdef")
	write(t, h, name, os.O_WRONLY|os.O_APPEND, "gh")
	expectContent(t, name, "ABcdefgh")
	write(t, h, name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, "x")
	expectContent(t, name, "x")
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: want 0600", info.Mode(), err)
	}
	if f, err := h.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("O_EXCL on a file: got %v, %v", f, err)
	}
}

func readSeek(t *testing.T, h host.Host) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := h.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if n, err := f.ReadAt(b, 8); n != 2 || !errors.Is(err, io.EOF) || string(b[:n]) != "89" {
		t.Errorf("ReadAt: got %q, %v; want 89, EOF", b[:n], err)
	}
	if _, err := f.Seek(-4, io.SeekEnd); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(f, b); err != nil || string(b) != "6789" {
		t.Errorf("read %q, %v", b, err)
	}
	if n, err := f.Read(b); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("Read at the end: got %d, %v", n, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 10 {
		t.Errorf("Stat: got %v, %v", info, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Error(err)
	}
}

func directories(t *testing.T, h host.Host) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	for range 2 { // the second finds it there
		if err := h.MkdirAll(deep, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, h, filepath.Join(dir, "a", "f"), os.O_WRONLY|os.O_CREATE, "123")
	infos, err := h.ReadDir(filepath.Join(dir, "a"))
	if err != nil || len(infos) != 2 {
		t.Fatalf("ReadDir: got %v, %v", infos, err)
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return len(a.Name()) + int(a.Size()) - len(b.Name()) - int(b.Size()) })
	for _, i := range infos {
		if isDir := i.Name() == "b"; i.IsDir() != isDir || !isDir && i.Size() != 3 {
			t.Errorf("ReadDir: %s, directory %v, size %d", i.Name(), i.IsDir(), i.Size())
		}
	}
	if err := h.Remove(filepath.Join(dir, "a")); err == nil {
		t.Error("removed a directory that was not empty")
	}
	for range 2 { // what is not there is no error
		if err := h.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Error(err)
		}
	}
	expectNames(t, dir)
}

// modes tests that new files and folders have the mode they were asked for, without what the umask takes.
func modes(t *testing.T, h host.Host) {
	dir := t.TempDir()
	for _, perm := range []fs.FileMode{0o600, 0o640, 0o755, 0o700} {
		file, folder := filepath.Join(dir, "f"+perm.String()), filepath.Join(dir, "d"+perm.String())
		f, err := h.OpenFile(file, os.O_WRONLY|os.O_CREATE, perm)
		if err == nil {
			err = f.Close()
		}
		if err = errors.Join(err, h.MkdirAll(filepath.Join(folder, "deep"), perm|0o700)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{file, folder, filepath.Join(folder, "deep")} {
			info, err := os.Stat(name)
			want := perm
			if err == nil && info.IsDir() {
				want |= 0o700
			}
			if err != nil || info.Mode().Perm()&^want != 0 || info.Mode().Perm()&0o700 != want&0o700 {
				t.Errorf("%s: got %v, %v", name, info.Mode(), err)
			}
		}
		f, err = h.OpenFile(file, os.O_WRONLY|os.O_CREATE, perm^0o111) // it is there, and keeps its mode
		if err == nil {
			err = f.Close()
		}
		if info, e := h.Stat(file); err != nil || e != nil || info.Mode().Perm()&0o100 != perm&0o100 {
			t.Errorf("opened again: got %v, %v", err, e)
		}
	}
}

// copies tests io.Copy from and to files, from where they stand, with more than fits into one packet of anything.
func copies(t *testing.T, h host.Host) {
	data := make([]byte, 5<<20+3)
	for i := range data {
		data[i] = byte(i >> 8 * i)
	}
	name := filepath.Join(t.TempDir(), "f")
	f, err := h.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, "begin"); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(f, io.MultiReader(bytes.NewReader(data[:9]), bytes.NewReader(data[9:]))); err != nil || n != int64(len(data)) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if at, err := f.Seek(5, io.SeekStart); err != nil || at != 5 {
		t.Fatalf("at %d, %v", at, err)
	}
	var got bytes.Buffer
	if n, err := io.Copy(&got, f); err != nil || n != int64(len(data)) || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("read %d, %v; want what was written", n, err)
	}
	if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != int64(len(data))+5 {
		t.Errorf("it stands at %d, %v", at, err)
	}
	part := make([]byte, 1<<20)
	if n, err := f.ReadAt(part, 5+77); err != nil || !bytes.Equal(part[:n], data[77:77+len(part)]) {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	wrong := errors.New("no more")
	_, _ = f.Seek(0, io.SeekStart)
	if _, err := io.Copy(failing{wrong}, f); !errors.Is(err, wrong) {
		t.Errorf("copying to a writer that fails: got %v", err)
	}
	if _, err := io.Copy(f, io.MultiReader(bytes.NewReader(data[:99]), failing{wrong})); !errors.Is(err, wrong) {
		t.Errorf("copying from a reader that fails: got %v", err)
	}
}

// failing is a reader and a writer that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func fileErrors(t *testing.T, h host.Host) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	_, open := h.OpenFile(missing, os.O_RDONLY, 0)
	_, stat := h.Stat(missing)
	_, read := h.ReadDir(missing)
	for what, err := range map[string]error{
		"OpenFile": open, "Stat": stat, "ReadDir": read,
		"Remove": h.Remove(missing), "Rename": h.Rename(missing, missing+"2"),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", what, err)
		}
	}
	if os.Geteuid() == 0 {
		return // root may do everything
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := h.OpenFile(missing, os.O_WRONLY|os.O_CREATE, 0o600); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("OpenFile in a read-only directory: got %v, want fs.ErrPermission", err)
	}
}

func wholeFiles(t *testing.T, h host.Host) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	for _, text := range []string{"one", "", "three"} {
		if err := host.WriteFile(h, name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := host.ReadFile(h, name); err != nil || string(b) != text {
			t.Errorf("ReadFile: got %q, %v; want %q", b, err, text)
		}
	}
	if err := os.WriteFile(name+".part", []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := host.Publish(h, name+".part", name); err != nil {
		t.Fatal(err)
	}
	expectContent(t, name, "whole")
	if err := host.Publish(h, name+".part", name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Publish of nothing: got %v", err)
	}
	for range 2 {
		if err := host.RemoveIfExists(h, name); err != nil {
			t.Error(err)
		}
	}
	if err := host.WriteFile(h, filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile into no directory: got %v", err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := host.WriteFile(h, name, nil, 0o600); err == nil {
		t.Error("WriteFile over a directory: no error")
	}
	expectNames(t, dir, "f")
}

// DiskFull tests that a host tells a full disk as such. path is a file on one that is full, as /dev/full of Linux.
func DiskFull(t *testing.T, h host.Host, path string) {
	f, err := h.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte("x"))
	if err = errors.Join(err, f.Sync(), f.Close()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
}

func write(t *testing.T, h host.Files, name string, flag int, text string) {
	t.Helper()
	f, err := h.OpenFile(name, flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func expectContent(t *testing.T, name, want string) {
	t.Helper()
	if b, err := os.ReadFile(name); err != nil || string(b) != want {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(name), b, err, want)
	}
}

func expectNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}
