package signer

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

const (
	manyRegistry = "registry.test"
	manyOrigin   = manyRegistry + "/countersign/1"
)

// manyWithdrawals is a ledger with an identity and n withdrawals.
func manyWithdrawals(t testing.TB, n int) *ledger.DB {
	t.Helper()
	newKey := func(name string) (ed25519.PrivateKey, provenance.PublicKey) {
		seed := sha256.Sum256([]byte(name))
		k := ed25519.NewKeyFromSeed(seed[:])
		p, err := provenance.NewPublicKey(k.Public().(ed25519.PublicKey))
		check(t, err)
		return k, p
	}
	root, rootKey := newKey("root")
	_, logKey := newKey("log")
	_, officer := newKey("officer")
	ns, err := provenance.ParseNamespace("pkg:npm/@acme/*")
	check(t, err)
	identity, err := provenance.Identity{Registry: manyRegistry, Version: 1, Root: provenance.Root{Threshold: 1, Keys: []provenance.PublicKey{rootKey}},
		Logs:  []provenance.Log{{Origin: manyOrigin, Threshold: 1, Keys: []provenance.LogKey{{PublicKey: logKey}}}},
		Enrol: []provenance.EnrolKey{{PublicKey: officer}}, Namespaces: []provenance.Namespace{ns},
		Excluded: []provenance.Exclusion{}, Issued: time.Now(), Expires: time.Now().Add(365 * 24 * time.Hour)}.Sign(root)
	check(t, err)
	db, err := ledger.Create(filepath.Join(t.TempDir(), "ledger"))
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	log, err := db.CreateLog(manyRegistry, manyOrigin, ledger.Entry{Data: identity.Envelope.JSON(), State: true})
	check(t, err)
	claim := provenance.Claim{Registry: manyRegistry, Origin: manyOrigin, Identity: identity.Envelope.PayloadDigest(), At: time.Now()}
	subject := provenance.Subject{Name: "package.tgz", Digest: provenance.Digests{"sha256": fmt.Sprintf("%064x", 1)}}
	for from := 0; from < n; from += ledger.MaxBatch {
		var entries []ledger.Entry
		for i := from; i < min(n, from+ledger.MaxBatch); i++ {
			claim.Coordinate, err = provenance.NewCoordinate("npm", fmt.Sprintf("@acme/package-%d", i), "1.2.3", "")
			check(t, err)
			data, err := (&provenance.Withdrawal{Claim: claim, Subject: subject, Reason: "malware: stolen publisher key, advisory 2026-17"}).Statement()
			check(t, err)
			entries = append(entries, ledger.Entry{Data: data, State: true, Keys: []ledger.Key{{Hash: claim.Coordinate.Hash()}}})
		}
		_, err := log.Append(context.Background(), log.Epoch(), entries)
		check(t, err)
	}
	return db
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What each batch with a withdrawal costs does not grow with the withdrawals before it.
func TestCloneIsNotACopy(t *testing.T) {
	st, err := fold(manyWithdrawals(t, 20_000), manyRegistry)
	check(t, err)
	st.withdrawals = slices.Grow(st.withdrawals, 1000)
	c, err := provenance.NewCoordinate("npm", "@acme/widget", "1.2.3", "")
	check(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 1000 {
		st = st.clone()
		check(t, st.apply(found{ledger.Ref{Origin: manyOrigin, Index: uint64(30_000 + i)}, &provenance.Withdrawal{Claim: provenance.Claim{Coordinate: c}}}))
	}
	runtime.ReadMemStats(&after)
	if bytes := (after.TotalAlloc - before.TotalAlloc) / 1000; bytes > 2000 {
		t.Errorf("%d bytes for one withdrawal among %d", bytes, len(st.withdrawals))
	}
	if len(st.withdrawals) != 21_000 {
		t.Errorf("%d withdrawals", len(st.withdrawals))
	}
}

// An older state does not see what was applied to its clone.
func TestCloneIsAlone(t *testing.T) {
	old, err := fold(manyWithdrawals(t, 3), manyRegistry)
	check(t, err)
	next := old.clone()
	w := old.withdrawals[0]
	c, err := provenance.ParseCoordinate(w.Purl)
	check(t, err)
	check(t, next.apply(found{ledger.Ref{Origin: manyOrigin, Index: 9}, &provenance.Withdrawal{Claim: provenance.Claim{Coordinate: c}}}))
	next.put(&enrolment{Enrolment: &provenance.Enrolment{}, digest: "x"})
	if len(old.withdrawals) != 3 || len(next.withdrawals) != 4 || len(old.enrolments) != 0 || len(next.enrolments) != 1 || len(old.publishers) != 0 {
		t.Errorf("%d and %d withdrawals, %d and %d enrolments", len(old.withdrawals), len(next.withdrawals), len(old.enrolments), len(next.enrolments))
	}
}

// BenchmarkManyWithdrawals is what 100,000 withdrawals cost: the fold at a start, a status's document, its bundle.
func BenchmarkManyWithdrawals(b *testing.B) {
	db := manyWithdrawals(b, 100_000)
	log, err := db.Log(manyOrigin)
	check(b, err)
	st, err := fold(db, manyRegistry)
	check(b, err)
	document, err := st.document(manyOrigin, log.Size())
	check(b, err)
	b.Run("fold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := fold(db, manyRegistry)
			check(b, err)
		}
	})
	b.Run("document", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(document)))
		for b.Loop() {
			_, err := st.document(manyOrigin, log.Size())
			check(b, err)
		}
	})
	b.Run("sha256", func(b *testing.B) {
		b.SetBytes(int64(len(document)))
		for b.Loop() {
			sha256.Sum256(document)
		}
	})
	b.Run("bundle", func(b *testing.B) {
		b.SetBytes(int64(len(document)))
		for b.Loop() {
			(&provenance.StatusBundle{Statement: []byte("x"), Document: document, Proof: &provenance.Proof{}}).JSON()
		}
	})
	b.Run("behind", func(b *testing.B) {
		for b.Loop() {
			st.behind()
		}
	})
}
