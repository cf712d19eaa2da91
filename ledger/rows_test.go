package ledger

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// FuzzRows: what a row's parser takes is what its writer writes, and nothing panics.
func FuzzRows(f *testing.F) {
	key, value := originRow{"r.example/1", 1, 0, "r.example"}.marshal()
	f.Add(key, value)
	f.Add([]byte("s"), sizeRow{5, 2}.marshal())
	f.Add([]byte("p"), Checkpoint{Size: 5, Root: tlog.Hash{1}, Note: []byte("note")}.marshal())
	f.Add(appendKeyRow(nil, 1, &[32]byte{2}, 3), place{1, 2}.append(nil))
	f.Add(appendIndexed(nil, hashRows, 1, 2), []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		indexOf(key)
		if r, err := parseOriginRow(key, value); err == nil {
			k, v := r.marshal()
			if !bytes.Equal(k[1:], key[1:]) || !bytes.Equal(v, value) {
				t.Errorf("origin row %x %x", k, v)
			}
		}
		if r, err := parseSizeRow(value); err == nil && (!bytes.Equal(r.marshal(), value) || r.states > r.size) {
			t.Errorf("size row %v", r)
		}
		if c, err := parseCheckpoint(value); err == nil && (!bytes.Equal(c.marshal(), value) || c.Size == 0 || len(c.Note) == 0) {
			t.Errorf("checkpoint row %v", c)
		}
		if p, err := parsePlace(value); err == nil && !bytes.Equal(p.append(nil), value) {
			t.Errorf("place %v", p)
		}
		if hash, ordinal, err := splitKeyRow(key); err == nil && !bytes.Equal(appendKeyRow(nil, 0, &hash, ordinal)[5:], key[5:]) {
			t.Errorf("key row %x %d", hash, ordinal)
		}
	})
}

// TestFrontier compares the tree's growth with that of x/mod.
func TestFrontier(t *testing.T) {
	var all []tlog.Hash
	var f frontier
	read := tlog.HashReaderFunc(func(indexes []int64) (hashes []tlog.Hash, err error) {
		for _, i := range indexes {
			hashes = append(hashes, all[i])
		}
		return hashes, nil
	})
	for n := range int64(1100) {
		leaf := tlog.RecordHash([]byte{byte(n), byte(n >> 8)})
		want, err := tlog.StoredHashesForRecordHash(n, leaf, read)
		if err != nil {
			t.Fatal(err)
		}
		got := f.add(leaf, nil)
		all = append(all, got...)
		root, err := tlog.TreeHash(n+1, read)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := frontierAt(uint64(n+1), read)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(flat(got), flat(want)) || f.root() != root || stored.root() != root || hashCount(f.size) != uint64(len(all)) {
			t.Fatalf("size %d", n+1)
		}
	}
}

func flat(hashes []tlog.Hash) (b []byte) {
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

func TestChunkCacheIsBounded(t *testing.T) {
	var c chunkCache
	first := new(chunk)
	for n := range uint64(3 * cachedChunks) {
		c.put(chunkID{1, n}, new(chunk))
		c.put(chunkID{2, 0}, first)
		if c.get(chunkID{2, 0}) != first {
			t.Fatal("a chunk in use was dropped")
		}
	}
	if len(c.chunks) != cachedChunks || c.byUse.Len() != cachedChunks {
		t.Errorf("%d and %d chunks", len(c.chunks), c.byUse.Len())
	}
	if c.get(chunkID{1, 0}) != nil || c.get(chunkID{1, 3*cachedChunks - 1}) == nil {
		t.Error("it keeps the oldest")
	}
}
