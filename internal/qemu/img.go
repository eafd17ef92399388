package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// CreateDisk makes an empty qcow2 of a virtual size in bytes.
func CreateDisk(ctx context.Context, h host.Host, file string, size int64) error {
	err := img(ctx, h, nil, "create", "-q", "-f", "qcow2", file, strconv.FormatInt(size, 10))
	return made(h, "create the disk", file, err)
}

// CreateOverlay makes a qcow2 that holds only what differs from its backing file, a qcow2 that must stay as it is.
func CreateOverlay(ctx context.Context, h host.Host, file, backing string) error {
	err := img(ctx, h, nil, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, file)
	return made(h, "create the overlay", file, err)
}

// made is the error of making a file, which is then removed: a file that is there is whole.
func made(h host.Files, what, file string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s %s: %w", what, file, errors.Join(err, host.RemoveIfExists(h, file)))
}

// leaked is qemu-img check's exit status for clusters that are allocated and not used: space is lost, data is not.
const leaked = 3

// Check reads a qcow2's structure and returns an error when it is damaged.
func Check(ctx context.Context, h host.Host, file string) error {
	err := img(ctx, h, nil, "check", "-q", "-f", "qcow2", file)
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Status == leaked {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot accept the image %s: %w", file, err)
	}
	return nil
}

// Info is what qemu-img tells about an image; sizes in bytes.
type Info struct {
	Format      string `json:"format"`
	VirtualSize int64  `json:"virtual-size"`
	ActualSize  int64  `json:"actual-size"`
	Backing     string `json:"backing-filename"` // "" for a standalone image
}

// ReadInfo asks qemu-img about an image.
func ReadInfo(ctx context.Context, h host.Host, file string) (Info, error) {
	var out bytes.Buffer
	var info Info
	err := img(ctx, h, &out, "info", "--output=json", file)
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &info)
	}
	if err != nil {
		return Info{}, fmt.Errorf("cannot read the image %s: %w", file, err)
	}
	return info, nil
}

// img runs qemu-img. An error for want of space satisfies errors.Is with syscall.ENOSPC.
func img(ctx context.Context, h host.Host, out io.Writer, args ...string) error {
	binary, err := FindImg(h)
	if err != nil {
		return err
	}
	err = h.Run(ctx, host.Cmd{Argv: append([]string{binary}, args...), Env: []string{"LC_ALL=C"}, Stdout: out})
	var exit *host.ExitError
	if errors.As(err, &exit) && strings.Contains(exit.Stderr, "No space left on device") {
		return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
	}
	return err
}
