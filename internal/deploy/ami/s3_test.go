package ami_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/ami/awstest"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
)

// imports is a world where disks go by way of a real S3 server.
type imports struct {
	world
	bucket *deploytest.Bucket
	faults *deploytest.Faults
}

func newImports(t testing.TB, o awstest.Options) imports {
	t.Helper()
	return importsBy(t, o, deploytest.S3Options{})
}

func importsBy(t testing.TB, o awstest.Options, by deploytest.S3Options) imports {
	t.Helper()
	faults := &deploytest.Faults{}
	by.AccessKey, by.SecretKey, by.Region, by.Faults = awstest.AccessKey, awstest.SecretKey, home, faults
	bucket := deploytest.S3(t, by)
	o.S3 = bucket.Client
	return imports{world{awstest.New(t, o)}, bucket, faults}
}

// patient is a pace for a real server, which may be slow.
func patient() deploy.Pace {
	p := pace()
	p.Idle = 4 * time.Second
	return p
}

// target imports through the bucket.
func (w imports) target(t *testing.T, change map[string]any, o ami.Options) deploy.Target {
	t.Helper()
	fields := map[string]any{
		"method": "s3_import", "s3_bucket": w.bucket.Name, "s3_prefix": "pim/",
		"endpoints": map[string]any{"ec2": w.URL, "ebs": w.URL, "sts": w.URL, "s3": w.bucket.Endpoint},
	}
	maps.Copy(fields, change)
	if o.Pace == (deploy.Pace{}) {
		o.Pace = patient()
	}
	return open(t, settings(t, w.Server, fields), o)
}

// bare wants nothing to be left of anything.
func (w imports) bare(t *testing.T) {
	t.Helper()
	empty(t, w.Server)
	if left := w.bucket.Objects(t); len(left) > 0 {
		t.Errorf("left in the bucket: %q", left)
	}
}

// large has two parts, with data around where they meet.
func large() sketch {
	return sketch{size: 33*block + 512, data: map[int64][]byte{0: noise(1), 31: noise(2), 32: noise(3), 33: noise(4)}}
}

func TestImport(t *testing.T) {
	t.Parallel()
	w := newImports(t, awstest.Options{Looks: 6}) // for all states that an import can be in
	target := w.target(t, map[string]any{"regions": []string{other}, "encrypted": true}, ami.Options{})
	r := large().request(t, "web")
	if problems, err := target.Check(t.Context(), r); err != nil || len(problems) > 0 {
		t.Errorf("the check found %v: %v", problems, err)
	}
	made := mustDeploy(t, target, r)
	serves(t, w.Server, made.Snapshots[home], r)
	fitting(t, target, made)
	if left := w.bucket.Objects(t); len(left) > 0 {
		t.Errorf("left in the bucket: %q", left)
	}
	if err := target.Delete(t.Context(), made); err != nil {
		t.Error(err)
	}
	w.bare(t)
}

// Each request of an import fails once, in each way, at S3: the import succeeds, and nothing is left over.
func TestImportBears(t *testing.T) {
	t.Parallel()
	r := large().request(t, "web")
	w := newImports(t, awstest.Options{})
	w.faults.Arm(0, "")
	mustDeploy(t, w.target(t, nil, ami.Options{}), r)
	requests := w.faults.Requests()
	if len(requests) < 7 {
		t.Fatalf("requests: %q", requests)
	}
	for _, mode := range deploytest.Modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newImports(t, awstest.Options{})
			target := w.target(t, nil, ami.Options{})
			for i, request := range requests {
				w.faults.Arm(i+1, mode)
				made, err := target.Deploy(t.Context(), r)
				if err != nil {
					t.Errorf("%d %s %s: %v", i+1, request, mode, err)
					continue
				}
				serves(t, w.Server, made.Snapshots[home], r)
				w.faults.Arm(0, "")
				if err := target.Delete(t.Context(), *made); err != nil {
					t.Error(err)
				}
				w.bare(t)
			}
		})
	}
}

// A bucket that keeps versions keeps none of a disk, neither of one that was imported, nor of one that was not, nor where
// the version got lost, nor of what a killed provider left.
func TestImportVersions(t *testing.T) {
	t.Parallel()
	w := importsBy(t, awstest.Options{Inject: awstest.Nth("ImportSnapshot", 2, awstest.Later)}, deploytest.S3Options{Versions: true})
	if _, err := w.bucket.Client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &w.bucket.Name, Key: aws.String("pim/web-0123456789abcdef.raw"), Body: strings.NewReader("x"),
	}); err != nil {
		t.Fatal(err)
	}
	p := patient()
	p.Abandoned = time.Nanosecond
	target, r := w.target(t, nil, ami.Options{Pace: p}), large().request(t, "web")
	made := mustDeploy(t, target, r)
	if left := w.bucket.Objects(t); len(left) > 0 {
		t.Errorf("left in the bucket: %q", left)
	}
	w.faults.Arm(0, "")
	if _, err := target.Deploy(t.Context(), r); err == nil {
		t.Error("the second import succeeds")
	}
	post := func(request string) bool { return strings.HasPrefix(request, "POST ") }
	requests := w.faults.Requests()
	began := slices.IndexFunc(requests, post) + 1
	w.faults.Arm(began+slices.IndexFunc(requests[began:], post)+1, deploytest.Lose) // of the upload's completion
	if err := target.Delete(t.Context(), mustDeploy(t, target, r)); err != nil {
		t.Error(err)
	}
	if err := target.Delete(t.Context(), made); err != nil {
		t.Error(err)
	}
	w.bare(t)
}

