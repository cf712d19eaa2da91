package ledger_test

import (
	"context"
	"errors"
	"testing"

	"countersign.dev/ledger"
	"golang.org/x/mod/sumdb/tlog"
)

func TestStoreCheckpoint(t *testing.T) {
	parent := t
	dir, db, log := newLog(t)
	appendAll(t, log, plain(99)...)
	if c := log.Checkpoint(); c.Size != 0 || c.Note != nil {
		t.Fatalf("a new log has the checkpoint %v", c)
	}
	root := func(size uint64) tlog.Hash { return must(log.Root(size))(t) }
	note := []byte("first")
	noError(t, log.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: 50, Root: root(50), Note: note}))
	copy(note, "xxxxx")

	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	other := errors.New("another error")
	for _, c := range []struct {
		name string
		ctx  context.Context
		ledger.Checkpoint
		want error // nil: it is stored
	}{
		{"no size", nil, ledger.Checkpoint{Root: root(50), Note: []byte("x")}, other},
		{"no note", nil, ledger.Checkpoint{Size: 60, Root: root(60)}, other},
		{"smaller", nil, ledger.Checkpoint{Size: 49, Root: root(49), Note: []byte("x")}, ledger.ErrStale},
		{"same size, another root", nil, ledger.Checkpoint{Size: 50, Root: root(49), Note: []byte("x")}, ledger.ErrFork},
		{"larger, another root", nil, ledger.Checkpoint{Size: 51, Root: root(50), Note: []byte("x")}, ledger.ErrFork},
		{"larger than the log", nil, ledger.Checkpoint{Size: 101, Root: root(100), Note: []byte("x")}, ledger.ErrNotFound},
		{"cancelled", cancelled, ledger.Checkpoint{Size: 60, Root: root(60), Note: []byte("x")}, context.Canceled},
		{"signed again", nil, ledger.Checkpoint{Size: 50, Root: root(50), Note: []byte("second")}, nil},
		{"larger", nil, ledger.Checkpoint{Size: 51, Root: root(51), Note: []byte("third")}, nil},
		{"the one before", nil, ledger.Checkpoint{Size: 50, Root: root(50), Note: []byte("x")}, ledger.ErrStale},
		{"whole log", nil, ledger.Checkpoint{Size: 100, Root: root(100), Note: []byte("fourth")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := log.Checkpoint()
			ctx := c.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			err := log.StoreCheckpoint(ctx, c.Checkpoint)
			want := c.Checkpoint
			if c.want != nil {
				want = before
			}
			if (err == nil) != (c.want == nil) || c.want != other && !errors.Is(err, c.want) {
				t.Errorf("error %v", err)
			}
			for range 2 {
				if got := log.Checkpoint(); got.Size != want.Size || got.Root != want.Root || string(got.Note) != string(want.Note) {
					t.Errorf("stored is %d %q, not %d %q", got.Size, got.Note, want.Size, want.Note)
				}
				db = reopen(parent, dir, db)
				log = must(db.Log("r.example/1"))(t)
			}
		})
	}
}

func TestCheckpointIsACopy(t *testing.T) {
	_, _, log := newLog(t)
	sign(t, log, 1)
	log.Checkpoint().Note[0] = 'x'
	if note := string(log.Checkpoint().Note); note != "note" {
		t.Errorf("note %q", note)
	}
}
