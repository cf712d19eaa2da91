package signer

import (
	"bytes"
	"context"
	"testing"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// A document covers the first entries of the log, no more.
func TestStatusListed(t *testing.T) {
	st, err := fold(manyWithdrawals(t, 5), manyRegistry) // at 1 to 5
	check(t, err)
	for size, want := range map[uint64]int{1: 0, 2: 1, 5: 4, 6: 5, 7: 5} {
		if got := st.listed(manyOrigin, size); got.withdrawals != want || got.ends != 0 {
			t.Errorf("%d entries: %+v, want %d", size, got, want)
		}
	}
}

// What was made before the queue is kept in the queue, unless something came into the part of the log that it covers.
func TestStatusEntryIsMadeOnce(t *testing.T) {
	db := manyWithdrawals(t, 5)
	log, err := db.Log(manyOrigin)
	check(t, err)
	st, err := fold(db, manyRegistry)
	check(t, err)
	w := &reporting{log: log}
	draft := func(s *state) []byte {
		e, problem := w.entry(s, time.Now())
		if problem != nil || !e.State || len(e.Keys) != 0 {
			t.Fatal(problem, e)
		}
		return e.Data
	}
	listed := func(want int) {
		t.Helper()
		d, err := provenance.ParseStatusDocument(w.document)
		check(t, err)
		if len(d.Withdrawals) != want {
			t.Errorf("%d withdrawals, want %d", len(d.Withdrawals), want)
		}
	}
	late := *st
	late.withdrawals = st.withdrawals[:4] // the state of just before, the log of just after
	first := draft(&late)
	listed(4)
	second := draft(st)
	listed(5)
	if bytes.Equal(first, second) {
		t.Error("the withdrawal that came between is not covered")
	}
	data, err := log.Entry(5)
	check(t, err)
	_, err = log.Append(context.Background(), log.Epoch(), []ledger.Entry{{Data: data, State: true}})
	check(t, err)
	next := st.clone()
	entry, err := provenance.ParseEntry(data)
	check(t, err)
	check(t, next.apply(found{ledger.Ref{Origin: manyOrigin, Index: 6}, entry}))
	document := &w.document[0]
	if third := draft(next); !bytes.Equal(second, third) || document != &w.document[0] {
		t.Error("made again for what it does not cover")
	}
}
