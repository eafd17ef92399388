package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
)

const (
	validation = "ValidationException"
	notFound   = "ResourceNotFoundException"
)

func TestStartSnapshot(t *testing.T) {
	t.Parallel()
	tags := func(n int) []types.Tag {
		var list []types.Tag
		for i := range n {
			list = append(list, types.Tag{Key: aws.String(fmt.Sprint("k", i)), Value: aws.String("v")})
		}
		return list
	}
	tag := func(key, value string) []types.Tag { return []types.Tag{{Key: &key, Value: &value}} }
	for name, tc := range map[string]struct {
		change func(*ebs.StartSnapshotInput)
		status int
		code   string
	}{
		"plain":           {change: func(*ebs.StartSnapshotInput) {}},
		"largest":         {change: func(in *ebs.StartSnapshotInput) { in.VolumeSize = aws.Int64(65536) }},
		"too large":       {func(in *ebs.StartSnapshotInput) { in.VolumeSize = aws.Int64(65537) }, 400, validation},
		"empty":           {func(in *ebs.StartSnapshotInput) { in.VolumeSize = aws.Int64(0) }, 400, validation},
		"time-out":        {change: func(in *ebs.StartSnapshotInput) { in.Timeout = aws.Int32(4320) }},
		"time-out short":  {func(in *ebs.StartSnapshotInput) { in.Timeout = aws.Int32(9) }, 400, validation},
		"time-out long":   {func(in *ebs.StartSnapshotInput) { in.Timeout = aws.Int32(4321) }, 400, validation},
		"50 tags":         {change: func(in *ebs.StartSnapshotInput) { in.Tags = tags(50) }},
		"51 tags":         {func(in *ebs.StartSnapshotInput) { in.Tags = tags(51) }, 400, validation},
		"tag twice":       {func(in *ebs.StartSnapshotInput) { in.Tags = append(tags(1), tags(1)...) }, 400, validation},
		"tag of AWS":      {func(in *ebs.StartSnapshotInput) { in.Tags = tag("aws:x", "") }, 400, validation},
		"tag key long":    {func(in *ebs.StartSnapshotInput) { in.Tags = tag(strings.Repeat("k", 128), "") }, 400, validation},
		"tag value long":  {func(in *ebs.StartSnapshotInput) { in.Tags = tag("k", strings.Repeat("v", 256)) }, 400, validation},
		"description":     {func(in *ebs.StartSnapshotInput) { in.Description = aws.String(strings.Repeat("d", 256)) }, 400, validation},
		"token long":      {func(in *ebs.StartSnapshotInput) { in.ClientToken = aws.String(strings.Repeat("t", 65)) }, 400, validation},
		"encrypted":       {change: func(in *ebs.StartSnapshotInput) { in.Encrypted = aws.Bool(true) }},
		"key, unasked":    {func(in *ebs.StartSnapshotInput) { in.KmsKeyArn = aws.String(KMSKey(home)) }, 400, validation},
		"parent unknown":  {func(in *ebs.StartSnapshotInput) { in.ParentSnapshotId = aws.String("snap-0123456789") }, 404, notFound},
		"parent no id":    {func(in *ebs.StartSnapshotInput) { in.ParentSnapshotId = aws.String("ami-0123456789") }, 400, validation},
		"key of nobody":   {withKey(KMSKey("mars-1")), 404, notFound},
		"key by its id":   {withKey("1234abcd-12ab-34cd-56ef-1234567890ab"), 400, validation},
		"key of customer": {change: withKey(KMSKey(home))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, Options{}).start(tc.change)
			wantError(t, err, tc.status, tc.code)
		})
	}
}

func withKey(arn string) func(*ebs.StartSnapshotInput) {
	return func(in *ebs.StartSnapshotInput) { in.Encrypted, in.KmsKeyArn = aws.Bool(true), &arn }
}

func TestStartSnapshotToken(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	ask := func(gib int64) (string, error) {
		return a.start(func(in *ebs.StartSnapshotInput) { in.ClientToken, in.VolumeSize = aws.String("once"), &gib })
	}
	first, again := must(ask(1)), must(ask(1))
	if first != again || len(a.Inventory()) != 1 {
		t.Errorf("asked twice: %s and %s, %v", first, again, a.Inventory())
	}
	_, err := ask(2)
	wantError(t, err, 409, "ConflictException")
}

