package awstest

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
)

func TestListSnapshotBlocks(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Page: 2})
	want := map[int32]string{1: "a", 2: "b", 3: "c", 900: "d", 2047: "e"}
	id := a.snapshotOf(want, nil)
	if got := a.read(id); !maps.Equal(got, want) {
		t.Errorf("read back: %v", got)
	}
	page := must(a.ebs.ListSnapshotBlocks(t.Context(), &ebs.ListSnapshotBlocksInput{
		SnapshotId: &id, StartingBlockIndex: aws.Int32(4),
	}))
	if len(page.Blocks) != 2 || *page.Blocks[0].BlockIndex != 900 || page.NextToken != nil {
		t.Errorf("from 4 on: %+v", page)
	}
	writing := must(a.start(nil))
	for name, tc := range map[string]struct {
		change func(*ebs.ListSnapshotBlocksInput)
		status int
		code   string
	}{
		"as many as there are": {change: func(in *ebs.ListSnapshotBlocksInput) { in.MaxResults = aws.Int32(10000) }},
		"more":                 {func(in *ebs.ListSnapshotBlocksInput) { in.MaxResults = aws.Int32(10001) }, 400, validation},
		"few":                  {func(in *ebs.ListSnapshotBlocksInput) { in.MaxResults = aws.Int32(99) }, 400, validation},
		"wrong token":          {func(in *ebs.ListSnapshotBlocksInput) { in.NextToken = aws.String("eA==") }, 400, validation},
		"pending":              {func(in *ebs.ListSnapshotBlocksInput) { in.SnapshotId = &writing }, 400, validation},
		"unknown":              {func(in *ebs.ListSnapshotBlocksInput) { in.SnapshotId = aws.String("snap-0123456789") }, 404, notFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &ebs.ListSnapshotBlocksInput{SnapshotId: &id}
			tc.change(in)
			_, err := a.ebs.ListSnapshotBlocks(t.Context(), in)
			wantError(t, err, tc.status, tc.code)
		})
	}
}

func TestBlockToken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := open(t, Options{Now: func() time.Time { return now }})
	id, other := a.snapshotOf(map[int32]string{1: "a"}, nil), a.snapshotOf(map[int32]string{1: "a"}, nil)
	page := must(a.ebs.ListSnapshotBlocks(t.Context(), &ebs.ListSnapshotBlocksInput{SnapshotId: &id}))
	get := func(id string, index int32) error {
		_, err := a.ebs.GetSnapshotBlock(t.Context(), &ebs.GetSnapshotBlockInput{
			SnapshotId: &id, BlockIndex: &index, BlockToken: page.Blocks[0].BlockToken,
		})
		return err
	}
	wantError(t, get(id, 1), 0, "")
	wantError(t, get(id, 2), 400, validation)
	wantError(t, get(other, 1), 400, validation)
	now = page.ExpiryTime.Add(time.Second)
	wantError(t, get(id, 1), 400, validation)
}

func TestListChangedBlocks(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Page: 1})
	first := a.snapshotOf(map[int32]string{0: "a", 1: "b", 2: "c"}, nil)
	second := a.snapshotOf(map[int32]string{1: "B", 2: "c", 7: "d"}, func(in *ebs.StartSnapshotInput) { in.ParentSnapshotId = &first })
	stranger := a.snapshotOf(nil, nil)
	var changed []int32
	pages := ebs.NewListChangedBlocksPaginator(a.ebs, &ebs.ListChangedBlocksInput{FirstSnapshotId: &first, SecondSnapshotId: &second})
	for pages.HasMorePages() {
		for _, b := range must(pages.NextPage(t.Context())).ChangedBlocks {
			changed = append(changed, *b.BlockIndex)
			if (b.FirstBlockToken != nil) != (*b.BlockIndex == 1) || b.SecondBlockToken == nil {
				t.Errorf("tokens of %d: %+v", *b.BlockIndex, b)
			}
		}
	}
	if !slices.Equal(changed, []int32{1, 7}) {
		t.Errorf("changed: %v", changed)
	}
	for _, id := range []string{stranger, "nonsense"} {
		_, err := a.ebs.ListChangedBlocks(t.Context(), &ebs.ListChangedBlocksInput{FirstSnapshotId: &id, SecondSnapshotId: &second})
		wantError(t, err, 400, validation)
	}
}

// A disk is written whole into a pipe, and with holes into a file.
func TestWriteRaw(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	s := a.Snapshot(a.snapshotOf(map[int32]string{3: "a", 2047: "z"}, nil))
	file := must(os.Create(filepath.Join(t.TempDir(), "disk")))
	defer file.Close()
	var count countingWriter
	if err := s.WriteRaw(&count); err != nil || count != 1<<30 {
		t.Errorf("%d bytes, %v", count, err)
	}
	if err := s.WriteRaw(file); err != nil || must(file.Stat()).Size() != 1<<30 {
		t.Fatal(err)
	}
	got := make([]byte, blockSize)
	for index, text := range map[int64]string{0: "", 3: "a", 2047: "z"} {
		if _, err := file.ReadAt(got, index*blockSize); err != nil || !bytes.Equal(got, block(text)) {
			t.Errorf("block %d: %q, %v", index, got[:4], err)
		}
	}
}

type countingWriter int64

func (c *countingWriter) Write(p []byte) (int, error) {
	*c += countingWriter(len(p))
	return len(p), nil
}
