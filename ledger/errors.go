package ledger

import (
	"errors"
	"fmt"
)

var (
	// ErrEpoch: a state entry was appended since the caller read the state. Read it again, decide again.
	ErrEpoch = errors.New("the state has changed since")
	// ErrFork: a checkpoint's root is not that of this log's tree, or of the stored checkpoint, at its size.
	ErrFork = errors.New("another history")
	// ErrStale: a larger checkpoint is stored already.
	ErrStale = errors.New("a larger checkpoint is stored")
	// ErrNotFound: no such log or entry, or not within the stored checkpoint.
	ErrNotFound = errors.New("not found")
)

// A ConflictError lists the entries of a batch whose keys were not free as asked. Nothing of the batch was appended; the batch
// without exactly these entries would have been.
type ConflictError struct {
	Conflicts []Conflict // by entry, then key
}

// A Conflict is one key condition that does not hold.
type Conflict struct {
	Entry int      // position in the batch
	Key   int      // position in the entry's keys
	Hash  [32]byte // the key's hash
	Taken int      // how many entries are under it: the ordinal that would have been the next
}

func (e *ConflictError) Error() string {
	c := e.Conflicts[0]
	return fmt.Sprintf("append: %d key conflicts, the first in entry %d of the batch: %d entries are under %x already",
		len(e.Conflicts), c.Entry, c.Taken, c.Hash)
}

// A CorruptError says what in the ledger disagrees with what. It is never to be repaired.
type CorruptError struct {
	Origin string // the log, "" if the disagreement is not within one
	Detail string
}

func (e *CorruptError) Error() string {
	where := "ledger"
	if e.Origin != "" {
		where = "log " + e.Origin
	}
	return where + ": " + e.Detail + "; do not repair it: restore the ledger from a good copy that has every entry of the last released checkpoint"
}

func corrupt(format string, args ...any) error {
	return &CorruptError{Detail: fmt.Sprintf(format, args...)}
}

func (l *Log) corrupt(format string, args ...any) error {
	return &CorruptError{Origin: l.origin, Detail: fmt.Sprintf(format, args...)}
}
