package signer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
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

// A document is of its own log and those before it, whatever became of later ones since.
func TestStatusCoversNoLaterLog(t *testing.T) {
	keys := make(map[string]ed25519.PrivateKey)
	public := func(name string) provenance.PublicKey {
		seed := sha256.Sum256([]byte(name))
		keys[name] = ed25519.NewKeyFromSeed(seed[:])
		p, err := provenance.NewPublicKey(keys[name].Public().(ed25519.PublicKey))
		check(t, err)
		return p
	}
	ns, err := provenance.ParseNamespace("pkg:npm/@acme/*")
	check(t, err)
	id := provenance.Identity{Registry: manyRegistry, Version: 1, Root: provenance.Root{Threshold: 1, Keys: []provenance.PublicKey{public("root")}},
		Enrol: []provenance.EnrolKey{{PublicKey: public("officer")}}, Namespaces: []provenance.Namespace{ns}, Excluded: []provenance.Exclusion{},
		Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
	for _, n := range []uint64{4, 3, 2, 1} { // in any order
		l := provenance.Log{Origin: fmt.Sprintf("%s/countersign/%d", manyRegistry, n), Threshold: 1, Keys: []provenance.LogKey{{PublicKey: public(fmt.Sprint(n))}}}
		if n != 4 {
			l.Closed = &provenance.Anchor{Size: 10 * n, Root: make([]byte, 32)}
		}
		id.Logs = append(id.Logs, l)
	}
	signed, err := id.Sign(keys["root"])
	check(t, err)
	st := newState()
	check(t, st.apply(found{ledger.Ref{Origin: manyOrigin}, signed}))
	data, err := st.document(manyRegistry+"/countersign/2", 7)
	check(t, err)
	if want := `"logs":[{"origin":"registry.test/countersign/1","size":10},{"origin":"registry.test/countersign/2","size":7}],`; !strings.Contains(string(data), want) {
		t.Errorf("%s", data)
	}
}

// Where the ledger cannot be read for a moment, what was served is served, and the next who asks has another try.
func TestStatusServedBefore(t *testing.T) {
	db := manyWithdrawals(t, 5)
	log, err := db.Log(manyOrigin)
	check(t, err)
	st, err := fold(db, manyRegistry)
	check(t, err)
	s := &Service{Config: Config{DB: db, Registry: manyRegistry, Logger: slog.New(slog.DiscardHandler)}, log: log}
	s.state.Store(st)
	nowhere := stated{Ref: ledger.Ref{Origin: manyOrigin, Index: 99}}
	if got := s.serve(nowhere, []byte("x")); got != nil || s.served.Load() != nil {
		t.Errorf("%+v", got)
	}
	before := &served{body: []byte("before")}
	s.served.Store(before)
	if got := s.serve(nowhere, []byte("x")); got != before || s.served.Load() != before {
		t.Errorf("%+v, %+v", got, s.served.Load())
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
