package awstest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"golang.org/x/sync/errgroup"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/deploytest"
)

func TestInject(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  Fault
		status int
		code   string // of EBS direct
		ec2    int
		other  string // code of EC2
	}{
		"throttled": {Throttled, 400, "RequestThrottledException", 503, "RequestLimitExceeded"},
		"busy":      {Busy, 400, "ConcurrentLimitExceededException", 503, "RequestLimitExceeded"},
		"broken":    {Broken, 500, "InternalServerException", 500, "InternalError"},
		"missing":   {Missing, 404, notFound, 503, "RequestLimitExceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, Options{Inject: Any(Nth("StartSnapshot", 2, tc.fault), First("DescribeImages", 1, tc.fault))})
			must(a.start(nil))
			_, err := a.start(nil)
			wantError(t, err, tc.status, tc.code)
			must(a.start(nil))
			_, err = a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
			wantError(t, err, tc.ec2, tc.other)
			if n := len(a.Inventory()); n != 2 {
				t.Errorf("%d snapshots: what is refused is not done", n)
			}
		})
	}
}

// A connection that ends may have had its request carried out, or not.
func TestDropped(t *testing.T) {
	t.Parallel()
	for fault, made := range map[Fault]int{Drop: 0, Lost: 1} {
		a := open(t, Options{Inject: Every("StartSnapshot", 1, fault)})
		if _, err := a.start(nil); err == nil || len(a.Inventory()) != made {
			t.Errorf("%s: %v, made %v", fault, err, a.Inventory())
		}
	}
}

// What fails in the background is accepted first.
func TestLater(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Inject: Any(First("CompleteSnapshot", 1, Later), First("CopyImage", 1, Later))})
	id := must(a.start(nil))
	if err := a.complete(id, 0); err != nil {
		t.Fatal(err)
	}
	a.state(id)
	if s := a.state(id); s != broken {
		t.Errorf("snapshot: %s", s)
	}
	image, _ := a.imageOf(nil)
	copied := must(a.copyTo(abroad, image, nil))
	if i := a.describe(a.in(abroad), copied); i.State != failed || i.StateReason == nil {
		t.Errorf("copy: %+v", i)
	}
}

// What was just made is not found by every request at once.
func TestLate(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Late: 2})
	id := must(a.start(nil))
	wantError(t, a.put(id, 0, "x"), 404, notFound)
	_, err := a.ec2.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	wantError(t, err, 400, "InvalidSnapshot.NotFound")
	wantError(t, a.put(id, 0, "x"), 0, "")
}

// A stalled request has no answer until the client gives up. It counts as under way; above the limit, requests are
// throttled.
func TestInFlight(t *testing.T) {
	t.Parallel()
	inside := make(chan struct{})
	a := open(t, Options{InFlight: 1, Inject: func(action string, n int) Fault {
		if action == "PutSnapshotBlock" && n == 1 {
			close(inside)
			return Stall
		}
		return ""
	}})
	id := must(a.start(nil))
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error {
		data := block("x")
		in := &ebs.PutSnapshotBlockInput{SnapshotId: &id, BlockIndex: aws.Int32(0), DataLength: aws.Int32(blockSize), ChecksumAlgorithm: "SHA256"}
		withData(data)(in)
		_, err := a.ebs.PutSnapshotBlock(ctx, in)
		return err
	})
	<-inside
	wantError(t, a.put(id, 1, "x"), 400, "RequestThrottledException")
	cancel()
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if st := a.Stats("PutSnapshotBlock"); st.InFlight != 2 || st.Requests != 2 || st.Bytes < blockSize {
		t.Errorf("%+v", st)
	}
}

// The suite's faults are in front, and see names that say what is asked.
func TestFaults(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	a.Faults().Arm(1, deploytest.Refuse)
	_, err := a.start(nil)
	wantError(t, err, 400, "RequestThrottledException")
	a.Faults().Arm(1, deploytest.Lose)
	if _, err = a.start(nil); err == nil || len(a.Inventory()) != 1 {
		t.Errorf("lost: %v, %v", err, a.Inventory())
	}
	a.Faults().Arm(2, deploytest.Refuse)
	must(a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{}))
	_, err = a.ec2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
	wantError(t, err, 503, "RequestLimitExceeded")
	want := "POST /" + home + "/DescribeImages"
	if got := a.Faults().Requests(); !slices.Equal(got, []string{want, want}) {
		t.Errorf("requests: %v", got)
	}
	if n := len(a.Requests()); n != 4 {
		t.Errorf("%d requests in all", n)
	}
}
