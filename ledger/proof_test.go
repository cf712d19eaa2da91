package ledger_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"countersign.dev/ledger"
	"golang.org/x/mod/sumdb/tlog"
)

// A tree is the same log kept by x/mod alone.
type tree struct {
	hashes []tlog.Hash
	leaves []tlog.Hash
}

func (r *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, i := range indexes {
		hashes = append(hashes, r.hashes[i])
	}
	return hashes, nil
}

func (r *tree) add(t testing.TB, entries ...ledger.Entry) {
	for _, e := range entries {
		hashes := must(tlog.StoredHashes(int64(len(r.leaves)), e.Data, r))(t)
		r.hashes = append(r.hashes, hashes...)
		r.leaves = append(r.leaves, hashes[0])
	}
}

func (r *tree) root(t testing.TB, size uint64) tlog.Hash {
	return must(tlog.TreeHash(int64(size), r))(t)
}

// grown returns a log of that many entries, and the same tree. The batches have random sizes.
func grown(t testing.TB, size int) (*ledger.Log, *tree) {
	_, _, log := newLog(t)
	r := &tree{}
	r.add(t, entry("state", "identity", ""))
	random := rand.New(rand.NewPCG(uint64(size), 0))
	for all := plain(size - 1); len(all) > 0; {
		n := min(len(all), 1+random.IntN(1+size/10))
		appendAll(t, log, all[:n]...)
		r.add(t, all[:n]...)
		all = all[n:]
	}
	return log, r
}

func TestProofs(t *testing.T) {
	for _, size := range []int{1, 2, 127, 128, 129, 130, 1000, 4001} {
		log, r := grown(t, size)
		random := rand.New(rand.NewPCG(7, uint64(size)))
		for range 300 {
			to := 1 + random.Uint64N(uint64(size))
			if random.IntN(3) == 0 {
				to = uint64(size)
			}
			from, index := 1+random.Uint64N(to), random.Uint64N(to)
			root := must(log.Root(to))(t)
			if root != r.root(t, to) {
				t.Fatalf("root of %d in %d", to, size)
			}
			inclusion := must(log.InclusionProof(index, to))(t)
			noError(t, tlog.CheckRecord(inclusion, int64(to), root, int64(index), r.leaves[index]))
			if want := must(tlog.ProveRecord(int64(to), int64(index), r))(t); !slices.Equal(inclusion, []tlog.Hash(want)) {
				t.Fatalf("inclusion proof %d in %d is another", index, to)
			}
			consistency := must(log.ConsistencyProof(from, to))(t)
			noError(t, tlog.CheckTree(consistency, int64(to), root, int64(from), r.root(t, from)))
		}
	}
}

func TestProofOfSibling(t *testing.T) {
	log, r := grown(t, 7)
	proof := must(log.InclusionProof(2, 7))(t)
	if proof[0] != r.leaves[3] || proof[1] != tlog.NodeHash(r.leaves[0], r.leaves[1]) {
		t.Error("the leaf's sibling does not come first")
	}
}

// sign stores a checkpoint without signatures.
func sign(t testing.TB, log *ledger.Log, size uint64) {
	t.Helper()
	root := must(log.Root(size))(t)
	noError(t, log.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: size, Root: root, Note: []byte("note")}))
}

// A tileReader makes a log's tiles readable for x/mod as those of any log.
type tileReader struct {
	log *ledger.Log
}

func (tileReader) Height() int                     { return 8 }
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r tileReader) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, t := range tiles {
		d, err := r.log.Tile(t)
		if err != nil {
			return nil, err
		}
		data = append(data, d)
	}
	return data, nil
}

func TestTilesGiveTheTree(t *testing.T) {
	for _, size := range []int{1, 255, 256, 257, 1234} {
		log, r := grown(t, size+50) // entries that no checkpoint covers
		sign(t, log, uint64(size))
		head := tlog.Tree{N: int64(size), Hash: r.root(t, uint64(size))}
		hashes := tlog.TileHashReader(head, tileReader{log})
		for n := range int64(size) {
			leaf := must(hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)}))(t)
			if leaf[0] != r.leaves[n] {
				t.Fatalf("leaf %d of %d", n, size)
			}
		}
		compareBundles(t, log, r, uint64(size))
	}
}

