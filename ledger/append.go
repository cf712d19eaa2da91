package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxData is the largest entry, in bytes: C2SP tlog-tiles counts them with 16 bits.
	MaxData = 1<<16 - 1
	// MaxBatch is how many entries one Append takes.
	MaxBatch = 1 << 14
	// Next as a key's ordinal takes whatever number comes.
	Next = -1
)

// An Entry is what is appended to a log.
type Entry struct {
	Data  []byte // 1 to MaxData bytes
	Keys  []Key  // no two with the same hash
	State bool   // callers fold it into their state: it makes an epoch
}

// A Key puts an entry under a hash, as number Ordinal (from 0, or Next) of the scope's entries there.
type Key struct {
	Hash    [32]byte
	Ordinal int
}

// Append appends the entries, all or none, and returns the index of the first. It is durable on return. Keys of one batch see each
// other, in order.
//
// It returns ErrEpoch if the scope's epoch is another, a *ConflictError if keys are not free as asked, and ctx's error if that is
// done before the commit begins, which nothing interrupts. After any error nothing was appended.
func (l *Log) Append(ctx context.Context, epoch uint64, entries []Entry) (first uint64, err error) {
	b, err := newBatch(entries)
	if err != nil {
		return 0, fmt.Errorf("append to %s: %v", l.origin, err)
	}
	l.scope.mu.Lock()
	defer l.scope.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("append to %s: %w", l.origin, err)
	}
	if now := l.scope.epoch.Load(); now != epoch {
		return 0, fmt.Errorf("append to %s: admitted in epoch %d, it is %d: %w", l.origin, epoch, now, ErrEpoch)
	}
	tx, err := l.db.begin(b.bytes + 2*len(entries)*(tlog.HashSize+64))
	if err != nil {
		return 0, fmt.Errorf("append to %s: %w", l.origin, err)
	}
	defer tx.close()
	first = l.Size()
	return first, l.append(tx, b)
}

// A batch is entries that may be appended as far as can be seen without the ledger.
type batch struct {
	entries []Entry
	leaves  []tlog.Hash
	bytes   int
	states  uint64
}

func newBatch(entries []Entry) (batch, error) {
	if len(entries) == 0 || len(entries) > MaxBatch {
		return batch{}, fmt.Errorf("batch of %d entries: 1 to %d are possible", len(entries), MaxBatch)
	}
	b := batch{entries: entries, leaves: make([]tlog.Hash, len(entries))}
	for i := range entries {
		if err := entries[i].validate(); err != nil {
			return batch{}, fmt.Errorf("entry %d of the batch: %v", i, err)
		}
		b.leaves[i] = tlog.RecordHash(entries[i].Data)
		b.bytes += len(entries[i].Data)
		if entries[i].State {
			b.states++
		}
	}
	return b, nil
}

func (e *Entry) validate() error {
	if len(e.Data) == 0 || len(e.Data) > MaxData {
		return fmt.Errorf("%d bytes: 1 to %d are possible", len(e.Data), MaxData)
	}
	for i, k := range e.Keys {
		if k.Ordinal < Next || k.Ordinal >= maxOrdinal {
			return fmt.Errorf("key ordinal %d", k.Ordinal)
		}
		for _, other := range e.Keys[:i] {
			if other.Hash == k.Hash {
				return errors.New("the same key twice")
			}
		}
	}
	return nil
}

// append adds the batch to the transaction, commits it and shows the result. scope.mu is held.
func (l *Log) append(tx *tx, b batch) error {
	keys, err := l.scope.order(l.db.store, b.entries)
	if err != nil {
		return err
	}
	h := l.head.Load()
	l.writeEntries(tx, h.tree.size, b.entries)
	l.writeKeys(tx, h.tree.size, keys)
	next, full := l.grow(tx, h, b)
	if err := tx.commit(); err != nil {
		return fmt.Errorf("append to %s: %w", l.origin, err)
	}
	for i, c := range full {
		l.db.chunks.put(chunkID{l.number, h.chunks + uint64(i)}, c)
	}
	l.head.Store(next)
	l.scope.epoch.Add(b.states)
	return nil
}

func (l *Log) writeEntries(tx *tx, first uint64, entries []Entry) {
	var row []byte
	for i := range entries {
		index := first + uint64(i)
		row = appendIndexed(row[:0], entryRows, l.number, index)
		tx.set(row, entries[i].Data)
		if entries[i].State {
			tx.set(appendIndexed(row[:0], stateRows, l.number, index), nil)
		}
	}
}

func (l *Log) writeKeys(tx *tx, first uint64, keys []*batchKey) {
	var row, value []byte
	for _, k := range keys {
		row = appendKeyRow(row[:0], l.scope.number, &k.Hash, k.ordinal)
		value = place{l.number, first + uint64(k.entry)}.append(value[:0])
		tx.set(row, value)
	}
}

// grow writes the hashes and the size after the batch, and returns the head there and the chunks it filled.
func (l *Log) grow(tx *tx, h *head, b batch) (next *head, full []*chunk) {
	next = &head{tree: h.tree.clone(), chunks: h.chunks, states: h.states + b.states}
	hashes := make([]tlog.Hash, len(h.tail), len(h.tail)+2*len(b.leaves)+64)
	copy(hashes, h.tail)
	for _, leaf := range b.leaves {
		hashes = next.tree.add(leaf, hashes)
	}
	for ; len(hashes) >= chunkLen; hashes = hashes[chunkLen:] {
		c := chunk(hashes)
		full = append(full, &c)
		l.writeChunk(tx, next.chunks, c[:])
		next.chunks++
	}
	if len(hashes) > 0 {
		l.writeChunk(tx, next.chunks, hashes)
	}
	next.tail = append(next.tail, hashes...)
	tx.set(appendRow(nil, sizeRows, l.number), sizeRow{next.tree.size, next.states}.marshal())
	return next, full
}

func (l *Log) writeChunk(tx *tx, n uint64, hashes []tlog.Hash) {
	value := make([]byte, 0, chunkLen*tlog.HashSize)
	for i := range hashes {
		value = append(value, hashes[i][:]...)
	}
	tx.set(appendIndexed(nil, hashRows, l.number, n), value)
}
