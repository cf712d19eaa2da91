package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"countersign.dev/ledger"
	"golang.org/x/mod/sumdb/tlog"
)

// TestConcurrency has appenders on two logs of a scope and one of another race for the same keys and epochs, with readers and
// checkpoints beside them.
func TestConcurrency(t *testing.T) {
	_, db, one := newLog(t)
	two := must(db.CreateLog("r.example", "r.example/2", entry("state", "", "")))(t)
	other := must(db.CreateLog("other.example", "other.example/1", entry("state", "", "")))(t)
	logs := []*ledger.Log{one, two, other}
	const appenders, rounds = 6, 25
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	var conflicts atomic.Int64
	for a := range appenders {
		writing.Go(func() {
			for round := range rounds {
				if err := race(logs[(a+round)%3], round, &conflicts); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, log := range logs {
		reading.Go(func() {
			for !done.Load() {
				prove(t, log)
			}
		})
		reading.Go(func() {
			for !done.Load() {
				size := log.Size()
				root, err := log.Root(size)
				if err == nil {
					err = log.StoreCheckpoint(context.Background(), ledger.Checkpoint{Size: size, Root: root, Note: []byte("note")})
				}
				if err != nil && !errors.Is(err, ledger.ErrStale) {
					t.Errorf("checkpoint: %v", err)
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()

	for _, log := range logs {
		check(t, log)
	}
	if size := one.Size() + two.Size() + other.Size(); size != 3+appenders*rounds*3 {
		t.Errorf("%d entries in all", size)
	}
	for round := range rounds {
		refs := slices.Concat(must(one.Lookup(hash(fmt.Sprint("once", round))))(t), must(other.Lookup(hash(fmt.Sprint("once", round))))(t))
		if len(refs) != 2 { // once in each scope
			t.Errorf("round %d: %v", round, refs)
		}
		if refs := must(two.Lookup(hash(fmt.Sprint("every", round))))(t); len(refs)+len(must(other.Lookup(hash(fmt.Sprint("every", round))))(t)) != appenders {
			t.Errorf("round %d: %v", round, refs)
		}
	}
	if want := int64(rounds * (appenders - 2)); conflicts.Load() != want { // in each round there is one first in each scope
		t.Errorf("%d conflicts, not %d", conflicts.Load(), want)
	}
}

// race appends three entries. One has a key that only the first of all appenders gets; the others do without.
func race(log *ledger.Log, round int, conflicts *atomic.Int64) error {
	once, kind := fmt.Sprintf("once%d@0", round), "plain"
	if round%5 == 0 {
		kind = "state"
	}
	for {
		_, err := log.Append(context.Background(), log.Epoch(), []ledger.Entry{
			entry(kind, "", ""), entry("plain", once, ""), entry("plain", fmt.Sprint("every", round), "")})
		var conflict *ledger.ConflictError
		switch {
		case errors.As(err, &conflict) && once != "":
			conflicts.Add(1)
			once = ""
		case !errors.Is(err, ledger.ErrEpoch):
			return err
		}
	}
}

// prove checks proofs of the log as it is, and that what it shows is consistent.
func prove(t *testing.T, log *ledger.Log) {
	size := log.Size()
	root, err := log.Root(size)
	if err != nil {
		t.Error(err)
		return
	}
	for index := size - min(size, 20); index < size; index++ {
		data, err := log.Entry(index)
		if err != nil {
			t.Error(err)
			return
		}
		proof, err := log.InclusionProof(index, size)
		if err == nil {
			err = tlog.CheckRecord(proof, int64(size), root, int64(index), tlog.RecordHash(data))
		}
		if err != nil {
			t.Errorf("entry %d of %d: %v", index, size, err)
		}
	}
	if c := log.Checkpoint(); c.Size > 0 {
		proof, err := log.ConsistencyProof(c.Size, size)
		if c.Size > size {
			return
		}
		if err == nil {
			err = tlog.CheckTree(proof, int64(size), root, int64(c.Size), c.Root)
		}
		if err != nil {
			t.Errorf("from %d to %d: %v", c.Size, size, err)
		}
	}
}

// TestCheckBesideAppend runs the audit on a log that grows.
func TestCheckBesideAppend(t *testing.T) {
	log, _ := grown(t, 3000)
	done := make(chan error, 1)
	go func() {
		for i := range 50 {
			if _, err := log.Append(context.Background(), log.Epoch(), []ledger.Entry{entry("state", fmt.Sprintf("a@%d", i), "")}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 5 {
		check(t, log)
	}
	noError(t, <-done)
	check(t, log)
}