// compareBundles walks the entry bundles of the first size entries.
func compareBundles(t *testing.T, log *ledger.Log, r *tree, size uint64) {
	t.Helper()
	next := uint64(0)
	for n := int64(0); next < size; n++ {
		bundle := must(log.EntryBundle(n, int(min(256, size-next))))(t)
		for len(bundle) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if tlog.RecordHash(bundle[2:end]) != r.leaves[next] {
				t.Fatalf("entry %d of bundle %d", next%256, n)
			}
			bundle = bundle[end:]
			next++
		}
	}
	if next != size {
		t.Fatalf("bundles have %d entries of %d", next, size)
	}
}

func TestNothingBeyondTheCheckpoint(t *testing.T) {
	log, _ := grown(t, 2000)
	sign(t, log, 700)
	for _, c := range []struct {
		l    int
		n    int64
		w    int
		want bool
	}{
		{0, 0, 256, true}, {0, 0, 1, true}, {0, 1, 256, true}, {0, 2, 188, true}, {0, 2, 187, true}, {0, 2, 1, true},
		{0, 2, 189, false}, {0, 2, 256, false}, {0, 3, 1, false}, {0, 2, 0, false}, {0, 2, -1, false}, {0, 0, 257, false},
		{0, -1, 256, false}, {0, 1 << 55, 256, false}, {0, 1<<63 - 1, 256, false}, {0, -1 << 63, 1, false},
		{1, 0, 2, true}, {1, 0, 1, true}, {1, 0, 3, false}, {1, 0, 256, false}, {1, 1, 1, false}, {2, 0, 1, false},
		{7, 0, 1, false}, {8, 0, 1, false}, {63, 0, 1, false}, {1 << 30, 0, 1, false}, {-1, 0, 1, false}, {-2, 0, 1, false},
	} {
		tile := tlog.Tile{H: 8, L: c.l, N: c.n, W: c.w}
		data, err := log.Tile(tile)
		if (err == nil) != c.want || err == nil && len(data) != 32*c.w || err != nil && !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("tile %v: %d bytes, %v", tile, len(data), err)
		}
		if c.l != 0 {
			continue
		}
		data, err = log.EntryBundle(c.n, c.w)
		if (err == nil) != c.want || err == nil && len(data) == 0 || err != nil && !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("bundle %v: %d bytes, %v", tile, len(data), err)
		}
	}
	if _, err := log.Tile(tlog.Tile{H: 4, L: 0, N: 0, W: 1}); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("tile of height 4: %v", err)
	}
	full := must(log.Tile(tlog.Tile{H: 8, L: 0, N: 1, W: 256}))(t)
	part := must(log.Tile(tlog.Tile{H: 8, L: 0, N: 1, W: 100}))(t)
	if !bytes.Equal(full[:100*32], part) {
		t.Error("a partial tile is no prefix of the full one")
	}
}

// TestLargeLog has more hash chunks than the cache holds, and a tile of level 2.
func TestLargeLog(t *testing.T) {
	const size = 70_001
	dir, db, log := newLog(t)
	r := &tree{}
	r.add(t, entry("state", "identity", ""))
	all := plain(size - 1)
	r.add(t, all...)
	for batch := range slices.Chunk(all, ledger.MaxBatch) {
		appendAll(t, log, batch...)
	}
	sign(t, log, size)
	for range 2 {
		random := rand.New(rand.NewPCG(3, 4))
		root := must(log.Root(size))(t)
		if root != r.root(t, size) {
			t.Fatal("another root")
		}
		for range 2000 {
			index := random.Uint64N(size)
			noError(t, tlog.CheckRecord(must(log.InclusionProof(index, size))(t), size, root, int64(index), r.leaves[index]))
		}
		hashes := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, tileReader{log})
		for n := int64(0); n < size; n += 997 {
			if leaf := must(hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)}))(t); leaf[0] != r.leaves[n] {
				t.Fatalf("leaf %d", n)
			}
		}
		if data := must(log.Tile(tlog.Tile{H: 8, L: 2, N: 0, W: 1}))(t); tlog.Hash(data) != r.root(t, 1<<16) {
			t.Error("another tile of level 2")
		}
		compareBundles(t, log, r, size)
		db = reopen(t, dir, db)
		log = must(db.Log("r.example/1"))(t)
	}
	check(t, log)
}
