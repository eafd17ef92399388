package ami

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"golang.org/x/sync/errgroup"
)

// blockSize is that of the EBS direct APIs: no other is allowed.
const blockSize = 512 << 10

var (
	zeros   = make([]byte, blockSize)
	zeroSum = sha256.Sum256(zeros)
)

// upload is the writing of one snapshot's blocks.
type upload struct {
	*target
	disk     io.ReaderAt
	id       string    // of the snapshot
	started  time.Time // of the snapshot
	parent   parent    // whose blocks the snapshot has already
	limit    *limiter
	progress func(done, total int)

	mu      sync.Mutex
	done    int
	total   int
	last    time.Time // when AWS last took or gave a block
	written []writtenBlock
}

type writtenBlock struct {
	index int64
	sum   [sha256.Size]byte
}

// run writes the blocks with these indices, as far as they are not what the snapshot has by itself: zeros, or its
// parent's block. Each worker has one buffer, so that is all the memory it takes.
func (u *upload) run(ctx context.Context, blocks []int64) error {
	u.last = time.Now()
	own := make(map[int64]bool, len(blocks))
	for _, i := range blocks {
		own[i] = true
	}
	todo := blocks
	for i := range u.parent.blocks {
		if !own[i] {
			todo = append(todo, i)
		}
	}
	slices.Sort(todo)
	u.total = len(todo)
	work := make(chan int64)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		for _, i := range todo {
			select {
			case work <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range min(u.s.Concurrency, len(todo)) {
		g.Go(func() error {
			buf := make([]byte, blockSize)
			for i := range work {
				data := zeros
				if own[i] {
					data = buf
					if err := readBlock(u.disk, data, i); err != nil {
						return err
					}
				}
				if err := u.block(ctx, i, data); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// readBlock reads a block; what is behind the end of the disk is zeros.
func readBlock(disk io.ReaderAt, buf []byte, index int64) error {
	n, err := disk.ReadAt(buf, index*blockSize)
	if errors.Is(err, io.EOF) {
		clear(buf[n:])
		return nil
	}
	return err
}

// block writes one block if that changes anything.
func (u *upload) block(ctx context.Context, index int64, data []byte) error {
	sum := sha256.Sum256(data)
	token, inParent := u.parent.blocks[index]
	if !inParent && sum == zeroSum {
		u.finished(nil)
		return nil
	}
	slot, err := u.limit.acquire(ctx)
	if err != nil {
		return err
	}
	checksum := base64.StdEncoding.EncodeToString(sum[:])
	patient := func(o *ebs.Options) {
		o.Retryer = &snapshotRetryer{Retryer: o.Retryer, started: u.started, settle: u.settle, throttled: func() bool {
			slot.throttled()
			return u.quiet() < u.settle
		}}
	}
	same := false
	if inParent {
		same, err = u.unchanged(ctx, index, token, checksum, patient)
	}
	if err == nil && !same {
		_, err = u.ebs.PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
			SnapshotId: aws.String(u.id), BlockIndex: aws.Int32(int32(index)), BlockData: bytes.NewReader(data), //nolint:gosec // at most 64 TiB of blocks
			DataLength: aws.Int32(blockSize), Checksum: aws.String(checksum), ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256,
		}, patient)
	}
	slot.release(err == nil)
	switch {
	case err != nil:
		return err
	case same:
		u.finished(nil)
	default:
		u.finished(&writtenBlock{index, sum})
	}
	return nil
}

// finished notes a block that is done, and what was written of it.
func (u *upload) finished(w *writtenBlock) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done++
	u.last = time.Now()
	if w != nil {
		u.written = append(u.written, *w)
	}
	u.progress(u.done, u.total)
}

// checksum is the aggregated checksum LINEAR: that of the written blocks' checksums in the order of their indices.
func (u *upload) checksum() string {
	slices.SortFunc(u.written, func(a, b writtenBlock) int { return cmp.Compare(a.index, b.index) })
	h := sha256.New()
	for _, w := range u.written {
		h.Write(w.sum[:])
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// quiet is how long no block was done.
func (u *upload) quiet() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Since(u.last)
}
