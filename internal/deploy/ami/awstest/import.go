package awstest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The states of an import. One that failed is deleted, as one that was cancelled.
const (
	active   = "active"
	deleting = "deleting"
	deleted  = "deleted"
)

// importSteps are the states that an import is in on its way, one look after the other, and then over again. See
// https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-import-snapshot.html.
func importSteps() []string {
	return []string{active, "pending", "validating", "validated", "converting", "updating"}
}

// task is an import of a disk from S3.
type task struct {
	id, description     string
	bucket, key, format string
	kms                 string // ARN of the key to encrypt with, "" for none
	state, message      string
	looks               int
	fails               bool
	size                int64
	snapshot            string
	tags                map[string]string
}

type xmlTask struct {
	ID          string        `xml:"importTaskId"`
	Description string        `xml:"description"`
	Detail      xmlTaskDetail `xml:"snapshotTaskDetail"`
	Tags        []xmlTag      `xml:"tagSet>item"`
}

type xmlTaskDetail struct {
	Description string  `xml:"description"`
	Size        float64 `xml:"diskImageSize"`
	Format      string  `xml:"format"`
	Encrypted   bool    `xml:"encrypted"`
	Key         string  `xml:"kmsKeyId,omitempty"`
	Progress    string  `xml:"progress,omitempty"`
	Snapshot    string  `xml:"snapshotId,omitempty"`
	Status      string  `xml:"status"`
	Message     string  `xml:"statusMessage,omitempty"`
	Bucket      string  `xml:"userBucket>s3Bucket"`
	ObjectKey   string  `xml:"userBucket>s3Key"`
}

// goesOn tells if something is still done about an import.
func (t *task) goesOn() bool { return t.state != completed && t.state != deleted }

// fail has an import be deleted, which takes its time.
func (t *task) fail(looks int, message string) {
	t.state, t.message, t.looks = deleting, message, looks
}

func (t *task) xml() xmlTask {
	progress := ""
	if t.goesOn() && t.state != deleting {
		progress = strconv.Itoa(100 / (t.looks + 2))
	}
	return xmlTask{
		ID: t.id, Description: t.description, Tags: xmlTags(t.tags),
		Detail: xmlTaskDetail{
			Description: t.description, Size: float64(t.size), Format: t.format, Encrypted: t.kms != "", Key: t.kms,
			Progress: progress, Snapshot: t.snapshot, Status: t.state, Message: t.message, Bucket: t.bucket, ObjectKey: t.key,
		},
	}
}

// importSnapshot starts an import. It reads the object later, in the background.
func (c *ec2Call) importSnapshot() (any, error) {
	role := c.text("RoleName")
	token, encrypted, key := c.text("ClientToken"), c.on("Encrypted"), c.text("KmsKeyId")
	t := &task{
		description: c.describe(), tags: c.tagSpecs("import-snapshot-task")["import-snapshot-task"],
		format: c.need("DiskContainer.Format"), bucket: c.need("DiskContainer.UserBucket.S3Bucket"),
		key: c.need("DiskContainer.UserBucket.S3Key"), state: active, message: "pending", looks: c.s.o.Looks, fails: c.later,
	}
	c.text("DiskContainer.Description")
	if err := c.done(); err != nil {
		return nil, err
	}
	return c.once(token, func() (any, error) {
		switch {
		case c.s.o.NoImportRole || role != "" && role != "vmimport":
			return nil, bad("InvalidParameter", "The service role %s provided does not exist or does not have sufficient "+
				"permissions", cmp.Or(role, "vmimport"))
		case t.format != "RAW" && t.format != "raw":
			return nil, bad("InvalidParameter", "The disk container format %s is not one that this server reads", t.format)
		case key != "" && !encrypted:
			return nil, bad("InvalidParameterDependency", "KmsKeyId requires Encrypted")
		case key != "" && !c.keyExists(key):
			t.fails = true
		case key != "":
			t.kms = KMSKey(c.g.name)
		case encrypted || c.s.o.EncryptByDefault:
			t.kms = c.s.defaultKey(c.g.name)
		}
		if err := c.s.stat(t); err != nil {
			return nil, bad("InvalidParameter", "The object s3://%s/%s cannot be read: %v", t.bucket, t.key, err)
		}
		t.id = c.s.id("import-snap")
		c.g.tasks[t.id] = t
		return t.xml(), nil
	})
}

