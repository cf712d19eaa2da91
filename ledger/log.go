package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"
)

// A Log is one append-only log of a [DB].
type Log struct {
	db     *DB
	scope  *scope
	origin string
	number uint32

	head         atomic.Pointer[head]       // written under scope.mu
	checkpoint   atomic.Pointer[Checkpoint] // written under checkpointMu; its Size is 0 while there is none
	checkpointMu sync.Mutex
}

// A head is all that changes when a log grows. It is never changed itself.
type head struct {
	tree   frontier
	states uint64
	chunks uint64      // full hash chunks
	tail   []tlog.Hash // the hashes after them
}

// Origin is the log's name.
func (l *Log) Origin() string { return l.origin }

// Scope is the name of the scope the log is in.
func (l *Log) Scope() string { return l.scope.name }

// Size is the number of entries. All of them are durable.
func (l *Log) Size() uint64 { return l.head.Load().tree.size }

// Epoch is the number of state entries in the scope. Read it before StateEntries: state that comes in between makes Append refuse.
func (l *Log) Epoch() uint64 { return l.scope.epoch.Load() }

// Entry returns the data of an entry, or ErrNotFound.
func (l *Log) Entry(index uint64) ([]byte, error) {
	if size := l.Size(); index >= size {
		return nil, fmt.Errorf("entry %d of %s: %w, it has %d", index, l.origin, ErrNotFound, size)
	}
	return l.entry(l.db.store, index)
}

func (l *Log) entry(r pebble.Reader, index uint64) ([]byte, error) {
	data, err := get(r, appendIndexed(nil, entryRows, l.number, index))
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, l.corrupt("entry %d is missing", index)
	}
	return data, nil
}

// Entries calls fn with the entries [from, to) in order, until it returns an error, which Entries returns. data is only valid during
// the call.
func (l *Log) Entries(ctx context.Context, from, to uint64, fn func(index uint64, data []byte) error) error {
	if size := l.Size(); from > to || to > size {
		return fmt.Errorf("entries %d to %d of %s: %w, it has %d", from, to, l.origin, ErrNotFound, size)
	}
	return l.scan(ctx, l.db.store, from, to, fn)
}

func (l *Log) scan(ctx context.Context, r pebble.Reader, from, to uint64, fn func(uint64, []byte) error) error {
	rows, err := l.rows(r, entryRows, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	index := from
	for ok := rows.First(); ok; ok = rows.Next() {
		if indexOf(rows.Key()) != index {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := rows.ValueAndErr()
		if err != nil {
			return readError(err)
		}
		if err := fn(index, data); err != nil {
			return err
		}
		index++
	}
	if err := rows.Error(); err != nil {
		return readError(err)
	}
	if index < to {
		return l.corrupt("entry %d is missing", index)
	}
	return nil
}

// rows iterates over the log's numbered rows [from, to) of a kind.
func (l *Log) rows(r pebble.Reader, kind byte, from, to uint64) (*pebble.Iterator, error) {
	rows, err := r.NewIter(&pebble.IterOptions{
		LowerBound: appendIndexed(nil, kind, l.number, from),
		UpperBound: appendIndexed(nil, kind, l.number, to),
	})
	if err != nil {
		return nil, readError(err)
	}
	return rows, nil
}

// StateEntries calls fn with the log's state entries in order, until it returns an error, which StateEntries returns.
func (l *Log) StateEntries(fn func(index uint64, data []byte) error) error {
	marks, err := l.rows(l.db.store, stateRows, 0, l.Size())
	if err != nil {
		return err
	}
	defer marks.Close()
	for ok := marks.First(); ok; ok = marks.Next() {
		index := indexOf(marks.Key())
		data, err := l.entry(l.db.store, index)
		if err != nil {
			return err
		}
		if err := fn(index, data); err != nil {
			return err
		}
	}
	return readError(marks.Error())
}
