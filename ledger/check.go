package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Describe says what an entry was appended with: the hashes of its keys, no two alike, and whether it is a state entry.
type Describe func(index uint64, data []byte) (keys [][32]byte, state bool, err error)

// Check reads the whole log and compares everything that can be computed again: each entry's hash, each hash of the tree, the
// checkpoint's root, the state marks, the keys of each entry and the numbering under each key. It returns the first difference as a
// *CorruptError, or an error of describe. It may run beside Append; it then checks what was there when it began.
//
// progress, if not nil, is called now and then with the number of entries done.
func (l *Log) Check(ctx context.Context, describe Describe, progress func(done, total uint64)) error {
	snapshot := l.db.store.NewSnapshot()
	defer snapshot.Close()
	stored, c, err := l.storedHead(snapshot)
	if err != nil {
		return err
	}
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	a := &audit{log: l, rows: snapshot, describe: describe, progress: progress, size: stored.size, checkpoint: c}
	if err := a.entries(ctx); err != nil {
		return err
	}
	if a.states != stored.states {
		return l.corrupt("it has %d state entries, and counts %d", a.states, stored.states)
	}
	return a.keyRows(ctx)
}

// An audit is one run of Check.
type audit struct {
	log        *Log
	rows       pebble.Reader
	describe   Describe
	progress   func(done, total uint64)
	size       uint64
	checkpoint Checkpoint

	tree   frontier
	marks  *pebble.Iterator // at the first state mark not compared
	keys   *keyRowReader
	states uint64 // state entries so far
	keyed  uint64 // keys of entries so far
}

func (a *audit) entries(ctx context.Context) (err error) {
	if a.marks, err = a.log.rows(a.rows, stateRows, 0, a.size); err != nil {
		return err
	}
	defer a.marks.Close()
	a.marks.First()
	if a.keys, err = a.log.scope.openKeys(a.rows); err != nil {
		return err
	}
	defer a.keys.close()
	return a.log.replay(ctx, a.rows, &a.tree, a.size, a.entry)
}

// entry compares what belongs to one entry; the tree has grown by it.
func (a *audit) entry(index uint64, data []byte) error {
	if a.tree.size == a.checkpoint.Size {
		if err := a.log.compareRoot(a.tree, a.checkpoint); err != nil {
			return err
		}
	}
	keys, state, err := a.describe(index, data)
	if err != nil {
		return fmt.Errorf("entry %d of %s: %w", index, a.log.origin, err)
	}
	marked := a.marks.Valid() && indexOf(a.marks.Key()) == index
	if marked != state {
		return a.log.corrupt("entry %d: marked as a state entry: %t; it is one: %t", index, marked, state)
	}
	if marked {
		a.marks.Next()
		a.states++
	}
	for _, hash := range keys {
		if err := a.find(hash, index); err != nil {
			return err
		}
	}
	a.keyed += uint64(len(keys))
	if index%4096 == 0 || index == a.size-1 {
		a.progress(index+1, a.size)
	}
	return a.marks.Error()
}

// find looks for the entry under one of its keys.
func (a *audit) find(hash [32]byte, index uint64) error {
	for ordinal := uint32(0); ; ordinal++ {
		p, found, err := a.keys.at(&hash, ordinal)
		if err != nil {
			return err
		}
		if !found {
			return a.log.corrupt("entry %d is not under its key %x", index, hash)
		}
		if p == (place{a.log.number, index}) {
			return nil
		}
	}
}

// keyRows reads the scope's key rows. Every key of every entry was found; so if no two rows say the same and there are as many rows
// as keys, no row is wrong.
func (a *audit) keyRows(ctx context.Context) error {
	var last [32]byte
	var next uint32  // ordinal under last
	var after uint64 // index of this log's next entry under last, at least
	rows := uint64(0)
	err := a.eachKeyRow(ctx, func(hash [32]byte, ordinal uint32, p place) error {
		if hash != last {
			last, next, after = hash, 0, 0
		}
		if ordinal != next {
			return a.log.corrupt("entry number %d under key %x is missing", next, hash)
		}
		next++
		other := a.log.db.numbered(p.log)
		if other == nil || other.scope != a.log.scope {
			return a.log.corrupt("entry number %d under key %x is in log number %d, not of this scope", ordinal, hash, p.log)
		}
		if other != a.log {
			return nil
		}
		if p.index < after || p.index >= a.size {
			return a.log.corrupt("entry number %d under key %x is %d, out of order", ordinal, hash, p.index)
		}
		after = p.index + 1
		rows++
		return nil
	})
	if err != nil || rows == a.keyed {
		return err
	}
	return a.surplus(ctx)
}

// surplus names the first key row whose entry does not have that key.
func (a *audit) surplus(ctx context.Context) error {
	err := a.eachKeyRow(ctx, func(hash [32]byte, ordinal uint32, p place) error {
		if p.log != a.log.number {
			return nil
		}
		data, err := a.log.entry(a.rows, p.index)
		if err != nil {
			return err
		}
		keys, _, err := a.describe(p.index, data)
		if err != nil || slices.Contains(keys, hash) {
			return err
		}
		return a.log.corrupt("entry number %d under key %x is %d, which does not have that key", ordinal, hash, p.index)
	})
	if err != nil {
		return err
	}
	return a.log.corrupt("its entries have %d keys, but not as many are stored", a.keyed)
}

func (a *audit) eachKeyRow(ctx context.Context, fn func(hash [32]byte, ordinal uint32, p place) error) error {
	keys, err := a.log.scope.openKeys(a.rows)
	if err != nil {
		return err
	}
	defer keys.close()
	for ok := keys.rows.First(); ok; ok = keys.rows.Next() {
		hash, ordinal, err := splitKeyRow(keys.rows.Key())
		if err != nil {
			return a.log.corrupt("%v", err)
		}
		p, err := keys.place()
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(hash, ordinal, p); err != nil {
			return err
		}
	}
	return readError(keys.rows.Error())
}
