package ledger

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"
)

// load reads the logs and verifies them.
func (db *DB) load() error {
	value, err := get(db.store, []byte{formatRow})
	if err != nil {
		return err
	}
	if string(value) != format {
		return fmt.Errorf("its format is %q, not %q: it is of a later version, no ledger, or was not created to the end", value, format)
	}
	rows, err := db.originRows()
	if err != nil {
		return err
	}
	for number, row := range rows {
		l := db.newLog(row.scopeName, row.origin)
		if row.log != uint32(number) || row.scope != l.scope.number {
			return corrupt("the row of log %s gives it number %d and scope %d; by the others it has %d and %d",
				row.origin, row.log, row.scope, number, l.scope.number)
		}
		if err := l.load(); err != nil {
			return err
		}
		db.add(l)
	}
	return nil
}

// originRows returns the origin rows by log number, as far as these are those of a sequence.
func (db *DB) originRows() ([]originRow, error) {
	it, err := db.store.NewIter(&pebble.IterOptions{LowerBound: []byte{originRows}, UpperBound: []byte{originRows + 1}})
	if err != nil {
		return nil, readError(err)
	}
	defer it.Close()
	var rows []originRow
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, readError(err)
		}
		row, err := parseOriginRow(it.Key(), value)
		if err != nil {
			return nil, corrupt("%v", err)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b originRow) int { return cmp.Compare(a.log, b.log) })
	return rows, readError(it.Error())
}

// load makes the log's head from what is stored. The part of the tree that the checkpoint is about is taken if it has its root; all
// that comes after is hashed again.
func (l *Log) load() error {
	r := l.db.store
	stored, c, err := l.storedHead(r)
	if err != nil {
		return err
	}
	h := &head{states: stored.states, chunks: hashCount(stored.size) / chunkLen}
	if h.tail, err = l.storedTail(r, stored.size); err != nil {
		return err
	}
	if h.tree, err = frontierAt(c.Size, hashReader{l, h, false}); err != nil {
		return err
	}
	if err := l.compareRoot(h.tree, c); err != nil {
		return err
	}
	nothing := func(uint64, []byte) error { return nil }
	if err := l.replay(context.Background(), r, &h.tree, stored.size, nothing); err != nil {
		return err
	}
	if err := l.compareLast(hashReader{l, h, false}); err != nil {
		return err
	}
	if err := l.compareStates(r, stored); err != nil {
		return err
	}
	l.head.Store(h)
	l.checkpoint.Store(&c)
	l.scope.epoch.Add(stored.states)
	return nil
}

// storedHead reads size and checkpoint, with nothing beyond them.
func (l *Log) storedHead(r pebble.Reader) (s sizeRow, c Checkpoint, err error) {
	value, err := get(r, appendRow(nil, sizeRows, l.number))
	if err != nil {
		return s, c, err
	}
	if s, err = parseSizeRow(value); err != nil {
		return s, c, l.corrupt("%v", err)
	}
	if value, err = get(r, appendRow(nil, checkpointRows, l.number)); err != nil {
		return s, c, err
	}
	if value != nil {
		if c, err = parseCheckpoint(value); err != nil {
			return s, c, l.corrupt("%v", err)
		}
	}
	if c.Size > s.size {
		return s, c, l.corrupt("the stored checkpoint is of size %d, but the log has %d entries", c.Size, s.size)
	}
	return s, c, l.compareEnds(r, s.size)
}

// compareEnds sees that no rows are beyond the size.
func (l *Log) compareEnds(r pebble.Reader, size uint64) error {
	for _, kind := range []byte{entryRows, stateRows} {
		if err := l.compareEnd(r, kind, size); err != nil {
			return err
		}
	}
	return l.compareEnd(r, hashRows, (hashCount(size)+chunkLen-1)/chunkLen)
}

// compareEnd sees that a kind of row ends before a number.
func (l *Log) compareEnd(r pebble.Reader, kind byte, end uint64) error {
	rows, err := l.rows(r, kind, end, math.MaxUint64)
	if err != nil {
		return err
	}
	defer rows.Close()
	if rows.First() {
		return l.corrupt("a row of kind %q has number %d, beyond the log's size, which allows %d", kind, indexOf(rows.Key()), end)
	}
	return readError(rows.Error())
}

