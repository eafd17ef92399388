package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// CreateDisk makes an empty qcow2 of a virtual size in bytes.
func CreateDisk(ctx context.Context, h host.Host, file string, size int64) error {
	return img(ctx, h, "create disk", nil, "create", "-q", "-f", "qcow2", file, strconv.FormatInt(size, 10))
}

// CreateOverlay makes a qcow2 that holds only what differs from its backing file, which must stay as it is.
func CreateOverlay(ctx context.Context, h host.Host, file, backing string) error {
	return img(ctx, h, "create overlay", nil, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, file)
}

// Compact writes a qcow2 and its backing files into one standalone, compressed qcow2.
func Compact(ctx context.Context, h host.Host, src, dst string) error {
	return img(ctx, h, "compact", nil, "convert", "-q", "-c", "-W", "-O", "qcow2", src, dst)
}

// Check finds damage and leaks in a qcow2.
func Check(ctx context.Context, h host.Host, file string) error {
	return img(ctx, h, "check", nil, "check", "-q", "-f", "qcow2", file)
}

// Info is what qemu-img tells about an image; sizes in bytes.
type Info struct {
	Format      string `json:"format"`
	VirtualSize int64  `json:"virtual-size"`
	ActualSize  int64  `json:"actual-size"`
	Backing     string `json:"backing-filename"`
}

// ReadInfo asks qemu-img about an image.
func ReadInfo(ctx context.Context, h host.Host, file string) (Info, error) {
	var out bytes.Buffer
	if err := img(ctx, h, "read", &out, "info", "--output=json", file); err != nil {
		return Info{}, err
	}
	var info Info
	if err := json.Unmarshal(out.Bytes(), &info); err != nil {
		return Info{}, fmt.Errorf("cannot understand qemu-img info: %w", err)
	}
	return info, nil
}

// img runs qemu-img.
func img(ctx context.Context, h host.Host, what string, out *bytes.Buffer, args ...string) error {
	binary, err := FindImg(h)
	if err != nil {
		return err
	}
	c := host.Cmd{Argv: append([]string{binary}, args...)}
	if out != nil {
		c.Stdout = out
	}
	if err := h.Run(ctx, c); err != nil {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}
