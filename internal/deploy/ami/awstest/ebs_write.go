package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// jsonTag is a tag as EBS direct has it.
type jsonTag struct{ Key, Value string }

// startRequest is the body of StartSnapshot.
type startRequest struct {
	VolumeSize       int64
	ClientToken      string
	Description      string
	Encrypted        *bool
	KmsKeyArn        string
	ParentSnapshotID string `json:"ParentSnapshotId"`
	Tags             []jsonTag
	Timeout          *int64
}

// maxGiB is the largest volume.
const maxGiB = 65536

var (
	isKeyARN      = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$`)
	isClientToken = regexp.MustCompile(`^[!-~]{1,64}$`)
)

func (s *Server) startSnapshot(w http.ResponseWriter, c *call) error {
	var q startRequest
	d := json.NewDecoder(bytes.NewReader(c.payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return invalid("INVALID_PARAMETER_VALUE", "The body is not what StartSnapshot takes: %v", err)
	}
	if err := q.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := c.action + " " + q.ClientToken
	if old, ok := c.region.tokens[token]; ok && q.ClientToken != "" {
		if old.request != string(c.payload) {
			return &apiError{
				status: 409, code: "ConflictException",
				message: "The client token was used before, with other parameters.",
			}
		}
		return answerJSON(w, http.StatusCreated, old.answer)
	}
	x, err := s.newSnapshot(c.region, q)
	if err != nil {
		return err
	}
	c.region.snapshots[x.id] = x
	answer := map[string]any{
		"SnapshotId": x.id, "OwnerId": Account, "Status": pending, "StartTime": x.started.Unix(),
		"VolumeSize": x.gib, "BlockSize": blockSize, "Description": x.description, "Tags": q.Tags,
	}
	if x.key != "" {
		answer["KmsKeyArn"] = x.key
	}
	if x.parent != nil {
		answer["ParentSnapshotId"] = x.parent.id
	}
	if q.ClientToken != "" {
		c.region.tokens[token] = remembered{string(c.payload), answer}
	}
	return answerJSON(w, http.StatusCreated, answer)
}

// check checks what does not depend on what exists.
func (q *startRequest) check() error {
	if q.VolumeSize < 1 || q.VolumeSize > maxGiB {
		return invalid("INVALID_VOLUME_SIZE", "The volume size is %d GiB, not 1 to %d.", q.VolumeSize, maxGiB)
	}
	if q.Timeout != nil && (*q.Timeout < 10 || *q.Timeout > 4320) {
		return invalid("INVALID_PARAMETER_VALUE", "The time-out is %d minutes, not 10 to 4320.", *q.Timeout)
	}
	if q.ClientToken != "" && !isClientToken.MatchString(q.ClientToken) {
		return invalid("INVALID_PARAMETER_VALUE", "The client token is not 1 to 64 ASCII characters.")
	}
	if utf8.RuneCountInString(q.Description) > 255 {
		return invalid("INVALID_PARAMETER_VALUE", "The description is longer than 255 characters.")
	}
	if len(q.Tags) > 50 {
		return invalid("INVALID_TAG", "There are %d tags, not 50 at most.", len(q.Tags))
	}
	seen := map[string]bool{}
	for _, t := range q.Tags {
		key, value := utf8.RuneCountInString(t.Key), utf8.RuneCountInString(t.Value)
		if key < 1 || key > 127 || value > 255 || seen[t.Key] || reserved(t.Key) {
			return invalid("INVALID_TAG", "The tag %q is invalid.", t.Key)
		}
		seen[t.Key] = true
	}
	return nil
}

// newSnapshot makes the snapshot that is asked for. The server is locked.
func (s *Server) newSnapshot(g *region, q startRequest) (*snapshot, error) {
	s.reap(g)
	writing := 0
	for _, x := range g.snapshots {
		if x.state == pending && x.next == "" {
			writing++
		}
	}
	if writing >= s.o.Pending {
		return nil, &apiError{
			status: 400, code: "ConcurrentLimitExceededException",
			message: fmt.Sprintf("There are %d pending snapshots already.", writing),
		}
	}
	x := &snapshot{
		description: q.Description, gib: q.VolumeSize, state: pending, started: s.o.Now(), touched: s.o.Now(),
		timeout: time.Hour, tags: map[string]string{}, shared: permissions{}, hidden: s.o.Late,
		blocks: map[int64]digest{}, written: map[int64]bool{},
	}
	if q.Timeout != nil {
		x.timeout = time.Duration(*q.Timeout) * time.Minute
	}
	for _, t := range q.Tags {
		x.tags[t.Key] = t.Value
	}
	if q.ParentSnapshotID != "" {
		parent, err := s.parentOf(g, q)
		if err != nil {
			return nil, err
		}
		x.parent, x.blocks = parent, maps.Clone(parent.blocks)
	}
	var err error
	if x.key, err = s.keyOf(g, q, x.parent); err != nil {
		return nil, err
	}
	x.id = s.id("snap")
	return x, nil
}

// parentOf is the snapshot that a new one is a change of.
func (s *Server) parentOf(g *region, q startRequest) (*snapshot, error) {
	if !isSnapshotID.MatchString(q.ParentSnapshotID) {
		return nil, invalid("INVALID_SNAPSHOT_ID", "The parent snapshot id %q is invalid.", q.ParentSnapshotID)
	}
	parent, err := s.find(g, q.ParentSnapshotID)
	switch {
	case err != nil:
		return nil, err
	case parent.state != completed:
		return nil, invalid("INVALID_SNAPSHOT_ID", "The parent snapshot %s is %s, not completed.", parent.id, parent.state)
	case q.VolumeSize < parent.gib:
		return nil, invalid("INVALID_VOLUME_SIZE", "The volume size is smaller than the parent's %d GiB.", parent.gib)
	case q.Encrypted != nil:
		return nil, invalid("INVALID_PARAMETER_VALUE", "Encrypted and ParentSnapshotId cannot be given together.")
	case q.KmsKeyArn != "":
		return nil, invalid("INVALID_CUSTOMER_KEY", "KmsKeyArn and ParentSnapshotId cannot be given together.")
	case parent.key == "" && s.o.EncryptByDefault:
		return nil, invalid("INVALID_PARAMETER_VALUE", "Encryption by default is on, and the parent is not encrypted.")
	}
	return parent, nil
}

// keyOf is the key that a new snapshot is encrypted with, "" for none. See
// https://docs.aws.amazon.com/ebs/latest/userguide/ebsapis-using-encryption.html.
func (s *Server) keyOf(g *region, q startRequest, parent *snapshot) (string, error) {
	encrypted := q.Encrypted != nil && *q.Encrypted
	switch {
	case parent != nil:
		return parent.key, nil
	case q.KmsKeyArn != "" && !encrypted:
		return "", invalid("INVALID_PARAMETER_VALUE", "KmsKeyArn needs Encrypted.")
	case q.KmsKeyArn != "" && !isKeyARN.MatchString(q.KmsKeyArn):
		return "", invalid("INVALID_CUSTOMER_KEY", "%q is not the ARN of a key.", q.KmsKeyArn)
	case q.KmsKeyArn != "" && q.KmsKeyArn != KMSKey(g.name) && q.KmsKeyArn != defaultKey(g.name):
		return "", &apiError{
			status: 404, code: "ResourceNotFoundException", message: "The KMS key does not exist in this region.",
			reason: "DEPENDENCY_RESOURCE_NOT_FOUND",
		}
	case q.KmsKeyArn != "":
		return q.KmsKeyArn, nil
	case q.Encrypted != nil && !encrypted && s.o.EncryptByDefault:
		return "", invalid("INVALID_PARAMETER_VALUE", "Encryption by default is on.")
	case encrypted, s.o.EncryptByDefault:
		return s.defaultKey(g.name), nil
	}
	return "", nil
}

func (s *Server) putBlock(w http.ResponseWriter, c *call) error {
	h := c.r.Header
	index, err := strconv.ParseInt(c.args[1], 10, 32)
	if err != nil || index < 0 {
		return invalid("INVALID_BLOCK", "The block index is %q.", c.args[1])
	}
	if _, err := header(h, "X-Amz-Data-Length", blockSize, blockSize); err != nil {
		return err
	}
	if err := oneOf(h, "X-Amz-Checksum-Algorithm", "SHA256"); err != nil {
		return err
	}
	if h.Get("X-Amz-Progress") != "" {
		if _, err := header(h, "X-Amz-Progress", 0, 100); err != nil {
			return err
		}
	}
	buffer, _ := s.buffers.Get().(*[blockSize + 1]byte) // one more, to notice what is too long
	if buffer == nil {
		buffer = new([blockSize + 1]byte)
	}
	defer s.buffers.Put(buffer)
	n, err := io.ReadFull(c.r.Body, buffer[:])
	if n != blockSize || !errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("INVALID_BLOCK", "The data is not %d bytes: %d were read (%v)", blockSize, n, err)
	}
	data := buffer[:n]
	sum := digest(sha256.Sum256(data))
	checksum := base64.StdEncoding.EncodeToString(sum[:])
	if h.Get("X-Amz-Checksum") != checksum {
		return invalid("INVALID_BLOCK", "The checksum of the data is not %q.", h.Get("X-Amz-Checksum"))
	}
	if err := s.keepBlock(c, index, sum, data); err != nil {
		return err
	}
	w.Header().Set("X-Amz-Checksum", checksum)
	w.Header().Set("X-Amz-Checksum-Algorithm", "SHA256")
	w.WriteHeader(http.StatusCreated)
	return nil
}

// keepBlock puts a block into a snapshot.
func (s *Server) keepBlock(c *call, index int64, sum digest, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c.region, c.args[0])
	if err != nil {
		return err
	}
	if err := writable(x); err != nil {
		return err
	}
	if index >= x.gib<<30/blockSize {
		return invalid("INVALID_BLOCK", "The block index %d is behind the end of the volume.", index)
	}
	if err := s.data.put(sum, data); err != nil {
		return err
	}
	x.blocks[index], x.written[index], x.touched = sum, true, s.o.Now()
	return nil
}

// writable checks that a snapshot is still being written.
func writable(x *snapshot) error {
	if x.state != pending || x.next != "" {
		return invalid("INVALID_SNAPSHOT_ID", "The snapshot %s is not being written any more.", x.id)
	}
	return nil
}

func (s *Server) completeSnapshot(w http.ResponseWriter, c *call, later bool) error {
	h := c.r.Header
	count, err := header(h, "X-Amz-Changedblockscount", 0, maxGiB<<30/blockSize)
	if err != nil {
		return err
	}
	checksum := h.Get("X-Amz-Checksum")
	if checksum != "" {
		if err := oneOf(h, "X-Amz-Checksum-Algorithm", "SHA256"); err != nil {
			return err
		}
		if err := oneOf(h, "X-Amz-Checksum-Aggregation-Method", "LINEAR"); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.find(c.region, c.args[0])
	if err != nil {
		return err
	}
	if err := writable(x); err != nil {
		return err
	}
	if n := int64(len(x.written)); n != count {
		return invalid("INVALID_PARAMETER_VALUE", "The snapshot has %d changed blocks, not %d.", n, count)
	}
	if want := x.linear(); checksum != "" && checksum != want {
		return invalid("INVALID_PARAMETER_VALUE", "The aggregated checksum is not %s.", checksum)
	}
	x.looks, x.next = s.o.Looks, completed
	if later {
		x.next = broken
	}
	return answerJSON(w, http.StatusAccepted, map[string]string{"Status": pending})
}

// linear is the checksum of the checksums of the blocks that were written, in the order of their indices.
func (x *snapshot) linear() string {
	all := sha256.New()
	for _, index := range slices.Sorted(maps.Keys(x.written)) {
		sum := x.blocks[index]
		all.Write(sum[:])
	}
	return base64.StdEncoding.EncodeToString(all.Sum(nil))
}

// reserved tells if a tag is AWS's own.
func reserved(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }
