package awstest

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// blockSize is the size of a block in bytes.
const blockSize = 512 << 10

// digest is the SHA-256 of a block.
type digest [sha256.Size]byte

// blockStore keeps each block's content once, in a file.
type blockStore struct {
	mu   sync.Mutex
	file *os.File
	at   map[digest]int64
}

func newBlockStore(t testing.TB) *blockStore {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &blockStore{file: file, at: map[digest]int64{}}
}

// put keeps a block.
func (b *blockStore) put(d digest, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.at[d]; ok {
		return nil
	}
	at := int64(len(b.at)) * blockSize
	if _, err := b.file.WriteAt(data, at); err != nil {
		return err
	}
	b.at[d] = at
	return nil
}

// get reads a block that put has kept.
func (b *blockStore) get(d digest) ([]byte, error) {
	b.mu.Lock()
	at := b.at[d]
	b.mu.Unlock()
	data := make([]byte, blockSize)
	_, err := b.file.ReadAt(data, at)
	return data, err
}
