package deploytest

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Host puts the faults between a target and a machine: in front of its commands, its file system and what is read from
// and written to open files one after the other. A command that hangs ends with its context. What is done to a file
// cannot be cancelled, so there Hang is the same as Refuse.
func Host(h host.Host, f *Faults) host.Host { return &faultyHost{h, f} }

type faultyHost struct {
	host.Host
	faults *Faults
}

// try does something, or fails as it is due. A hang that cannot be cancelled has no ctx.
func (h *faultyHost) try(ctx context.Context, what string, do func() error) error {
	failure := fmt.Errorf("%s: %w", what, ErrInjected)
	switch mode := h.faults.Next(what); {
	case mode == "":
		return do()
	case mode == Lose:
		if err := do(); err != nil {
			return err
		}
	case mode == Hang && ctx != nil:
		<-ctx.Done()
		return fmt.Errorf("%w: %w", failure, ctx.Err())
	}
	return failure
}

func (h *faultyHost) Run(ctx context.Context, c host.Cmd) error {
	return h.try(ctx, "run", func() error { return h.Host.Run(ctx, c) })
}

func (h *faultyHost) Start(ctx context.Context, c host.Cmd) (p host.Process, err error) {
	err = h.try(ctx, "start", func() error {
		p, err = h.Host.Start(ctx, c)
		return err
	})
	if err != nil && p != nil { // lost: nobody else can end it
		_ = p.Terminate(context.WithoutCancel(ctx))
		p = nil
	}
	return p, err
}

// file does something to the file system.
func (h *faultyHost) file(what string, do func() error) error { return h.try(nil, what, do) } //nolint:staticcheck // nothing to cancel

func (h *faultyHost) OpenFile(path string, flag int, perm fs.FileMode) (f host.File, err error) {
	err = h.file("open", func() error {
		f, err = h.Host.OpenFile(path, flag, perm)
		return err
	})
	switch {
	case err == nil:
		return &faultyFile{f, h}, nil
	case f != nil:
		_ = f.Close()
	}
	return nil, err
}

func (h *faultyHost) Stat(path string) (info fs.FileInfo, err error) {
	err = h.file("stat", func() error {
		info, err = h.Host.Stat(path)
		return err
	})
	return info, err
}

func (h *faultyHost) ReadDir(path string) (list []fs.FileInfo, err error) {
	err = h.file("readdir", func() error {
		list, err = h.Host.ReadDir(path)
		return err
	})
	return list, err
}

func (h *faultyHost) Free(path string) (free uint64, err error) {
	err = h.file("free", func() error {
		free, err = h.Host.Free(path)
		return err
	})
	return free, err
}

func (h *faultyHost) MkdirAll(path string, perm fs.FileMode) error {
	return h.file("mkdir", func() error { return h.Host.MkdirAll(path, perm) })
}

func (h *faultyHost) Rename(oldpath, newpath string) error {
	return h.file("rename", func() error { return h.Host.Rename(oldpath, newpath) })
}

func (h *faultyHost) Remove(path string) error {
	return h.file("remove", func() error { return h.Host.Remove(path) })
}

func (h *faultyHost) RemoveAll(path string) error {
	return h.file("removeall", func() error { return h.Host.RemoveAll(path) })
}

// faultyFile is an open file of a faultyHost. ReadAt goes through as it is.
type faultyFile struct {
	host.File
	host *faultyHost
}

func (f *faultyFile) Read(p []byte) (n int, err error) {
	err = f.host.file("read", func() error {
		n, err = f.File.Read(p)
		return err
	})
	return n, err
}

func (f *faultyFile) Write(p []byte) (n int, err error) {
	err = f.host.file("write", func() error {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

func (f *faultyFile) Sync() error { return f.host.file("sync", f.File.Sync) }
