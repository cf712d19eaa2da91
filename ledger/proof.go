package ledger

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Root returns the root of the tree of the log's first size entries, size from 1 to Size.
func (l *Log) Root(size uint64) (tlog.Hash, error) {
	h := l.head.Load()
	if size == h.tree.size {
		return h.tree.root(), nil
	}
	if err := l.within(h, size); err != nil {
		return tlog.Hash{}, err
	}
	return tlog.TreeHash(int64(size), hashReader{l, h, true})
}

// InclusionProof proves that the tree of that size has the entry: RFC 6962 order, the leaf's sibling first.
func (l *Log) InclusionProof(index, size uint64) ([]tlog.Hash, error) {
	h := l.head.Load()
	if err := l.within(h, size); err != nil {
		return nil, err
	}
	if index >= size {
		return nil, fmt.Errorf("proof in %s: entry %d in a tree of %d: %w", l.origin, index, size, ErrNotFound)
	}
	return tlog.ProveRecord(int64(size), int64(index), hashReader{l, h, true})
}

// ConsistencyProof proves that the tree of size to extends that of size from, 1 <= from <= to, in RFC 6962 order.
func (l *Log) ConsistencyProof(from, to uint64) ([]tlog.Hash, error) {
	h := l.head.Load()
	if err := l.within(h, to); err != nil {
		return nil, err
	}
	if from == 0 || from > to {
		return nil, fmt.Errorf("proof in %s: no extension from size %d to %d", l.origin, from, to)
	}
	return tlog.ProveTree(int64(to), int64(from), hashReader{l, h, true})
}

func (l *Log) within(h *head, size uint64) error {
	if size == 0 || size > h.tree.size {
		return fmt.Errorf("size %d of %s: %w, it has %d", size, l.origin, ErrNotFound, h.tree.size)
	}
	return nil
}

// TileWidth is the width of full tiles and entry bundles, tileHeight its logarithm (C2SP tlog-tiles).
const (
	TileWidth  = 1 << tileHeight
	tileHeight = 8
)

// Tile returns the hashes of a tile of height 8, full or partial, all within the stored checkpoint; else ErrNotFound. Above level 0
// that reads one hash chunk per hash, about a millisecond: tiles never change and are for caches to keep.
func (l *Log) Tile(t tlog.Tile) ([]byte, error) {
	size := l.checkpoint.Load().Size
	if t.H != tileHeight || t.L < 0 || t.L > 63/tileHeight || !covers(size>>(t.L*tileHeight), t.N, t.W) {
		return nil, fmt.Errorf("tile %d/%d of %s, width %d: %w in size %d", t.L, t.N, l.origin, t.W, ErrNotFound, size)
	}
	return tlog.ReadTileData(t, hashReader{l, l.head.Load(), false})
}

// EntryBundle returns the entries [256n, 256n+width), each after its length in 2 bytes, width 1 to 256, all within the stored
// checkpoint; else ErrNotFound.
func (l *Log) EntryBundle(n int64, width int) ([]byte, error) {
	size := l.checkpoint.Load().Size
	if !covers(size, n, width) {
		return nil, fmt.Errorf("entry bundle %d of %s, width %d: %w in size %d", n, l.origin, width, ErrNotFound, size)
	}
	var bundle []byte
	from := uint64(n) * TileWidth
	err := l.scan(context.Background(), l.db.store, from, from+uint64(width), func(_ uint64, data []byte) error {
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(data))), data...)
		return nil
	})
	return bundle, err
}

// covers says whether [256n, 256n+width) are all below size.
func covers(size uint64, n int64, width int) bool {
	return width >= 1 && width <= TileWidth && n >= 0 && uint64(n) <= size/TileWidth && uint64(n)*TileWidth+uint64(width) <= size
}
