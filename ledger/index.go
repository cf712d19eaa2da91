package ledger

import (
	"bytes"
	"errors"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

const maxOrdinal = math.MaxInt32

// A Ref says where an entry is.
type Ref struct {
	Origin string
	Index  uint64
}

// Lookup returns the entries under a key, in order, from all logs of this log's scope; none is not an error.
func (l *Log) Lookup(hash [32]byte) ([]Ref, error) {
	rows, err := l.scope.openKeys(l.db.store)
	if err != nil {
		return nil, err
	}
	defer rows.close()
	var refs []Ref
	for {
		p, found, err := rows.at(&hash, uint32(len(refs)))
		if err != nil || !found {
			return refs, err
		}
		in := l.db.numbered(p.log)
		if in == nil {
			return nil, corrupt("key %x: log number %d does not exist", hash, p.log)
		}
		if p.index >= in.Size() {
			return refs, nil // being appended: committed, but not shown yet
		}
		refs = append(refs, Ref{in.origin, p.index})
	}
}

// keyRowReader reads key rows one by one. Rows that are not there, which is most of what is asked for, cost Bloom filter probes.
type keyRowReader struct {
	scope uint32
	rows  *pebble.Iterator
	key   []byte
}

func (s *scope) openKeys(r pebble.Reader) (*keyRowReader, error) {
	rows, err := r.NewIter(&pebble.IterOptions{
		LowerBound:   appendRow(nil, keyRows, s.number),
		UpperBound:   appendRow(nil, keyRows, s.number+1),
		UseL6Filters: true,
	})
	return &keyRowReader{scope: s.number, rows: rows}, readError(err)
}

func (k *keyRowReader) at(hash *[32]byte, ordinal uint32) (p place, found bool, err error) {
	k.key = appendKeyRow(k.key[:0], k.scope, hash, ordinal)
	if !k.rows.SeekPrefixGE(k.key) {
		return place{}, false, readError(k.rows.Error())
	}
	p, err = k.place()
	return p, err == nil, err
}

// place is what the current row says.
func (k *keyRowReader) place() (place, error) {
	value, err := k.rows.ValueAndErr()
	if err != nil {
		return place{}, readError(err)
	}
	p, err := parsePlace(value)
	if err != nil {
		return place{}, corrupt("key row %x: %v", k.rows.Key(), err)
	}
	return p, nil
}

func (k *keyRowReader) close() {
	k.rows.Close()
}

// A batchKey is one key of one entry of a batch.
type batchKey struct {
	Key
	entry, key int    // positions in the batch and in the entry's keys
	hash       int    // position among the batch's hashes, sorted
	ordinal    uint32 // what it gets
}

// order gives the keys of a batch their ordinals and returns them sorted by hash: rows are read and written several times faster in
// their order. It returns a *ConflictError if the ordinals are not those asked for. s.mu is held.
func (s *scope) order(r pebble.Reader, entries []Entry) ([]*batchKey, error) {
	keys := make([]batchKey, 0, len(entries))
	for i := range entries {
		for j, k := range entries[i].Keys {
			keys = append(keys, batchKey{Key: k, entry: i, key: j})
		}
	}
	sorted := make([]*batchKey, len(keys))
	for i := range keys {
		sorted[i] = &keys[i]
	}
	slices.SortStableFunc(sorted, func(a, b *batchKey) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	taken, err := s.count(r, sorted)
	if err != nil {
		return nil, err
	}
	var conflicts []Conflict
	for len(keys) > 0 {
		n := len(entries[keys[0].entry].Keys)
		conflicts = append(conflicts, assign(keys[:n], taken)...)
		keys = keys[n:]
	}
	if len(conflicts) > 0 {
		return nil, &ConflictError{conflicts}
	}
	return sorted, nil
}

// count returns how many entries are under each hash of sorted keys, and sets their positions in this list.
func (s *scope) count(r pebble.Reader, sorted []*batchKey) (taken []uint32, err error) {
	rows, err := s.openKeys(r)
	if err != nil {
		return nil, err
	}
	defer rows.close()
	for i, k := range sorted {
		if i == 0 || k.Hash != sorted[i-1].Hash {
			n, err := rows.count(&k.Hash)
			if err != nil {
				return nil, err
			}
			taken = append(taken, n)
		}
		k.hash = len(taken) - 1
	}
	return taken, nil
}

// assign numbers the keys of one entry after those taken, and counts them as taken; or returns its conflicts.
func assign(keys []batchKey, taken []uint32) (conflicts []Conflict) {
	for i := range keys {
		k := &keys[i]
		k.ordinal = taken[k.hash]
		if k.Ordinal != Next && uint32(k.Ordinal) != k.ordinal {
			conflicts = append(conflicts, Conflict{k.entry, k.key, k.Hash, int(k.ordinal)})
		}
	}
	if len(conflicts) > 0 {
		return conflicts
	}
	for i := range keys {
		taken[keys[i].hash]++
	}
	return nil
}

// count returns how many entries are under a hash.
func (k *keyRowReader) count(hash *[32]byte) (n uint32, err error) {
	for {
		_, found, err := k.at(hash, n)
		if err != nil || !found {
			return n, err
		}
		if n++; n == maxOrdinal {
			return 0, errors.New("key list is full")
		}
	}
}
