package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// sftpNeeds are the extensions of OpenSSH that Files is built on; its server has all of them since 6.5.
var sftpNeeds = []string{"posix-rename@openssh.com", "statvfs@openssh.com", "fsync@openssh.com"}

// openFiles opens the connection's file transfer.
func (c *sshConn) openFiles(ctx context.Context) error {
	ch, requests, err := c.channel(ctx)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(requests)
	stop := context.AfterFunc(ctx, func() { _ = ch.Close() })
	defer stop()
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	if err != nil || !ok {
		return fmt.Errorf("its SSH server offers no file transfer (Subsystem sftp): %w", errors.Join(ctx.Err(), err))
	}
	// Writes beside each other are sent in order, and OpenSSH's server carries them out in order.
	c.sftp, err = sftp.NewClientPipe(ch, ch, sftp.UseConcurrentWrites(true), sftp.UseFstat(true))
	if err != nil {
		return fmt.Errorf("cannot begin to transfer files: %w", errors.Join(ctx.Err(), err))
	}
	for _, need := range sftpNeeds {
		if _, ok := c.sftp.HasExtension(need); !ok {
			return fmt.Errorf("its SSH server's file transfer lacks %s; OpenSSH has it since 6.5", need)
		}
	}
	return nil
}

// sshFiles implements Files by SFTP, and by commands where SFTP cannot say it. Times of files have full seconds.
type sshFiles struct{ h *SSH }

// do runs an operation on a path through the current connection, and gives its error the form that Files promises.
func (f sshFiles) do(op, name string, call func(c *sftp.Client) error) error {
	if !path.IsAbs(name) {
		return &fs.PathError{Op: op, Path: name, Err: errors.New("the path is not absolute")}
	}
	conn, err := f.h.current()
	if err == nil {
		err = conn.explain(call(conn.sftp))
	}
	if err == nil {
		return nil
	}
	return pathError(op, name, err)
}

// pathError has one path error around another kind of error.
func pathError(op, name string, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (f sshFiles) Stat(name string) (info fs.FileInfo, err error) {
	err = f.do("stat", name, func(c *sftp.Client) error {
		info, err = c.Stat(name)
		return err
	})
	return info, err
}

func (f sshFiles) ReadDir(name string) (infos []fs.FileInfo, err error) {
	err = f.do("open", name, func(c *sftp.Client) error {
		infos, err = c.ReadDir(name)
		return err
	})
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	return infos, err
}

func (f sshFiles) Remove(name string) error {
	return f.do("remove", name, func(c *sftp.Client) error { return c.Remove(name) })
}

// Rename replaces newpath. The folder is flushed as for Local: OpenSSH's server opens folders like files.
func (f sshFiles) Rename(oldpath, newpath string) error {
	return f.do("rename", oldpath, func(c *sftp.Client) error {
		if err := c.PosixRename(oldpath, newpath); err != nil {
			return err
		}
		dir, err := c.Open(path.Dir(newpath))
		if err != nil {
			return fmt.Errorf("cannot make the rename durable: %w", err)
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return fmt.Errorf("cannot make the rename durable: %w", err)
		}
		return nil
	})
}

func (f sshFiles) Free(name string) (free uint64, err error) {
	err = f.do("statfs", name, func(c *sftp.Client) error {
		st, err := c.StatVFS(name)
		if err == nil {
			free = st.Bavail * st.Frsize
		}
		return err
	})
	return free, err
}

// MkdirAll is a command, because SFTP would give a new folder its mode only once others could have looked into it.
func (f sshFiles) MkdirAll(name string, perm fs.FileMode) error {
	mask := strconv.FormatUint(uint64((fs.ModePerm&^perm|f.h.mask())&fs.ModePerm), 8)
	return f.command("mkdir", name, `umask "$1" && exec mkdir -p -- "$2"`, mask, name)
}

// RemoveAll is a command, because SFTP would take a round trip for every file.
func (f sshFiles) RemoveAll(name string) error {
	if path.Clean(name) == "/" {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	return f.command("remove", name, `exec rm -rf -- "$1"`, name)
}

// command does something to a path with a line of shell.
func (f sshFiles) command(op, name, line string, args ...string) error {
	if !path.IsAbs(name) {
		return &fs.PathError{Op: op, Path: name, Err: errors.New("the path is not absolute")}
	}
	argv := append([]string{"sh", "-c", line, "sh"}, args...)
	err := f.h.Run(context.Background(), Cmd{Argv: argv, Env: []string{"LC_ALL=C"}})
	if err == nil {
		return nil
	}
	var exit *ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w%s", said(exit.Stderr), strings.TrimSpace(exit.Stderr))
	}
	return pathError(op, name, err)
}

// said finds the system's error in what a command says in the locale C.
func said(text string) error {
	for words, err := range map[string]error{
		"No such file or directory": syscall.ENOENT, "Not a directory": syscall.ENOTDIR, "File exists": syscall.EEXIST,
		"Permission denied": syscall.EACCES, "Operation not permitted": syscall.EPERM,
		"No space left on device": syscall.ENOSPC, "Disk quota exceeded": syscall.ENOSPC, "Read-only file system": syscall.EROFS,
		"Is a directory": syscall.EISDIR, "Directory not empty": syscall.ENOTEMPTY,
	} {
		if strings.Contains(text, words) {
			return err
		}
	}
	return errors.New(strings.TrimSpace(text))
}

func (h *SSH) mask() fs.FileMode {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.umask
}

// OpenFile opens a file. See sshFile for what is special about it.
func (f sshFiles) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	var file *sftp.File
	err := f.do("open", name, func(c *sftp.Client) (err error) {
		file, err = f.open(c, name, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	conn, err := f.h.current() // if it is not the one of the file, the file tells
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return &sshFile{f: file, h: f.h, conn: conn, name: name, appends: flag&os.O_APPEND != 0}, nil
}

// open gives a new file its mode: SFTP's open does not, so a file is first made by itself, which also tells whether
// it is new.
func (f sshFiles) open(c *sftp.Client, name string, flag int, perm fs.FileMode) (*sftp.File, error) {
	if flag&os.O_CREATE == 0 {
		return c.OpenFile(name, flag)
	}
	mask := f.h.mask()
	if private := perm&0o077 == 0; private && mask&0o077 != 0o077 {
		// Nobody else may open it even for the moment until it has its mode. Whether this worked shows below.
		line := `umask 077 && set -C && : >"$1"`
		err := f.h.Run(context.Background(), Cmd{Argv: []string{"sh", "-c", line, "sh", name}})
		if err == nil {
			return f.created(c, name, flag, perm&^mask)
		}
	}
	file, err := c.OpenFile(name, flag|os.O_EXCL)
	if err == nil {
		return file, errors.Join(file.Chmod(perm &^ mask))
	}
	_, there := c.Lstat(name)
	switch {
	case there != nil && errors.Is(there, fs.ErrNotExist):
		return nil, err // it is not there and cannot be made
	case flag&os.O_EXCL != 0 && there == nil:
		return nil, syscall.EEXIST
	}
	return c.OpenFile(name, flag&^os.O_CREATE)
}

// created opens a file that was made for it just now.
func (f sshFiles) created(c *sftp.Client, name string, flag int, perm fs.FileMode) (*sftp.File, error) {
	file, err := c.OpenFile(name, flag&^(os.O_CREATE|os.O_EXCL))
	if err != nil {
		return nil, err
	}
	return file, file.Chmod(perm)
}
