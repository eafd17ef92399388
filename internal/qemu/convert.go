package qemu

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Formats are those that Convert writes, by their names in qemu-img.
var Formats = []string{"qcow2", "raw", "vmdk", "vdi", "vhdx"}

// Compact writes a qcow2 and its backing files into one standalone, compressed qcow2. progress, when not nil, is
// called with the percentage done. What a failed Compact has written is removed.
func Compact(ctx context.Context, h host.Host, src, dst string, progress func(percent float64)) error {
	// -W: several CPUs compress
	return made(h, "compact the image into", dst, convert(ctx, h, progress, "-c", "-W", "-O", "qcow2", src, dst))
}

// Convert writes a qcow2 and its backing files into a standalone file of another of the Formats, sparse where the format
// or the file system can be. progress and failures are as with Compact.
func Convert(ctx context.Context, h host.Host, src, dst, format string, progress func(percent float64)) error {
	err := convert(ctx, h, progress, "-O", format, src, dst)
	return made(h, fmt.Sprintf("convert the image to %s in", format), dst, err)
}

func convert(ctx context.Context, h host.Host, progress func(percent float64), args ...string) error {
	command := []string{"convert", "-f", "qcow2"}
	var out io.Writer
	if progress != nil {
		command = append(command, "-p")
		out = &progressWriter{report: progress}
	}
	return img(ctx, h, out, append(command, args...)...)
}

// progressWriter takes what qemu-img -p prints: "    (12.34/100%)\r" time and again.
type progressWriter struct {
	report func(percent float64)
	rest   []byte
}

var percentage = regexp.MustCompile(`\((\d+(?:\.\d+)?)/100%\)`)

func (w *progressWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		at := percentage.FindSubmatchIndex(w.rest)
		if at == nil {
			break
		}
		if percent, err := strconv.ParseFloat(string(w.rest[at[2]:at[3]]), 64); err == nil {
			w.report(percent)
		}
		w.rest = w.rest[at[1]:]
	}
	w.rest = w.rest[max(0, len(w.rest)-32):] // a mark is shorter
	return len(p), nil
}
