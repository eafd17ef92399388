package ami

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
)

const (
	mib = 1 << 20
	// minPart is the size of a part, as far as maxParts of them are enough.
	minPart  = 16 * mib
	maxParts = 10000
	// maxObject is the largest object.
	maxObject = 5 << 40
	// partWorkers are the parts under way at most: they are large, so more brings nothing.
	partWorkers = 16
)

// partSize is the size of an object's parts: whole MiB, so many that AWS takes them all.
func partSize(size int64) int64 {
	least := (size + maxParts - 1) / maxParts
	return max(minPart, (least+mib-1)/mib*mib)
}

// uploadObject streams the disk into an object: part by part, never more than a piece of one in memory. Zeros have to
// be sent as well, S3 knows no holes. It answers with the object's version, nil where the bucket keeps none. When it
// fails, the parts go.
func (g *generation) uploadObject(ctx context.Context, key string, d *disk.Disk) (version *string, err error) {
	if d.Size() > maxObject {
		return nil, fmt.Errorf("the disk has %d bytes and an object can have %d: use method %q", d.Size(), int64(maxObject), EBSDirect)
	}
	send, cancel := deploy.Lasting(ctx)
	defer cancel()
	seen := &witness{}
	out, err := g.s3.CreateMultipartUpload(send, &s3.CreateMultipartUploadInput{
		Bucket: aws.String(g.s.S3Bucket), Key: aws.String(key), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	}, func(o *s3.Options) { o.Retryer = seen.of(o.Retryer) })
	if err == nil {
		version, err = g.uploadParts(ctx, d, key, out.UploadId)
	}
	if err == nil && !seen.lost {
		return version, nil
	}
	clean, cancelClean := deploy.Cleanup(ctx)
	defer cancelClean()
	return version, errors.Join(err, g.abortAll(clean, key, func(types.MultipartUpload) bool { return true }))
}

// abortAll removes the parts of unfinished uploads of objects whose keys begin like that.
func (g *generation) abortAll(ctx context.Context, prefix string, which func(types.MultipartUpload) bool) error {
	out, err := g.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
		Bucket: aws.String(g.s.S3Bucket), Prefix: aws.String(prefix),
	})
	if err != nil {
		return fmt.Errorf("cannot look for unfinished uploads in %s: %w", g.s.S3Bucket, unreachable(err))
	}
	var errs []error
	for _, u := range out.Uploads {
		if which(u) {
			errs = append(errs, g.abort(ctx, aws.ToString(u.Key), u.UploadId))
		}
	}
	return errors.Join(errs...)
}

func (g *generation) abort(ctx context.Context, key string, upload *string) error {
	_, err := g.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String(g.s.S3Bucket), Key: aws.String(key), UploadId: upload})
	if err != nil && code(err) != noSuchUpload {
		return fmt.Errorf("cannot remove the parts of s3://%s/%s: %w", g.s.S3Bucket, key, unreachable(err))
	}
	return nil
}

