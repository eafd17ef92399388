package ami

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/disk"
)

// importDisk makes a snapshot of the disk by way of an object in S3, which is removed whatever happens.
func (g *generation) importDisk(ctx context.Context, d *disk.Disk) (snapshot string, err error) {
	key, version := g.objectPrefix()+g.attempt+".raw", (*string)(nil)
	defer func() {
		ctx, cancel := deploy.Cleanup(ctx)
		defer cancel()
		err = errors.Join(err, g.removeObject(ctx, key, version))
	}()
	if version, err = g.uploadObject(ctx, key, d); err != nil {
		return "", fmt.Errorf("cannot upload the disk to s3://%s/%s: %w", g.s.S3Bucket, key, unreachable(err))
	}
	task, err := g.startImport(ctx, key)
	if err != nil {
		return "", err
	}
	snapshot, err = g.imported(ctx, task)
	if err != nil {
		return "", errors.Join(err, g.cancelImport(ctx, task))
	}
	g.exists(g.s.Region, "", snapshot)
	if err := g.tag(ctx, g.s.Region, []string{snapshot}, g.unfinished()); err != nil {
		return "", fmt.Errorf("cannot tag %s: %w", snapshot, unreachable(err))
	}
	return snapshot, g.completed(ctx, g.s.Region, snapshot)
}

// importInput asks for the import of an object.
func (g *generation) importInput(key string) *ec2.ImportSnapshotInput {
	in := &ec2.ImportSnapshotInput{
		ClientToken: aws.String(g.attempt), Description: aws.String(g.description()), KmsKeyId: optional(g.s.KMSKeyID),
		DiskContainer: &types.SnapshotDiskContainer{
			Format: aws.String("RAW"), UserBucket: &types.UserBucket{S3Bucket: aws.String(g.s.S3Bucket), S3Key: aws.String(key)},
		},
		TagSpecifications: tagged(g.unfinished(), types.ResourceTypeImportSnapshotTask),
	}
	if g.s.Encrypted {
		in.Encrypted = aws.Bool(true)
	}
	return in
}

func (g *generation) startImport(ctx context.Context, key string) (task string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	g.touch(g.s.Region)
	send, cancel := deploy.Lasting(ctx)
	defer cancel()
	out, err := g.ec2(g.s.Region).ImportSnapshot(send, g.importInput(key))
	switch {
	case err != nil && strings.Contains(err.Error(), "vmimport"):
		return "", fmt.Errorf("%w. AWS imports as the service role vmimport, which the account must have, with the right to "+
			"read the bucket %s: see https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html, or "+
			"use method %q, which needs none", err, g.s.S3Bucket, EBSDirect)
	case err != nil:
		return "", fmt.Errorf("cannot import s3://%s/%s: %w", g.s.S3Bucket, key, unreachable(err))
	}
	return aws.ToString(out.ImportTaskId), nil
}

// The states that an import ends in. The last three are those of one that came to nothing; AWS's pages name the one or
// the other. See https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-import-snapshot.html.
const (
	importCompleted = "completed"
	importDeleted   = "deleted"
	importCancelled = "cancelled"
	importError     = "error"
)

// imported waits for an import to end and answers with its snapshot. On the way there are more states than one page of
// AWS's names (active, pending, validating, validated, converting, updating), so that none of them is asked for.
func (g *generation) imported(ctx context.Context, task string) (snapshot string, err error) {
	err = g.poll(ctx, task, func() (bool, string, error) {
		d, err := g.importTask(ctx, task)
		if err != nil {
			return false, "", err
		}
		status, percent := aws.ToString(d.Status), aws.ToString(d.Progress)
		switch status {
		case importCompleted:
			snapshot = aws.ToString(d.SnapshotId)
			return true, "", nil
		case "deleting", importDeleted, "cancelling", importCancelled, importError:
			return false, "", fmt.Errorf("AWS could not import the disk: %s is %s: %s", task, status, aws.ToString(d.StatusMessage))
		}
		var done int64
		_, _ = fmt.Sscan(percent, &done) // "" before it has begun
		g.r.Report("importing the disk", done, 100)
		return false, fmt.Sprintf("%s %s%% %s", status, percent, aws.ToString(d.StatusMessage)), nil
	})
	return snapshot, err
}

// importTask describes an import.
func (g *generation) importTask(ctx context.Context, task string) (*types.SnapshotTaskDetail, error) {
	out, err := g.ec2(g.s.Region).DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{task}})
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot look at %s: %w", task, unreachable(err))
	case len(out.ImportSnapshotTasks) == 0 || out.ImportSnapshotTasks[0].SnapshotTaskDetail == nil:
		return &types.SnapshotTaskDetail{}, nil // it was just made
	}
	return out.ImportSnapshotTasks[0].SnapshotTaskDetail, nil
}

// cancelImport ends an import that failed or is no longer wanted, and notes the snapshot that it may have made all the
// same.
func (g *generation) cancelImport(ctx context.Context, task string) error {
	ctx, cancel := deploy.Cleanup(ctx)
	defer cancel()
	_, refusal := g.ec2(g.s.Region).CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: aws.String(task)})
	err := g.poll(ctx, task+" to end", func() (bool, string, error) {
		d, err := g.importTask(ctx, task)
		if err != nil {
			return false, "", err
		}
		g.exists(g.s.Region, "", aws.ToString(d.SnapshotId))
		status := aws.ToString(d.Status)
		return slices.Contains([]string{importCompleted, importDeleted, importCancelled, importError}, status), status, nil
	})
	if err != nil {
		return errors.Join(err, refusal)
	}
	return nil
}

// tagImports tags the snapshots of imports that a killed provider started and did not see the end of, so that they can
// be taken over or removed.
func (g *generation) tagImports(ctx context.Context) error {
	pages := ec2.NewDescribeImportSnapshotTasksPaginator(g.ec2(g.s.Region), &ec2.DescribeImportSnapshotTasksInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("cannot look for abandoned imports: %w", unreachable(err))
		}
		for _, task := range page.ImportSnapshotTasks {
			tags, d := tagMap(task.Tags), task.SnapshotTaskDetail
			if tags[tagManagedBy] != managedBy || tags[tagName] != g.r.Name || d == nil || aws.ToString(d.SnapshotId) == "" {
				continue
			}
			s, err := g.snapshot(ctx, g.s.Region, *d.SnapshotId)
			if errors.Is(err, deploy.ErrNotFound) || err == nil && (len(s.Tags) > 0 || time.Since(finished(s)) < abandoned) {
				continue
			}
			if err == nil {
				err = g.tag(ctx, g.s.Region, []string{*d.SnapshotId}, tags)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
