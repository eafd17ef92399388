package awstest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenLife is how long a block's token is good for.
const tokenLife = 7 * 24 * time.Hour

// listed is what both listings of blocks take.
type listed struct {
	most  int
	first int64
}

// parseListing reads the paging of a listing. A page token is the index to go on with.
func (s *Server) parseListing(q url.Values, snapshots string) (listed, error) {
	l := listed{most: 10000}
	if v := q.Get("maxResults"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 100 || n > 10000 {
			return l, invalid("INVALID_PARAMETER_VALUE", "maxResults is %q, not 100 to 10000.", v)
		}
		l.most = n
	}
	if s.o.Page > 0 {
		l.most = min(l.most, s.o.Page)
	}
	var err error
	if v := q.Get("pageToken"); v != "" {
		if l.first, err = openToken(v, "page "+snapshots); err != nil {
			return l, invalid("INVALID_PAGE_TOKEN", "The page token is invalid.")
		}
		return l, nil
	}
	if v := q.Get("startingBlockIndex"); v != "" {
		if l.first, err = strconv.ParseInt(v, 10, 32); err != nil || l.first < 0 {
			return l, invalid("INVALID_PARAMETER_VALUE", "startingBlockIndex is %q.", v)
		}
	}
	return l, nil
}

// page is the part of the indices that goes into one answer, and the token for the next, "" when there is none.
func (l listed) page(indices []int64, snapshots string) (part []int64, next string) {
	slices.Sort(indices)
	at, _ := slices.BinarySearch(indices, l.first)
	part = indices[at:]
	if len(part) > l.most {
		next = sealToken("page "+snapshots, part[l.most])
		part = part[:l.most]
	}
	return part, next
}

// readable is a completed snapshot of that id. The server is locked.
func (s *Server) readable(g *region, id string) (*snapshot, error) {
	x, err := s.find(g, id)
	if err != nil {
		return nil, err
	}
	if x.state != completed {
		return nil, invalid("INVALID_SNAPSHOT_ID", "The snapshot %s is %s, not completed.", id, x.state)
	}
	return x, nil
}

func (s *Server) listBlocks(w http.ResponseWriter, c *call) error {
	q, id := c.r.URL.Query(), c.args[0]
	if err := onlyQuery(q, "maxResults", "pageToken", "startingBlockIndex"); err != nil {
		return err
	}
	l, err := s.parseListing(q, id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.readable(c.region, id)
	if err != nil {
		return err
	}
	part, next := l.page(slices.Collect(maps.Keys(x.blocks)), id)
	expiry := s.o.Now().Add(tokenLife)
	blocks := []map[string]any{}
	for _, index := range part {
		blocks = append(blocks, map[string]any{"BlockIndex": index, "BlockToken": x.token(index, expiry)})
	}
	return answerJSON(w, http.StatusOK, listing(x, expiry, next, "Blocks", blocks))
}

func (s *Server) listChangedBlocks(w http.ResponseWriter, c *call) error {
	q, secondID := c.r.URL.Query(), c.args[0]
	if err := onlyQuery(q, "firstSnapshotId", "maxResults", "pageToken", "startingBlockIndex"); err != nil {
		return err
	}
	firstID := q.Get("firstSnapshotId")
	if !isSnapshotID.MatchString(firstID) {
		return invalid("INVALID_SNAPSHOT_ID", "firstSnapshotId is %q.", firstID)
	}
	l, err := s.parseListing(q, firstID+secondID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.readable(c.region, firstID)
	if err != nil {
		return err
	}
	second, err := s.readable(c.region, secondID)
	if err != nil {
		return err
	}
	if first.root() != second.root() || first.gib > second.gib {
		return invalid("UNRELATED_SNAPSHOTS", "%s is not of the same lineage as %s.", secondID, firstID)
	}
	var differ []int64
	for index, sum := range second.blocks {
		if old, ok := first.blocks[index]; !ok || old != sum {
			differ = append(differ, index)
		}
	}
	part, next := l.page(differ, firstID+secondID)
	expiry := s.o.Now().Add(tokenLife)
	blocks := []map[string]any{}
	for _, index := range part {
		b := map[string]any{"BlockIndex": index, "SecondBlockToken": second.token(index, expiry)}
		if _, ok := first.blocks[index]; ok {
			b["FirstBlockToken"] = first.token(index, expiry)
		}
		blocks = append(blocks, b)
	}
	return answerJSON(w, http.StatusOK, listing(second, expiry, next, "ChangedBlocks", blocks))
}

// listing is the answer of both listings.
func listing(x *snapshot, expiry time.Time, next, name string, blocks []map[string]any) map[string]any {
	answer := map[string]any{name: blocks, "ExpiryTime": expiry.Unix(), "VolumeSize": x.gib, "BlockSize": blockSize}
	if next != "" {
		answer["NextToken"] = next
	}
	return answer
}

func (s *Server) getBlock(w http.ResponseWriter, c *call) error {
	q := c.r.URL.Query()
	if err := onlyQuery(q, "blockToken"); err != nil {
		return err
	}
	index, err := strconv.ParseInt(c.args[1], 10, 32)
	if err != nil || index < 0 {
		return invalid("INVALID_BLOCK", "The block index is %q.", c.args[1])
	}
	sum, err := s.blockOf(c, index, q.Get("blockToken"))
	if err != nil {
		return err
	}
	data, err := s.data.get(sum)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Amz-Data-Length", strconv.Itoa(blockSize))
	h.Set("X-Amz-Checksum", base64.StdEncoding.EncodeToString(sum[:]))
	h.Set("X-Amz-Checksum-Algorithm", "SHA256")
	_, err = w.Write(data)
	return err
}

// blockOf is the block that a token is for.
func (s *Server) blockOf(c *call, index int64, token string) (digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.readable(c.region, c.args[0])
	if err != nil {
		return digest{}, err
	}
	expiry, err := openToken(token, x.tokenName(index))
	if err != nil || s.o.Now().Unix() > expiry {
		return digest{}, invalid("INVALID_BLOCK_TOKEN", "The block token is invalid or has expired.")
	}
	return x.blocks[index], nil
}

func (x *snapshot) tokenName(index int64) string { return fmt.Sprintf("block %s/%d", x.id, index) }

// token is what a client must show to read a block.
func (x *snapshot) token(index int64, expiry time.Time) string {
	return sealToken(x.tokenName(index), expiry.Unix())
}

// sealToken makes a token for a name that holds a number.
func sealToken(name string, n int64) string {
	return base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%s=%d", name, n)))
}

// openToken is the number in a token for that name.
func openToken(token, name string) (int64, error) {
	if !isToken.MatchString(token) {
		return 0, fmt.Errorf("%q is not a token", token)
	}
	text, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return 0, err
	}
	value, ok := strings.CutPrefix(string(text), name+"=")
	if !ok {
		return 0, fmt.Errorf("the token is not for %s", name)
	}
	return strconv.ParseInt(value, 10, 64)
}
