package deploytest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// S3Options are what an S3 server shall accept.
type S3Options struct {
	AccessKey, SecretKey, Region string
	Faults                       *Faults // between Endpoint and the server, nil for none
	Versions                     bool    // the bucket keeps the versions of its objects
}

// Bucket is an empty bucket of a real S3 server.
type Bucket struct {
	Name     string
	Endpoint string     // for clients under test
	Client   *s3.Client // of the same server, past the faults
	versions bool
}

// S3 starts a versitygw that ends with the test. PIM_VERSITYGW names the program; without it the test is skipped, or
// fails where CI is set.
func S3(t testing.TB, o S3Options) *Bucket {
	t.Helper()
	program := os.Getenv("PIM_VERSITYGW")
	if program == "" {
		const missing = "PIM_VERSITYGW does not name a versitygw: run `PIM_VERSITYGW=$(scripts/tool.sh versitygw) go test …`"
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	// A socket needs a short path, and unlike a port it is ours before the server has it.
	dir, err := os.MkdirTemp("", "pim-s3-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"data", "meta", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "s3")
	startS3(t, socket, exec.Command(program, "--port", socket, "--access", o.AccessKey, "--secret", o.SecretKey,
		"--region", o.Region, "--quiet", "posix", "--sidecar", filepath.Join(dir, "meta"),
		"--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "data")))

	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { // the host is signed, and stays
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "s3", r.In.Host
		},
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := http.Handler(proxy)
	if o.Faults != nil {
		front = o.Faults.Handler(proxy, slowDown)
	}
	direct := serve(t, proxy)
	b := &Bucket{Name: "pim-images", versions: o.Versions, Endpoint: serve(t, front), Client: s3.New(s3.Options{
		Region: o.Region, BaseEndpoint: &direct, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: o.AccessKey, SecretAccessKey: o.SecretKey}, nil
		}),
	})}
	if _, err := b.Client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &b.Name}); err != nil {
		t.Fatalf("cannot make a bucket: %v", err)
	}
	if o.Versions {
		if _, err := b.Client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: &b.Name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		}); err != nil {
			t.Fatalf("cannot have the bucket keep versions: %v", err)
		}
	}
	return b
}

// serve serves a handler on loopback until the test ends.
func serve(t testing.TB, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// startS3 starts the server and waits until it takes connections.
func startS3(t testing.TB, socket string, server *exec.Cmd) {
	t.Helper()
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var end error
	ended := make(chan struct{})
	go func() {
		end = server.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Process.Kill()
		<-ended
	})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("versitygw ended: %v\n%s", end, said.String())
		case <-ctx.Done():
			t.Fatalf("versitygw does not answer: %v", err)
		case <-poll.C:
		}
	}
}

// slowDown is S3's transient error.
func slowDown(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
}

// Objects lists what is in the bucket, a line each and sorted: an object's key, or "upload KEY" for one that goes on. A
// bucket that keeps versions has a line for each of them, and "marker KEY" for what says that there is none.
func (b *Bucket) Objects(t testing.TB) []string {
	t.Helper()
	names := b.keys(t)
	uploads, err := b.Client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads.Uploads {
		names = append(names, "upload "+*u.Key)
	}
	slices.Sort(names)
	return names
}

func (b *Bucket) keys(t testing.TB) (keys []string) {
	t.Helper()
	if !b.versions {
		objects, err := b.Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &b.Name})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects.Contents {
			keys = append(keys, *o.Key)
		}
		return keys
	}
	all, err := b.Client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &b.Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all.Versions {
		keys = append(keys, *v.Key)
	}
	for _, m := range all.DeleteMarkers {
		keys = append(keys, "marker "+*m.Key)
	}
	return keys
}
