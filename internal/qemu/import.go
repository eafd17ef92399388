package qemu

import (
	"context"
	"strconv"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Import writes a standalone qcow2 with a disk of size bytes that begins with the disk in src, which must not be larger.
// format is src's, "qcow2" or "raw": that of an image from elsewhere must not be guessed. What a failed Import has
// written is removed.
func Import(ctx context.Context, h host.Host, src, format, dst string, size int64) error {
	err := img(ctx, h, nil, "convert", "-W", "-f", format, "-O", "qcow2", src, dst)
	if err == nil {
		err = img(ctx, h, nil, "resize", "-q", "-f", "qcow2", dst, strconv.FormatInt(size, 10))
	}
	return made(h, "copy the image into", dst, err)
}
