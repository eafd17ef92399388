package ami

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
)

const gib = 1 << 30

// snapshotTimeout is after how many minutes without a block AWS gives a snapshot up: longer than we try, so that it
// only happens to what a killed provider leaves.
const snapshotTimeout = 60

// gibOf is the size of a volume that holds so many bytes.
func gibOf(bytes int64) int64 { return (bytes + gib - 1) / gib }

// sendBlocks makes a snapshot of the disk by the EBS direct APIs and waits until it is complete.
func (g *generation) sendBlocks(ctx context.Context, d *disk.Disk) (string, error) {
	blocks, err := d.Blocks(blockSize)
	if err != nil {
		return "", err
	}
	p, err := g.parentOf(ctx, g.r, gibOf(d.Size()))
	if errors.Is(err, errUnusable) {
		g.r.Report(fmt.Sprintf("sending the whole image: %v", err), 0, 0)
	} else if err != nil {
		return "", err
	}
	u, err := g.startSnapshot(ctx, d, p)
	if err != nil {
		return "", err
	}
	if err := u.run(ctx, blocks); err != nil {
		return "", fmt.Errorf("cannot upload the disk to %s: %w", u.id, unreachable(err))
	}
	if err := u.complete(ctx); err != nil {
		return "", err
	}
	return u.id, g.completed(ctx, g.s.Region, u.id)
}

// startSnapshot starts the snapshot, without the parent when AWS will not have it.
func (g *generation) startSnapshot(ctx context.Context, d *disk.Disk, p parent) (*upload, error) {
	in := &ebs.StartSnapshotInput{
		VolumeSize: aws.Int64(gibOf(d.Size())), Timeout: aws.Int32(snapshotTimeout), Tags: ebsTags(g.unfinished()),
		Description: aws.String(g.description()), ClientToken: aws.String(g.attempt + p.id),
	}
	if g.s.Encrypted {
		in.Encrypted = aws.Bool(true)
	}
	if g.s.KMSKeyID != "" {
		in.KmsKeyArn = aws.String(g.s.KMSKeyID)
	}
	if p.id != "" {
		in.ParentSnapshotId = aws.String(p.id)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.touch(g.s.Region)
	send, cancel := deploy.Lasting(ctx)
	defer cancel()
	out, err := g.ebs.StartSnapshot(send, in)
	if p.id != "" && refused(err) {
		g.r.Report(fmt.Sprintf("sending the whole image: %s %v: %v", p.id, errUnusable, err), 0, 0)
		return g.startSnapshot(ctx, d, parent{})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start a snapshot in %s: %w", g.s.Region, unreachable(err))
	}
	id := aws.ToString(out.SnapshotId)
	g.exists(g.s.Region, "", id)
	return &upload{
		target: g.target, disk: d, id: id, started: time.Now(), parent: p, limit: newLimiter(g.s.Concurrency),
		progress: func(done, total int) { g.r.Report("uploading blocks", int64(done), int64(total)) },
	}, nil
}

// complete seals the snapshot.
func (u *upload) complete(ctx context.Context) error {
	in := &ebs.CompleteSnapshotInput{SnapshotId: aws.String(u.id), ChangedBlocksCount: aws.Int32(int32(len(u.written)))} //nolint:gosec // at most 64 TiB of blocks
	if len(u.written) > 0 {
		in.Checksum = aws.String(u.checksum())
		in.ChecksumAlgorithm = ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256
		in.ChecksumAggregationMethod = ebstypes.ChecksumAggregationMethodChecksumAggregationLinear
	}
	seen := &witness{}
	_, err := u.ebs.CompleteSnapshot(ctx, in, func(o *ebs.Options) {
		o.Retryer = &snapshotRetryer{
			Retryer: seen.of(o.Retryer), started: u.started, settle: u.settle,
			throttled: func() bool { return u.quiet() < u.settle },
		}
	})
	if refused(err) && seen.lost {
		return nil // by the time of the second try it was sealed; the wait for it shows if not
	}
	if err != nil {
		return fmt.Errorf("cannot complete %s: %w", u.id, unreachable(err))
	}
	return nil
}

// completed waits until a snapshot is complete.
func (t *target) completed(ctx context.Context, region, id string) error {
	began := time.Now()
	return t.poll(ctx, id+" to be complete", func() (bool, string, error) {
		s, err := t.snapshot(ctx, region, id)
		switch {
		case errors.Is(err, deploy.ErrNotFound) && time.Since(began) < t.settle:
			return false, "nothing yet", nil
		case err != nil:
			return false, "", err
		case s.State == types.SnapshotStateError:
			return false, "", fmt.Errorf("AWS could not complete %s: %s", id, aws.ToString(s.StateMessage))
		}
		return s.State == types.SnapshotStateCompleted, fmt.Sprintf("%s %s", s.State, aws.ToString(s.Progress)), nil
	})
}

// description is what the console shows beside an AMI or a snapshot.
func (g *generation) description() string {
	return fmt.Sprintf("%s, image %s, by pim", g.r.Name, short(g.r.Image.Key))
}

// short is the part of a key that names show.
func short(key string) string { return key[:min(len(key), 12)] }
