package localfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// Check looks for what would keep a disk of a format from getting into a folder, which need not exist. field is the
// setting that names the folder. Nothing is changed.
func Check(ctx context.Context, h host.Host, r deploy.Request, dir, field, format string) ([]deploy.Problem, error) {
	var problems []deploy.Problem
	there, problem, err := writable(ctx, h, dir)
	if err != nil {
		return nil, err
	}
	if problem == nil && r.Image.Path != "" {
		problem, err = room(h, there, need(r.Image, format))
		if err != nil {
			return nil, err
		}
	}
	if problem != nil {
		problem.Field = field
		problems = append(problems, *problem)
	}
	if format != copied {
		if _, err := qemu.FindImg(h); err != nil {
			problems = append(problems, deploy.Problem{Summary: "qemu-img is missing", Detail: err.Error() + "."})
		}
	}
	return problems, nil
}

// writable finds the folder that exists of dir or above it, in which what is missing would be made.
func writable(ctx context.Context, h host.Host, dir string) (string, *deploy.Problem, error) {
	info, err := h.Stat(dir)
	for (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) && dir != "/" {
		dir = path.Dir(dir)
		info, err = h.Stat(dir)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", denied(dir), nil
	case err != nil:
		return "", nil, fmt.Errorf("cannot look at the folder: %w", err)
	case !info.IsDir():
		return "", &deploy.Problem{
			Summary: "Not a folder", Detail: dir + " is a file. Choose another place, or move it away.",
		}, nil
	}
	var no *host.ExitError
	if err := h.Run(ctx, host.Cmd{Argv: []string{"test", "-w", dir}}); errors.As(err, &no) {
		return "", denied(dir), nil
	} else if err != nil {
		return "", nil, fmt.Errorf("cannot look whether %s is writable: %w", dir, err)
	}
	return dir, nil, nil
}

func denied(dir string) *deploy.Problem {
	return &deploy.Problem{
		Summary: "Folder is not writable", Detail: fmt.Sprintf("Nothing can be made in %s. Choose another place, or allow it.", dir),
	}
}

// need is how many bytes the image takes in a format, as far as is known.
func need(i deploy.Image, format string) int64 {
	if format == copied {
		return i.SizeBytes
	}
	d, err := disk.Open(i.Host, i.Path)
	if err != nil { // Deploy says what it is
		return i.SizeBytes
	}
	defer d.Close()
	const piece = 64 << 10
	blocks, err := d.Blocks(piece)
	if err != nil {
		return i.SizeBytes
	}
	return int64(len(blocks)) * piece
}

func room(h host.Files, dir string, need int64) (*deploy.Problem, error) {
	free, err := h.Free(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look for free space: %w", err)
	}
	if need < 0 || free >= uint64(need) {
		return nil, nil //nolint:nilnil // there is room
	}
	return &deploy.Problem{
		Summary: "Not enough space", Detail: fmt.Sprintf(
			"The disk takes %d MiB, and in %s %d MiB are free; an old generation goes only once the new one is there. Make room, or choose another place.",
			need>>20, dir, free>>20),
	}, nil
}
