package ami

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// ebsNotFound is the EBS direct APIs' code for a snapshot that does not exist.
const ebsNotFound = "ResourceNotFoundException"

// parent is a snapshot that a new one shares its unchanged blocks with. The zero value is none.
type parent struct {
	id     string
	blocks map[int64]string // index → token
}

// errUnusable is a parent that a snapshot cannot have. The whole image is sent then.
var errUnusable = errors.New("cannot be the parent")

// parentOf finds the parent that the settings ask for. gib is the size of the new snapshot.
func (t *target) parentOf(ctx context.Context, r deploy.Request, gib int64) (parent, error) {
	id := t.s.ParentSnapshot
	if id == Previous {
		if id = ""; r.Current != nil {
			id = r.Current.Snapshots[t.s.Region]
		}
	}
	if id == "" {
		return parent{}, nil
	}
	p := parent{id: id, blocks: map[int64]string{}}
	pages := ebs.NewListSnapshotBlocksPaginator(t.ebs, &ebs.ListSnapshotBlocksInput{SnapshotId: aws.String(id)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		switch {
		case refused(err):
			return parent{}, fmt.Errorf("%s %w: %w", id, errUnusable, err)
		case err != nil:
			return parent{}, fmt.Errorf("cannot list the blocks of the parent %s: %w", id, err)
		case aws.ToInt64(page.VolumeSize) > gib:
			return parent{}, fmt.Errorf("%s %w: its disk of %d GiB is larger than the image's of %d",
				id, errUnusable, aws.ToInt64(page.VolumeSize), gib)
		case aws.ToInt32(page.BlockSize) != blockSize:
			return parent{}, fmt.Errorf("%s %w: its blocks have %d bytes", id, errUnusable, aws.ToInt32(page.BlockSize))
		}
		for _, b := range page.Blocks {
			p.blocks[int64(aws.ToInt32(b.BlockIndex))] = aws.ToString(b.BlockToken)
		}
	}
	return p, nil
}

// unchanged tells if the parent's block has this checksum. AWS gives it before the block, which is then not read.
func (u *upload) unchanged(ctx context.Context, index int64, token, checksum string, patient func(*ebs.Options)) (bool, error) {
	out, err := u.ebs.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{
		SnapshotId: aws.String(u.parent.id), BlockIndex: aws.Int32(int32(index)), BlockToken: aws.String(token), //nolint:gosec // at most 64 TiB of blocks
	}, patient)
	switch {
	case refused(err):
		return false, nil // sent, whatever is there
	case err != nil:
		return false, fmt.Errorf("cannot read block %d of the parent: %w", index, err)
	}
	return aws.ToString(out.Checksum) == checksum, out.BlockData.Close()
}
