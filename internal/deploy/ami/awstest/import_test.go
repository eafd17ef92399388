package awstest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// bucket is S3 with objects that can only be read. Their names are paths, such as "/bucket/disk.raw".
type bucket map[string][]byte

func (b bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, ok := b[r.URL.Path]
	if !ok {
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func openS3(t *testing.T, b bucket) *s3.Client {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	s := &Server{URL: server.URL}
	return s3.NewFromConfig(s.Config(home), func(o *s3.Options) { o.UsePathStyle = true })
}

// importOf starts an import, or as it is changed.
func (a *account) importOf(key string, change func(*ec2.ImportSnapshotInput)) (string, error) {
	in := &ec2.ImportSnapshotInput{
		RoleName: aws.String("vmimport"),
		DiskContainer: &types.SnapshotDiskContainer{
			Format: aws.String("RAW"), UserBucket: &types.UserBucket{S3Bucket: aws.String("bucket"), S3Key: &key},
		},
	}
	if change != nil {
		change(in)
	}
	out, err := a.ec2.ImportSnapshot(a.t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.ImportTaskId, nil
}

func (a *account) task(id string) *types.SnapshotTaskDetail {
	a.t.Helper()
	out := must(a.ec2.DescribeImportSnapshotTasks(a.t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{id}}))
	return out.ImportSnapshotTasks[0].SnapshotTaskDetail
}

func TestImportSnapshot(t *testing.T) {
	t.Parallel()
	disk := append(append(block("boot"), make([]byte, 2*blockSize)...), block("end")[:512]...)
	b := bucket{"/bucket/disk.raw": disk, "/bucket/disk.qcow2": []byte("QFI\xfb" + strings.Repeat("x", 508)), "/bucket/odd": []byte("x")}
	a := open(t, Options{S3: openS3(t, b)})
	id := must(a.importOf("disk.raw", nil))
	if d := a.task(id); *d.Status != "pending" || d.SnapshotId != nil || len(a.Inventory()) != 1 {
		t.Errorf("at first: %+v, %v", d, a.Inventory())
	}
	d := a.task(id)
	if *d.Status != completed {
		t.Fatalf("in the end: %+v", d)
	}
	if got := a.read(*d.SnapshotId); len(got) != 2 || got[0] != "boot" || got[3] != "end" {
		t.Errorf("read back: %v", got)
	}
	if s := a.Snapshot(*d.SnapshotId); s.GiB != 1 || len(s.Tags) != 0 || len(a.Inventory()) != 1 {
		t.Errorf("%+v, %v", s, a.Inventory())
	}
	for _, key := range []string{"disk.qcow2", "odd"} {
		id := must(a.importOf(key, nil))
		for _, want := range []string{"pending", deleting, deleting, deleted} {
			if d := a.task(id); *d.Status != want || want == deleted && !strings.Contains(*d.StatusMessage, "ClientError") {
				t.Errorf("%s: %+v, want %s", key, d, want)
			}
		}
		if len(a.Inventory()) != 1 {
			t.Errorf("%s: left %v", key, a.Inventory())
		}
	}
	// The object must be there until it was read.
	id = must(a.importOf("disk.raw", nil))
	delete(b, "/bucket/disk.raw")
	a.task(id)
	if d := a.task(id); *d.Status != deleting {
		t.Errorf("without its object: %+v", d)
	}
}

func TestImportSnapshotRules(t *testing.T) {
	t.Parallel()
	type change = func(*ec2.ImportSnapshotInput)
	for name, tc := range map[string]struct {
		change
		options Options
		code    string
	}{
		"encrypted": {change: func(in *ec2.ImportSnapshotInput) {
			in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String(KMSKey(home))
		}},
		"key, unasked": {change: func(in *ec2.ImportSnapshotInput) { in.KmsKeyId = aws.String(KMSKey(home)) }, code: "InvalidParameterDependency"},
		"no role":      {options: Options{NoImportRole: true}, change: func(*ec2.ImportSnapshotInput) {}, code: "InvalidParameter"},
		"other role":   {change: func(in *ec2.ImportSnapshotInput) { in.RoleName = aws.String("admin") }, code: "InvalidParameter"},
		"format":       {change: func(in *ec2.ImportSnapshotInput) { in.DiskContainer.Format = aws.String("QCOW2") }, code: "InvalidParameter"},
		"no object":    {change: func(in *ec2.ImportSnapshotInput) { in.DiskContainer.UserBucket.S3Key = aws.String("x") }, code: "InvalidParameter"},
		"tags": {change: func(in *ec2.ImportSnapshotInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: "snapshot", Tags: tags("a=b")}}
		}, code: "InvalidParameterValue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.options.S3 = openS3(t, bucket{"/bucket/disk.raw": make([]byte, 512)})
			_, err := open(t, tc.options).importOf("disk.raw", tc.change)
			wantError(t, err, 400, tc.code)
		})
	}
}

func TestCancelImportTask(t *testing.T) {
	t.Parallel()
	a := open(t, Options{S3: openS3(t, bucket{"/bucket/disk.raw": make([]byte, 512)})})
	token := func(in *ec2.ImportSnapshotInput) { in.ClientToken = aws.String("once") }
	id := must(a.importOf("disk.raw", token))
	if again := must(a.importOf("disk.raw", token)); again != id {
		t.Errorf("asked twice: %s and %s", id, again)
	}
	cancel := func(id string) error {
		_, err := a.ec2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: &id})
		return err
	}
	wantError(t, cancel(id), 0, "")
	wantError(t, cancel(id), 400, "IncorrectState")
	if d := a.task(id); *d.Status != deleting || len(a.Inventory()) != 1 {
		t.Errorf("at first: %+v, %v", d, a.Inventory())
	}
	wantError(t, cancel("import-snap-1"), 400, "InvalidConversionTaskId")
	if d := a.task(id); *d.Status != deleted || len(a.Inventory()) != 0 {
		t.Errorf("%+v, %v", d, a.Inventory())
	}
}