// Where just the version cannot be removed, the error names what is left, and what it takes to remove it.
func TestImportVersionStays(t *testing.T) {
	t.Parallel()
	w := importsBy(t, awstest.Options{}, deploytest.S3Options{Versions: true})
	to, err := url.Parse(w.bucket.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // which is signed
	}}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete && r.URL.Query().Has("versionId") {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rw, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	target := w.target(t, map[string]any{"endpoints": map[string]any{"ec2": w.URL, "ebs": w.URL, "sts": w.URL, "s3": front.URL}}, ami.Options{})
	_, err = target.Deploy(t.Context(), large().request(t, "web"))
	left := w.bucket.Objects(t)
	if err == nil || len(left) != 1 || !strings.Contains(err.Error(), left[0]) || !strings.Contains(err.Error(), "s3:DeleteObjectVersion") {
		t.Errorf("left %q: %v", left, err)
	}
	empty(t, w.Server)
}

func TestImportFails(t *testing.T) {
	t.Parallel()
	const always = 1 << 30
	tests := map[string]struct {
		o    awstest.Options
		deny string
		want string
	}{
		"no role":    {o: awstest.Options{NoImportRole: true}, want: "the account must have"},
		"denied":     {deny: "ImportSnapshot", want: "cannot import"},
		"in the end": {o: awstest.Options{Inject: awstest.Nth("ImportSnapshot", 1, awstest.Later)}, want: "could not import"},
		"watching":   {o: awstest.Options{Inject: awstest.First("DescribeImportSnapshotTasks", always, awstest.Broken)}, want: "cannot look"},
		"tagging":    {deny: "CreateTags", want: "cannot tag"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newImports(t, test.o)
			w.Deny(test.deny)
			left, err := w.target(t, nil, ami.Options{}).Deploy(t.Context(), large().request(t, "web"))
			if err == nil || !strings.Contains(err.Error(), test.want) || left != nil {
				t.Errorf("left %+v: %v, want %q", left, err, test.want)
			}
			if name != "watching" {
				w.bare(t)
			}
		})
	}
}

// What a killed provider left in the bucket goes once it is old, and only what is this deployment's.
func TestSweepBucket(t *testing.T) {
	t.Parallel()
	w := newImports(t, awstest.Options{})
	const mine, longer, foreign = "pim/web-0123456789abcdef.raw", "pim/web-2-0123456789abcdef.raw", "pim/web-notes.raw"
	for _, key := range []string{mine, longer, foreign} {
		if _, err := w.bucket.Client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &w.bucket.Name, Key: aws.String(key), Body: strings.NewReader("x"),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.bucket.Client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
			Bucket: &w.bucket.Name, Key: aws.String(key),
		}); err != nil {
			t.Fatal(err)
		}
	}
	r := large().request(t, "web")
	mustDeploy(t, w.target(t, nil, ami.Options{}), r)
	if left := w.bucket.Objects(t); len(left) != 6 {
		t.Errorf("left %q: all were young", left)
	}
	p := patient()
	p.Abandoned = time.Nanosecond
	mustDeploy(t, w.target(t, nil, ami.Options{Pace: p}), r)
	if left, want := w.bucket.Objects(t), []string{longer, foreign, "upload " + longer, "upload " + foreign}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

// The snapshot of an import whose end a killed provider did not see is taken over.
func TestImportLeftover(t *testing.T) {
	t.Parallel()
	var past clock
	past.set(20 * time.Minute)
	w := newImports(t, awstest.Options{Now: past.now})
	w.Deny("CreateTags", "DeleteSnapshot")
	target := w.target(t, nil, ami.Options{})
	r := large().request(t, "web")
	left, err := target.Deploy(t.Context(), r)
	if err == nil || left == nil {
		t.Fatalf("left %+v: %v", left, err)
	}
	w.Deny()
	past.set(0)
	made := mustDeploy(t, target, r)
	if made.Snapshots[home] != left.ID || w.Stats("ImportSnapshot").Requests != 1 {
		t.Errorf("made %+v, there was %s; %d imports", made, left.ID, w.Stats("ImportSnapshot").Requests)
	}
	fitting(t, target, made)
}

func TestCheckBucket(t *testing.T) {
	t.Parallel()
	w := newImports(t, awstest.Options{})
	problems, err := w.target(t, map[string]any{"s3_bucket": "nobody-has-this"}, ami.Options{}).Check(t.Context(), planned("web"))
	if err != nil || find(problems, "s3_bucket", "No such bucket") == nil {
		t.Errorf("found %v: %v", problems, err)
	}
	w.Deny("ImportSnapshot") // is a warning, so that the bucket is looked at as well
	problems, err = w.target(t, map[string]any{"s3_bucket": "nobody-has-this"}, ami.Options{}).Check(t.Context(), planned("web"))
	if err != nil || find(problems, "", "ec2:ImportSnapshot") == nil || find(problems, "s3_bucket", "No such bucket") == nil {
		t.Errorf("found %v: %v", problems, err)
	}
	w.Deny()
	target := open(t, settings(t, w.Server, map[string]any{
		"method": "s3_import", "s3_bucket": w.bucket.Name,
		"endpoints": map[string]any{"ec2": w.URL, "ebs": w.URL, "sts": w.URL, "s3": "http://s3.invalid"},
	}), ami.Options{})
	if _, err := target.Check(t.Context(), planned("web")); !errors.Is(err, deploy.ErrUnreachable) {
		t.Errorf("checks with %v", err)
	}
}