func TestParent(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	parent := a.snapshotOf(map[int32]string{0: "a", 1: "b"}, func(in *ebs.StartSnapshotInput) { in.VolumeSize = aws.Int64(2) })
	secret := a.snapshotOf(nil, withKey(KMSKey(home)))
	writing := must(a.start(nil))
	child := func(of string, change func(*ebs.StartSnapshotInput)) func(*ebs.StartSnapshotInput) {
		return func(in *ebs.StartSnapshotInput) {
			in.ParentSnapshotId, in.VolumeSize = &of, aws.Int64(3)
			if change != nil {
				change(in)
			}
		}
	}
	for name, tc := range map[string]func(*ebs.StartSnapshotInput){
		"smaller":         child(parent, func(in *ebs.StartSnapshotInput) { in.VolumeSize = aws.Int64(1) }),
		"and encrypted":   child(parent, func(in *ebs.StartSnapshotInput) { in.Encrypted = aws.Bool(true) }),
		"and unencrypted": child(secret, func(in *ebs.StartSnapshotInput) { in.Encrypted = aws.Bool(false) }),
		"and a key":       child(secret, func(in *ebs.StartSnapshotInput) { in.KmsKeyArn = aws.String(KMSKey(home)) }),
		"pending":         child(writing, nil),
	} {
		_, err := a.start(tc)
		t.Run(name, func(t *testing.T) { wantError(t, err, 400, validation) })
	}
	// The content is inherited, and outlives the parent; so is the key.
	id := a.snapshotOf(map[int32]string{1: "B", 9: "c"}, child(parent, nil))
	if s := a.Snapshot(id); s.Parent != parent || s.Written != 2 || s.Blocks != 3 {
		t.Errorf("%+v", s)
	}
	a.Remove(parent)
	if got := a.read(id); !maps.Equal(got, map[int32]string{0: "a", 1: "B", 9: "c"}) {
		t.Errorf("read back: %v", got)
	}
	if s := a.Snapshot(must(a.start(child(secret, nil)))); s.Key != KMSKey(home) {
		t.Errorf("key %q", s.Key)
	}
}

// The account says what it does by default.
func TestAccountSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o          Options
		on         bool
		key, state string
	}{
		"ordinary": {Options{}, false, "alias/aws/ebs", "unblocked"},
		"strict":   {Options{EncryptByDefault: true, OwnDefaultKey: true, BlockPublic: true}, true, KMSKey(home), "block-new-sharing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, tc.o)
			on := must(a.ec2.GetEbsEncryptionByDefault(t.Context(), nil))
			key := must(a.ec2.GetEbsDefaultKmsKeyId(t.Context(), nil))
			public := must(a.ec2.GetImageBlockPublicAccessState(t.Context(), nil))
			if *on.EbsEncryptionByDefault != tc.on || *key.KmsKeyId != tc.key || *public.ImageBlockPublicAccessState != tc.state {
				t.Errorf("%t, %s, %s", *on.EbsEncryptionByDefault, *key.KmsKeyId, *public.ImageBlockPublicAccessState)
			}
		})
	}
}

func TestEncryptByDefault(t *testing.T) {
	t.Parallel()
	a := open(t, Options{EncryptByDefault: true})
	if s := a.Snapshot(must(a.start(nil))); s.Key != defaultKey(home) {
		t.Errorf("key %q", s.Key)
	}
	_, err := a.start(func(in *ebs.StartSnapshotInput) { in.Encrypted = aws.Bool(false) })
	wantError(t, err, 400, validation)
}

func TestPutSnapshotBlock(t *testing.T) {
	t.Parallel()
	a := open(t, Options{})
	writing, done := must(a.start(nil)), a.snapshotOf(nil, nil)
	for name, tc := range map[string]struct {
		change func(*ebs.PutSnapshotBlockInput)
		status int
		code   string
	}{
		"right":           {change: func(*ebs.PutSnapshotBlockInput) {}},
		"last":            {change: func(in *ebs.PutSnapshotBlockInput) { in.BlockIndex = aws.Int32(2047) }},
		"progress":        {change: func(in *ebs.PutSnapshotBlockInput) { in.Progress = aws.Int32(100) }},
		"progress 101":    {func(in *ebs.PutSnapshotBlockInput) { in.Progress = aws.Int32(101) }, 400, validation},
		"behind the end":  {func(in *ebs.PutSnapshotBlockInput) { in.BlockIndex = aws.Int32(2048) }, 400, validation},
		"negative":        {func(in *ebs.PutSnapshotBlockInput) { in.BlockIndex = aws.Int32(-1) }, 400, validation},
		"wrong checksum":  {func(in *ebs.PutSnapshotBlockInput) { in.Checksum = checksum(nil) }, 400, validation},
		"other algorithm": {func(in *ebs.PutSnapshotBlockInput) { in.ChecksumAlgorithm = "MD5" }, 400, validation},
		"length said":     {func(in *ebs.PutSnapshotBlockInput) { in.DataLength = aws.Int32(512) }, 400, validation},
		"short":           {withData(make([]byte, blockSize-1)), 400, validation},
		"long":            {withData(make([]byte, blockSize+1)), 400, validation},
		"completed":       {func(in *ebs.PutSnapshotBlockInput) { in.SnapshotId = &done }, 400, validation},
		"unknown":         {func(in *ebs.PutSnapshotBlockInput) { in.SnapshotId = aws.String("snap-0123456789") }, 404, notFound},
		"no id":           {func(in *ebs.PutSnapshotBlockInput) { in.SnapshotId = aws.String("snap-xyz") }, 400, validation},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := &ebs.PutSnapshotBlockInput{
				SnapshotId: &writing, BlockIndex: aws.Int32(0), DataLength: aws.Int32(blockSize),
				ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256,
			}
			withData(block("x"))(in)
			tc.change(in)
			_, err := a.ebs.PutSnapshotBlock(t.Context(), in)
			wantError(t, err, tc.status, tc.code)
		})
	}
}