// uploadParts sends the parts and completes the upload. It answers with the object's version.
func (g *generation) uploadParts(ctx context.Context, d *disk.Disk, key string, upload *string) (version *string, err error) {
	size := partSize(d.Size())
	parts := make([]types.CompletedPart, (d.Size()+size-1)/size)
	var sent atomic.Int64
	all, sending := errgroup.WithContext(ctx)
	all.SetLimit(min(g.s.Concurrency, partWorkers))
	for i := range parts {
		all.Go(func() error {
			at := int64(i) * size
			length := min(size, d.Size()-at)
			number := aws.Int32(int32(i + 1)) //nolint:gosec // at most maxParts
			out, err := g.s3.UploadPart(sending, &s3.UploadPartInput{
				Bucket: aws.String(g.s.S3Bucket), Key: aws.String(key), UploadId: upload, PartNumber: number,
				Body: newPart(d, at, length), ContentLength: aws.Int64(length), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
			})
			if err != nil {
				return err
			}
			parts[i] = types.CompletedPart{PartNumber: number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}
			g.r.Report("uploading the disk to S3", sent.Add(length), d.Size())
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	seen := &witness{}
	out, err := g.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(g.s.S3Bucket), Key: aws.String(key), UploadId: upload,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}, func(o *s3.Options) { o.Retryer = seen.of(o.Retryer) })
	if code(err) == noSuchUpload && seen.lost { // the try before may have completed it
		head, e := g.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(g.s.S3Bucket), Key: aws.String(key)})
		if e == nil && aws.ToInt64(head.ContentLength) == d.Size() {
			return head.VersionId, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return out.VersionId, nil
}

// removeObject removes an object by its version, nil for one not known. Without a version a bucket that keeps them would
// only hide the disk, and keep it for ever.
func (g *generation) removeObject(ctx context.Context, key string, version *string) error {
	bucket := aws.String(g.s.S3Bucket)
	if version == nil {
		head, err := g.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String(key)})
		switch {
		case err == nil:
			version = head.VersionId
		case code(err) == noSuchObject:
			return nil
		}
	}
	_, err := g.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String(key), VersionId: version})
	switch {
	case err == nil:
		return nil
	case code(err) == "AccessDenied" && version != nil:
		return fmt.Errorf("cannot remove s3://%s/%s, version %s: %w. The bucket keeps versions: give the credentials the "+
			"permission s3:DeleteObjectVersion, and remove that version", g.s.S3Bucket, key, *version, err)
	}
	return fmt.Errorf("cannot remove s3://%s/%s: %w", g.s.S3Bucket, key, unreachable(err))
}

// noSuchObject is S3's code for an object that is not there, when just its metadata are asked for.
const noSuchObject = "NotFound"

// noSuchUpload is S3's code for an upload that is complete, or was aborted.
const noSuchUpload = "NoSuchUpload"

// part reads a part of a disk in large pieces, and again from its beginning when a request is repeated.
type part struct {
	section *io.SectionReader
	buffer  *bufio.Reader
}

func newPart(disk io.ReaderAt, at, length int64) *part {
	s := io.NewSectionReader(disk, at, length)
	return &part{s, bufio.NewReaderSize(s, mib)}
}

func (p *part) Read(b []byte) (int, error) { return p.buffer.Read(b) }

// Seek is for the SDK, which asks for the length and goes back to the beginning.
func (p *part) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset -= int64(p.buffer.Buffered())
	}
	n, err := p.section.Seek(offset, whence)
	p.buffer.Reset(p.section)
	return n, err
}

// sweepBucket removes objects and unfinished uploads of this deployment that a killed provider left long ago.
func (g *generation) sweepBucket(ctx context.Context) error {
	bucket, prefix := aws.String(g.s.S3Bucket), aws.String(g.objectPrefix())
	before := time.Now().Add(-g.pace.Abandoned)
	objects, err := g.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: prefix})
	if err != nil {
		return fmt.Errorf("cannot look for abandoned objects in %s: %w", g.s.S3Bucket, unreachable(err))
	}
	var errs []error
	for _, o := range objects.Contents {
		if g.ownObject(o.Key) && aws.ToTime(o.LastModified).Before(before) {
			errs = append(errs, g.removeObject(ctx, aws.ToString(o.Key), nil))
		}
	}
	return errors.Join(append(errs, g.abortAll(ctx, *prefix, func(u types.MultipartUpload) bool {
		return g.ownObject(u.Key) && aws.ToTime(u.Initiated).Before(before)
	}))...)
}

// objectName is what comes behind the prefix of a deployment's objects.
var objectName = regexp.MustCompile(`^[0-9a-f]{16}\.raw$`)

// objectPrefix is what the keys of the deployment's objects begin with.
func (g *generation) objectPrefix() string { return g.s.S3Prefix + g.r.Name + "-" }

// ownObject tells if a key is of one of them, and not of a deployment with a longer name.
func (g *generation) ownObject(key *string) bool {
	name, ok := strings.CutPrefix(aws.ToString(key), g.objectPrefix())
	return ok && objectName.MatchString(name)
}