// stat checks that the object of an import is there.
func (s *Server) stat(t *task) error {
	if s.o.S3 == nil {
		return errors.New("the server was given no S3")
	}
	head, err := s.o.S3.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: &t.bucket, Key: &t.key})
	if err == nil {
		t.size = aws.ToInt64(head.ContentLength)
	}
	return err
}

func (c *ec2Call) describeImports() (any, error) {
	ids := c.list("ImportTaskId")
	f := c.filtersNamed("Filters", "task-state")
	first, most := c.paging(1, ids)
	if err := c.done(); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		ids = slices.Sorted(maps.Keys(c.g.tasks))
	}
	var found []*task
	for _, id := range ids {
		t := c.g.tasks[id]
		if t == nil {
			return nil, bad("InvalidConversionTaskId", "The task ID '%s' is not valid", id)
		}
		if f.match(map[string][]string{"task-state": {t.state}}, t.tags) {
			found = append(found, t)
		}
	}
	var answer struct {
		Items []xmlTask `xml:"importSnapshotTaskSet>item"`
		Next  string    `xml:"nextToken,omitempty"`
	}
	found, answer.Next = pageOf(c, found, first, most)
	for _, t := range found {
		c.proceed(t)
		answer.Items = append(answer.Items, t.xml())
	}
	return answer, nil
}

// proceed is what goes on in the background, by being looked at: at the end the object is read. Until then it must be
// there.
func (c *ec2Call) proceed(t *task) {
	switch {
	case !t.goesOn():
		return
	case t.looks > 0:
		if t.looks--; t.state != deleting {
			steps := importSteps()
			t.state = steps[(slices.Index(steps, t.state)+1)%len(steps)]
		}
		return
	case t.state == deleting:
		t.state = deleted
		return
	}
	x, err := c.s.read(t)
	if err == nil && t.fails {
		err = errors.New("ServerError: an internal error has occurred during conversion")
	}
	if err != nil {
		t.fail(c.s.o.Looks, err.Error())
		return
	}
	x.id, x.key, x.started = c.s.id("snap"), t.kms, c.s.o.Now()
	x.description = "Created by AWS-VMImport service for " + t.id
	c.g.snapshots[x.id] = x
	t.state, t.message, t.snapshot = completed, "", x.id
}

// read makes a snapshot of an object.
func (s *Server) read(t *task) (*snapshot, error) {
	object, err := s.o.S3.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &t.bucket, Key: &t.key})
	if err != nil {
		return nil, fmt.Errorf("ClientError: cannot read the object: %w", err)
	}
	defer object.Body.Close()
	in := bufio.NewReaderSize(object.Body, blockSize)
	if magic, _ := in.Peek(4); string(magic) == "QFI\xfb" {
		return nil, errors.New("ClientError: Disk validation failed [Unsupported or corrupt disk image: not RAW]")
	}
	x := &snapshot{state: completed, tags: map[string]string{}, shared: permissions{}, blocks: map[int64]digest{}}
	zero := make([]byte, blockSize)
	data := make([]byte, blockSize)
	var size int64
	for index := int64(0); ; index++ {
		n, err := io.ReadFull(in, data)
		clear(data[n:])
		size += int64(n)
		if n > 0 && !bytes.Equal(data, zero) {
			sum := digest(sha256.Sum256(data))
			if err := s.data.put(sum, data); err != nil {
				return nil, err
			}
			x.blocks[index] = sum
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("ClientError: cannot read the object: %w", err)
		case size == 0 || size%512 != 0:
			return nil, fmt.Errorf("ClientError: Disk validation failed [%d bytes are not a disk]", size)
		}
		x.gib = (size + 1<<30 - 1) >> 30
		return x, nil
	}
}

func (c *ec2Call) cancelImport() (any, error) {
	id := c.need("ImportTaskId")
	c.text("CancelReason")
	if err := c.done(); err != nil {
		return nil, err
	}
	t := c.g.tasks[id]
	switch {
	case t == nil:
		return nil, bad("InvalidConversionTaskId", "The task ID '%s' is not valid", id)
	case !t.goesOn() || t.state == deleting:
		return nil, bad("IncorrectState", "The import task %s is %s", id, t.state)
	}
	previous := t.state
	t.fail(c.s.o.Looks, "Cancelled")
	return struct {
		ID       string `xml:"importTaskId"`
		State    string `xml:"state"`
		Previous string `xml:"previousState"`
	}{id, deleting, previous}, nil
}
