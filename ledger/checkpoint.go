package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint is a signed head of a log.
type Checkpoint struct {
	Size uint64 // 0: none is stored
	Root tlog.Hash
	Note []byte // the signed note, opaque
}

// Checkpoint returns the stored checkpoint. Its Size is 0 while the log has none.
func (l *Log) Checkpoint() Checkpoint {
	c := *l.checkpoint.Load()
	c.Note = bytes.Clone(c.Note)
	return c
}

// StoreCheckpoint stores a checkpoint in place of a smaller one, or of one with the same size and root (signed by other keys). It is
// durable on return. Which signatures are good is for the caller to know.
//
// It returns ErrStale if a larger one is stored, ErrFork if the stored one of this size or this log's tree has another root, and an
// error if the log is not that long.
func (l *Log) StoreCheckpoint(ctx context.Context, c Checkpoint) error {
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = l.acceptable(c)
	}
	if err != nil {
		return fmt.Errorf("checkpoint of %s at size %d: %w", l.origin, c.Size, err)
	}
	c.Note = bytes.Clone(c.Note)
	tx, err := l.db.begin(0)
	if err != nil {
		return fmt.Errorf("store checkpoint of %s: %w", l.origin, err)
	}
	defer tx.close()
	tx.set(appendRow(nil, checkpointRows, l.number), c.marshal())
	if err := tx.commit(); err != nil {
		return fmt.Errorf("store checkpoint of %s at size %d: %w", l.origin, c.Size, err)
	}
	l.checkpoint.Store(&c)
	return nil
}

func (l *Log) acceptable(c Checkpoint) error {
	if c.Size == 0 || len(c.Note) == 0 {
		return errors.New("no size or no note")
	}
	if stored := l.checkpoint.Load().Size; c.Size < stored {
		return fmt.Errorf("%w: %d", ErrStale, stored)
	}
	root, err := l.Root(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return fmt.Errorf("%w: its root is %v, the tree's is %v", ErrFork, c.Root, root)
	}
	return nil
}
