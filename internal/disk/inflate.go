package disk

import (
	"bufio"
	"compress/flate"
	"io"
	"sync"

	"github.com/lima-vm/go-qcow2reader/image/qcow2"
	"github.com/lima-vm/go-qcow2reader/log"
)

// register replaces go-qcow2reader's decompressor, of which there is one per process: it makes a new one for each
// cluster, and gives it back in pieces, for each of which it begins anew. Nor is it to log: what it warns of is no matter
// or an error of ours.
var register = sync.OnceFunc(func() {
	log.SetWarnFunc(nil)
	pool := sync.Pool{New: func() any {
		in := bufio.NewReaderSize(nil, 16<<10)
		return &inflater{in: in, out: flate.NewReader(in)}
	}}
	qcow2.SetDecompressor(qcow2.CompressionTypeZlib, func(r io.Reader) (io.ReadCloser, error) {
		z := pool.Get().(*inflater)
		z.in.Reset(r)
		z.done = func() { pool.Put(z) }
		return z, z.out.(flate.Resetter).Reset(z.in, nil)
	})
})

// inflater decompresses one cluster, and is used again for others.
type inflater struct {
	in   *bufio.Reader
	out  io.ReadCloser
	done func()
}

// Read fills p, unless the cluster is damaged.
func (z *inflater) Read(p []byte) (int, error) { return io.ReadFull(z.out, p) }

func (z *inflater) Close() error {
	z.done()
	return nil
}
