package deploytest

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestS3(t *testing.T) {
	t.Parallel()
	var f Faults
	b := S3(t, S3Options{AccessKey: "key", SecretKey: "secret", Region: "eu-central-1", Faults: &f})
	client := func(secret string) *s3.Client {
		return s3.New(s3.Options{
			Region: "eu-central-1", BaseEndpoint: &b.Endpoint, UsePathStyle: true, Retryer: aws.NopRetryer{},
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "key", SecretAccessKey: secret}, nil
			}),
		})
	}
	put := func(c *s3.Client) error {
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &b.Name, Key: aws.String("a/disk.raw"), Body: strings.NewReader("data")})
		return err
	}
	c := client("secret")
	if err := put(client("other")); err == nil {
		t.Error("it takes any secret")
	}
	f.Arm(1, Refuse)
	if err := put(c); err == nil || !strings.Contains(err.Error(), "SlowDown") {
		t.Errorf("refused: %v", err)
	}
	if err := put(c); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b.Name, Key: aws.String("a/disk.raw")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if data, err := io.ReadAll(out.Body); err != nil || string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
	if got := f.Requests(); len(got) != 3 || got[2] != "GET /"+b.Name+"/a/disk.raw" {
		t.Errorf("requests: %v", got)
	}

	// An upload in parts shows while it is not finished.
	up, err := c.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: &b.Name, Key: aws.String("big"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: &b.Name, Key: aws.String("big"), UploadId: up.UploadId, PartNumber: aws.Int32(1),
		Body: bytes.NewReader(make([]byte, 5<<20)), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Objects(t); !slices.Equal(got, []string{"a/disk.raw", "upload big"}) {
		t.Errorf("during the upload: %v", got)
	}
	_, err = c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: &b.Name, Key: aws.String("big"), UploadId: up.UploadId})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Objects(t); !slices.Equal(got, []string{"a/disk.raw"}) {
		t.Errorf("after it: %v", got)
	}
}
