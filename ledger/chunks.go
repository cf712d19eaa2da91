package ledger

import (
	"container/list"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// cachedChunks bounds the chunk cache to 4 MiB. It holds the hashes of the last 65,000 entries if nothing else is read.
const cachedChunks = 512

type chunkID struct {
	log   uint32
	chunk uint64
}

type chunk [chunkLen]tlog.Hash

// A chunkCache keeps the full chunks used last. Chunks never change, so it is never wrong.
type chunkCache struct {
	mu     sync.Mutex
	byUse  list.List // of cachedChunk, the last used first
	chunks map[chunkID]*list.Element
}

type cachedChunk struct {
	id chunkID
	*chunk
}

func (c *chunkCache) get(id chunkID) *chunk {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.chunks[id]
	if e == nil {
		return nil
	}
	c.byUse.MoveToFront(e)
	return e.Value.(cachedChunk).chunk
}

func (c *chunkCache) put(id chunkID, hashes *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chunks[id] != nil {
		return
	}
	if c.chunks == nil {
		c.chunks = make(map[chunkID]*list.Element)
	}
	if c.byUse.Len() == cachedChunks {
		last := c.byUse.Back()
		delete(c.chunks, c.byUse.Remove(last).(cachedChunk).id)
	}
	c.chunks[id] = c.byUse.PushFront(cachedChunk{id, hashes})
}

// A hashReader reads the stored hashes of a log as of one head. It is a tlog.HashReader.
type hashReader struct {
	log  *Log
	head *head
	// keep says that what is read from disk is likely to be read again.
	keep bool
}

func (r hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	var at *chunk
	atChunk := int64(-1)
	for i, x := range indexes {
		n := x / chunkLen
		if uint64(n) == r.head.chunks {
			hashes[i] = r.head.tail[x%chunkLen]
			continue
		}
		if n != atChunk {
			var err error
			if at, err = r.chunk(uint64(n)); err != nil {
				return nil, err
			}
			atChunk = n
		}
		hashes[i] = at[x%chunkLen]
	}
	return hashes, nil
}

// chunk returns a full chunk.
func (r hashReader) chunk(n uint64) (*chunk, error) {
	l := r.log
	id := chunkID{l.number, n}
	if c := l.db.chunks.get(id); c != nil {
		return c, nil
	}
	value, err := get(l.db.store, appendIndexed(nil, hashRows, l.number, n))
	if err != nil {
		return nil, err
	}
	if len(value) != chunkLen*tlog.HashSize {
		return nil, l.corrupt("hash chunk %d is %d bytes long", n, len(value))
	}
	c := new(chunk)
	for i := range c {
		copy(c[i][:], value[i*tlog.HashSize:])
	}
	if r.keep {
		l.db.chunks.put(id, c)
	}
	return c, nil
}