// storedTail reads the chunk that is not full, if there is one.
func (l *Log) storedTail(r pebble.Reader, size uint64) ([]tlog.Hash, error) {
	n, rest := hashCount(size)/chunkLen, hashCount(size)%chunkLen
	if rest == 0 {
		return nil, nil
	}
	value, err := get(r, appendIndexed(nil, hashRows, l.number, n))
	if err != nil {
		return nil, err
	}
	if uint64(len(value)) != rest*tlog.HashSize {
		return nil, l.corrupt("hash chunk %d is %d bytes long, not %d", n, len(value), rest*tlog.HashSize)
	}
	tail := make([]tlog.Hash, rest)
	for i := range tail {
		copy(tail[i][:], value[i*tlog.HashSize:])
	}
	return tail, nil
}

func (l *Log) compareRoot(tree frontier, c Checkpoint) error {
	if c.Size == 0 || tree.root() == c.Root {
		return nil
	}
	return l.corrupt("the root at size %d is %v by the stored hashes and %v by the stored checkpoint", c.Size, tree.root(), c.Root)
}

// compareLast compares the last entry with its hash.
func (l *Log) compareLast(hashes hashReader) error {
	last := hashes.head.tree.size - 1
	data, err := l.entry(l.db.store, last)
	if err != nil {
		return err
	}
	stored, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(last))})
	if err != nil {
		return err
	}
	if leaf := tlog.RecordHash(data); leaf != stored[0] {
		return l.corrupt("the last entry, %d, hashes to %v; stored is %v", last, leaf, stored[0])
	}
	return nil
}

func (l *Log) compareStates(r pebble.Reader, s sizeRow) error {
	marks, err := l.rows(r, stateRows, 0, s.size)
	if err != nil {
		return err
	}
	defer marks.Close()
	n := uint64(0)
	for ok := marks.First(); ok; ok = marks.Next() {
		n++
	}
	if err := readError(marks.Error()); err != nil {
		return err
	}
	if n != s.states {
		return l.corrupt("%d entries are marked as state entries, the log counts %d", n, s.states)
	}
	return nil
}

// replay grows the tree to a size from the stored entries, and compares each hash with the stored one before it calls visit.
func (l *Log) replay(ctx context.Context, r pebble.Reader, tree *frontier, to uint64, visit func(uint64, []byte) error) error {
	stored, err := l.storedHashes(r, hashCount(tree.size), hashCount(to))
	if err != nil {
		return err
	}
	defer stored.chunks.Close()
	var grown []tlog.Hash
	return l.scan(ctx, r, tree.size, to, func(index uint64, data []byte) error {
		grown = tree.add(tlog.RecordHash(data), grown[:0])
		for level, hash := range grown {
			want, err := stored.next()
			if err != nil {
				return err
			}
			if !bytes.Equal(hash[:], want) {
				return l.corrupt("entry %d and those before it give %v at level %d of the tree; stored is %x", index, hash, level, want)
			}
		}
		return visit(index, data)
	})
}

// A hashStream reads stored hashes in order.
type hashStream struct {
	log      *Log
	chunks   *pebble.Iterator
	at, end  uint64 // index of the next hash, and of that after the last stored one
	unread   []byte // of the current chunk
	position func() bool
}

func (l *Log) storedHashes(r pebble.Reader, from, end uint64) (*hashStream, error) {
	chunks, err := l.rows(r, hashRows, from/chunkLen, math.MaxUint64)
	if err != nil {
		return nil, err
	}
	return &hashStream{log: l, chunks: chunks, at: from, end: end, position: chunks.First}, nil
}

// next is valid until the next call.
func (s *hashStream) next() ([]byte, error) {
	if len(s.unread) == 0 {
		if err := s.advance(); err != nil {
			return nil, err
		}
	}
	hash := s.unread[:tlog.HashSize]
	s.unread = s.unread[tlog.HashSize:]
	s.at++
	return hash, nil
}

func (s *hashStream) advance() error {
	found := s.position()
	s.position = s.chunks.Next
	n := s.at / chunkLen
	if err := s.chunks.Error(); err != nil {
		return readError(err)
	}
	if !found || indexOf(s.chunks.Key()) != n {
		return s.log.corrupt("hash chunk %d is missing", n)
	}
	value, err := s.chunks.ValueAndErr()
	if err != nil {
		return readError(err)
	}
	if want := min(s.end-n*chunkLen, chunkLen) * tlog.HashSize; uint64(len(value)) != want {
		return s.log.corrupt("hash chunk %d is %d bytes long, not %d", n, len(value), want)
	}
	s.unread = value[s.at%chunkLen*tlog.HashSize:]
	return nil
}
