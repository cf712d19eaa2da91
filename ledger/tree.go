package ledger

import (
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// maxSize keeps indexes of entries and of stored hashes well within int64.
const maxSize = 1 << 48

// A frontier is what is needed to grow a tree: the roots of its complete subtrees, largest first.
type frontier struct {
	size  uint64
	roots []tlog.Hash
}

// add appends a leaf to the tree, and to hashes those that are stored with it.
func (f *frontier) add(leaf tlog.Hash, hashes []tlog.Hash) []tlog.Hash {
	hashes = append(hashes, leaf)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		leaf = tlog.NodeHash(f.roots[last], leaf)
		f.roots = f.roots[:last]
		hashes = append(hashes, leaf)
	}
	f.roots = append(f.roots, leaf)
	f.size++
	return hashes
}

func (f *frontier) clone() frontier {
	return frontier{f.size, slices.Clone(f.roots)}
}

// root needs at least one leaf.
func (f *frontier) root() tlog.Hash {
	last := len(f.roots) - 1
	root := f.roots[last]
	for _, left := range slices.Backward(f.roots[:last]) {
		root = tlog.NodeHash(left, root)
	}
	return root
}

// frontierAt reads the frontier of the tree of a size.
func frontierAt(size uint64, hashes tlog.HashReader) (frontier, error) {
	var indexes []int64
	for done := uint64(0); done < size; {
		level := bits.Len64(size-done) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, int64(done>>level)))
		done += 1 << level
	}
	roots, err := hashes.ReadHashes(indexes)
	return frontier{size, roots}, err
}

// hashCount is how many hashes are stored for a tree of a size.
func hashCount(size uint64) uint64 {
	return uint64(tlog.StoredHashCount(int64(size)))
}