func withData(data []byte) func(*ebs.PutSnapshotBlockInput) {
	return func(in *ebs.PutSnapshotBlockInput) { in.BlockData, in.Checksum = bytes.NewReader(data), checksum(data) }
}

func TestCompleteSnapshot(t *testing.T) {
	t.Parallel()
	all := sha256.New()
	for _, text := range []string{"a", "b"} {
		sum := sha256.Sum256(block(text))
		all.Write(sum[:])
	}
	linear := base64.StdEncoding.EncodeToString(all.Sum(nil))
	checked := func(sum string, algorithm types.ChecksumAlgorithm, method types.ChecksumAggregationMethod) func(*ebs.CompleteSnapshotInput) {
		return func(in *ebs.CompleteSnapshotInput) {
			in.Checksum, in.ChecksumAlgorithm, in.ChecksumAggregationMethod = &sum, algorithm, method
		}
	}
	for name, tc := range map[string]struct {
		change func(*ebs.CompleteSnapshotInput)
		status int
		code   string
	}{
		"no checksum":    {change: func(*ebs.CompleteSnapshotInput) {}},
		"checksum":       {change: checked(linear, "SHA256", "LINEAR")},
		"wrong checksum": {checked(*checksum(nil), "SHA256", "LINEAR"), 400, validation},
		"no method":      {checked(linear, "SHA256", ""), 400, validation},
		"no algorithm":   {checked(linear, "", "LINEAR"), 400, validation},
		"too many":       {func(in *ebs.CompleteSnapshotInput) { in.ChangedBlocksCount = aws.Int32(3) }, 400, validation},
		"too few":        {func(in *ebs.CompleteSnapshotInput) { in.ChangedBlocksCount = aws.Int32(1) }, 400, validation},
		"unknown":        {func(in *ebs.CompleteSnapshotInput) { in.SnapshotId = aws.String("snap-0123456789") }, 404, notFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, Options{})
			id := must(a.start(nil))
			for index, text := range map[int32]string{9: "b", 3: "a"} {
				if err := a.put(id, index, text); err != nil {
					t.Fatal(err)
				}
			}
			in := &ebs.CompleteSnapshotInput{SnapshotId: &id, ChangedBlocksCount: aws.Int32(2)}
			tc.change(in)
			_, err := a.ebs.CompleteSnapshot(t.Context(), in)
			wantError(t, err, tc.status, tc.code)
			if err == nil {
				wantError(t, a.complete(id, 2), 400, validation) // it is done only once
			}
		})
	}
}

// A pending snapshot that nobody writes to is gone after its time-out; one that is written to is not.
func TestTimeout(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := open(t, Options{Now: func() time.Time { return now }})
	idle := must(a.start(nil))
	busy := must(a.start(func(in *ebs.StartSnapshotInput) { in.Timeout = aws.Int32(10) }))
	for range 6 {
		now = now.Add(10 * time.Minute)
		if err := a.put(busy, 0, "x"); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Minute)
	wantError(t, a.put(idle, 0, "x"), 404, notFound)
	now = now.Add(10 * time.Minute)
	wantError(t, a.complete(busy, 1), 404, notFound)
	if left := a.Inventory(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestPendingLimit(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Pending: 1})
	id := must(a.start(nil))
	_, err := a.start(nil)
	wantError(t, err, 400, "ConcurrentLimitExceededException")
	if err := a.complete(id, 0); err != nil {
		t.Fatal(err)
	}
	_, err = a.start(nil)
	wantError(t, err, 0, "")
}
