package signer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// countersignature reads the statement of a bundle.
func (w *world) countersignature(bundle []byte) (*provenance.Countersignature, *provenance.Bundle) {
	w.t.Helper()
	b, err := provenance.ParseBundle(bundle)
	must(w.t, err)
	entry, err := provenance.ParseEntry(b.Statement)
	must(w.t, err)
	return entry.(*provenance.Countersignature), b
}

// Of several certificates that cover a publication the one with the longest namespace is taken, then the latest issued,
// then the one with the smallest hash; ended, expired and future ones never.
func TestStateChoosesEnrolment(t *testing.T) {
	now := time.Now()
	type certificate struct {
		namespace string
		issued    time.Duration // ago
		notAfter  time.Duration // from now; 0 for none
		ended     bool
	}
	for name, tt := range map[string]struct {
		certificates []certificate
		want         int // -1: the one with the smallest hash; -2: none
	}{
		"exact before prefix":        {[]certificate{{"pkg:npm/@acme/widget", 9 * time.Hour, 0, false}, {"pkg:npm/@acme/widget*", time.Hour, 0, false}, {"pkg:npm/@acme/*", time.Minute, 0, false}}, 0},
		"longer prefix":              {[]certificate{{"pkg:npm/@acme/*", time.Minute, 0, false}, {"pkg:npm/@acme/wid*", 9 * time.Hour, 0, false}, {"pkg:npm/@acme/gadget", time.Minute, 0, false}}, 1},
		"latest issued":              {[]certificate{{"pkg:npm/@acme/*", 2 * time.Hour, 0, false}, {"pkg:npm/@acme/*", time.Hour, 0, false}, {"pkg:npm/@acme/*", 3 * time.Hour, 0, false}}, 1},
		"smallest hash":              {[]certificate{{"pkg:npm/@acme/*", time.Hour, time.Hour, false}, {"pkg:npm/@acme/*", time.Hour, 2 * time.Hour, false}, {"pkg:npm/@acme/*", time.Hour, 3 * time.Hour, false}}, -1},
		"ended, then the next":       {[]certificate{{"pkg:npm/@acme/*", time.Hour, 0, false}, {"pkg:npm/@acme/widget", time.Hour, 0, true}}, 0},
		"expired, then the next":     {[]certificate{{"pkg:npm/@acme/*", time.Hour, 0, false}, {"pkg:npm/@acme/widget", time.Hour, -time.Minute, false}}, 0},
		"not yet, then the next":     {[]certificate{{"pkg:npm/@acme/*", time.Hour, 0, false}, {"pkg:npm/@acme/widget", -time.Hour, 0, false}}, 0},
		"none that covers":           {[]certificate{{"pkg:npm/@acme/gadget", time.Hour, 0, false}}, -2},
		"none that holds any longer": {[]certificate{{"pkg:npm/@acme/*", time.Hour, 0, true}, {"pkg:npm/@acme/*", 2 * time.Hour, -time.Minute, false}}, -2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, nil)
			publisher := key("another")
			var all []*provenance.Enrolment
			for _, c := range tt.certificates {
				e := w.certificate(w.officer, publisher, func(e *provenance.Enrolment) {
					e.Namespaces, e.Issued = namespaces(t, c.namespace), now.Add(-c.issued)
					if c.notAfter != 0 {
						e.NotAfter = now.Add(c.notAfter)
					}
				})
				w.enrolled(e)
				if c.ended {
					w.end(e)
				}
				all = append(all, e)
			}
			want := ""
			for i, e := range all {
				if i == tt.want || tt.want == -1 && (want == "" || e.Digest() < want) {
					want = e.Digest()
				}
			}
			for version, when := range map[string]func(){"1.0.0": func() {}, "1.0.1": w.restart} { // live, and folded again
				when()
				sub := w.signed(w.unsigned("@acme/widget", version, "content"), publisher)
				if tt.want == -2 {
					w.refused(sub, signer.PublisherNotEnrolled)
				} else if c, b := w.countersignature(w.accepted(sub)); c.Enrolment != want || b.Enrolment.PayloadDigest() != want {
					t.Fatalf("under %s, with %s in the bundle, want %s", c.Enrolment, b.Enrolment.PayloadDigest(), want)
				}
			}
		})
	}
}

// exclude has the next identity exclude entries of the log; -1 for no end.
func (w *world) exclude(from uint64, to int64, publisher string) {
	w.stop()
	w.succeed(func(id *provenance.Identity) {
		x := provenance.Exclusion{Origin: id.Open().Origin, From: &from, Publisher: publisher, Reason: "stolen key"}
		if end := uint64(to); to >= 0 {
			x.To = &end
		}
		id.Excluded = []provenance.Exclusion{x}
	})
	w.start()
	until(w.t, "signed to the end", func() bool { return w.Status().Checkpoint == w.Status().Size })
}

// A statement that the identity excludes does not count as existing: the same content can be countersigned again. Its
// digests stay bound.
func TestStateExcluded(t *testing.T) {
	for name, publisher := range map[string]string{"everybody": "", "the publisher": public(t, key("publisher")).Fingerprint()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			sub := w.submission("@acme/widget", "1.0.0", "content")
			_, first := w.countersignature(w.accepted(sub))
			w.exclude(first.Proof.Index, int64(first.Proof.Index+1), publisher)
			if _, problem := w.Bundle(t.Context(), w.npm("@acme/widget", "1.0.0").Hash()); problem == nil || problem.Code() != signer.NotFound {
				t.Errorf("an excluded statement was given: %v", problem)
			}
			w.refused(w.submission("@acme/widget", "1.0.0", "other"), signer.CoordinateConflict)
			out := w.send(sub)
			if out.Problem != nil || !out.Created {
				t.Fatal(out.Problem, out.Created)
			}
			again := w.send(sub)
			_, second := w.countersignature(out.Bundle)
			if again.Problem != nil || again.Created || w.statementOf(t, again.Bundle) != string(second.Statement) || second.Proof.Index == first.Proof.Index {
				t.Fatal("the new statement does not count", again.Problem)
			}
		})
	}
	t.Run("another publisher", func(t *testing.T) {
		w := newWorld(t, 1, 1, nil)
		sub := w.submission("@acme/widget", "1.0.0", "content")
		_, first := w.countersignature(w.accepted(sub))
		w.exclude(first.Proof.Index, int64(first.Proof.Index+1), public(t, key("another")).Fingerprint())
		if out := w.send(sub); out.Problem != nil || out.Created {
			t.Fatal(out.Problem, out.Created)
		}
	})
}

// Work that the identity excludes before it is logged is refused: every retry would log another entry that no consumer
// takes.
func TestStateExcludedForEver(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	other := key("another")
	w.enrol(other, "pkg:npm/@acme/*")
	w.exclude(0, -1, public(t, w.publisher).Fingerprint())
	w.refused(w.submission("@acme/widget", "1.0.0", "content"), signer.PublisherNotEnrolled)
	w.accepted(w.signed(w.unsigned("@acme/widget", "1.0.0", "content"), other))
	w.accepted(w.statement("pkg:npm/%40acme/gadget@1.0.0", "content"))
	w.exclude(0, -1, "")
	w.refused(w.signed(w.unsigned("@acme/widget", "1.0.1", "content"), other), signer.Frozen)
	w.refused(w.statement("pkg:npm/%40acme/gadget@1.0.1", "content"), signer.Frozen)
}

// A coordinate may have a registry statement and a countersignature, of the same content; consumers are given the latter.
func TestStateStatementBeside(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		w := newWorld(t, 1, 1, nil)
		subs := [2]signer.Submission{w.statement("pkg:npm/%40acme/widget@1.0.0", "content"), w.submission("@acme/widget", "1.0.0", "content")}
		for _, i := range order {
			if out := w.send(subs[i]); out.Problem != nil || !out.Created {
				t.Fatal(out.Problem, out.Created)
			}
		}
		for _, sub := range subs {
			if out := w.send(sub); out.Problem != nil || out.Created {
				t.Fatal(out.Problem, out.Created)
			}
		}
		bundle, problem := w.Bundle(t.Context(), w.npm("@acme/widget", "1.0.0").Hash())
		if problem != nil {
			t.Fatal(problem)
		}
		w.countersignature(bundle)
		w.refused(w.statement("pkg:npm/%40acme/widget@1.0.0", "other"), signer.CoordinateConflict)
		w.refused(w.submission("@acme/widget", "1.0.0", "other"), signer.CoordinateConflict)
	}
}

// A withdrawal is the last word: nothing is given for the coordinate, and nothing is said about it again.
func TestStateWithdrawn(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	sub := w.submission("@acme/widget", "1.0.0", "content")
	w.accepted(sub)
	w.withdraw("pkg:npm/%40acme/widget@1.0.0", "content")
	w.accepted(w.submission("@acme/widget", "1.0.1", "content")) // the head over it
	w.refused(sub, signer.Withdrawn)
	w.refused(w.statement("pkg:npm/%40acme/widget@1.0.0", "content"), signer.Withdrawn)
	later := w.unsigned("@acme/widget", "1.0.0", "content")
	later.SignedAt = later.SignedAt.Add(-time.Minute)
	w.refused(w.signed(later, w.publisher), signer.Withdrawn)
	w.refused(w.submission("@acme/widget", "1.0.0", "other"), signer.Withdrawn)
	w.restart()
	w.refused(sub, signer.Withdrawn)
	if _, problem := w.Bundle(t.Context(), w.npm("@acme/widget", "1.0.0").Hash()); problem == nil || problem.Code() != signer.Withdrawn {
		t.Errorf("%v", problem)
	}
}

// next closes the world's log at its stored checkpoint and opens another, as a ceremony does after a disaster.
func (w *world) nextLog(m, n int) {
	w.stop()
	old, err := w.db.Log(w.identity.Open().Origin)
	must(w.t, err)
	for _, g := range w.guards {
		must(w.t, g.state.Close())
	}
	log, anchor := w.newLog(2, m, n), old.Checkpoint()
	next := *w.identity
	next.Version, next.Previous, next.Issued = next.Version+1, w.identity.Envelope.PayloadDigest(), time.Now()
	next.Logs = append([]provenance.Log{}, next.Logs...)
	next.Logs[0].Closed = &provenance.Anchor{Size: anchor.Size, Root: anchor.Root[:]}
	next.Logs = append(next.Logs, log)
	w.identity, err = next.Sign(w.root)
	must(w.t, err)
	w.beginLog(log, w.identity)
}

// A closed log goes on to count up to its anchor: publishers stay enrolled, coordinates stay bound, and what is there is
// answered from there. What was appended after the anchor counts for nothing.
func TestStateSecondLog(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	pin := w.identity
	sub := w.submission("@acme/widget", "1.0.0", "content")
	first := w.statementOf(t, w.accepted(sub))
	w.stop()
	log, err := w.db.Log(w.Origin())
	must(t, err)
	w.nextLog(2, 3)
	mallory := w.certificate(w.officer, key("mallory"), nil)
	keys, _, err := signer.Keys(0, mallory.Envelope.JSON())
	must(t, err)
	_, err = log.Append(t.Context(), log.Epoch(), []ledger.Entry{{Data: mallory.Envelope.JSON(), Keys: []ledger.Key{{Hash: keys[0], Ordinal: ledger.Next}}, State: true}})
	must(t, err)
	w.reopen(nil)
	w.start()

	// What was logged in the closed log is answered at once, however long that was and short this is.
	answered := make(chan signer.Enrolled, 1)
	go func() {
		out, _ := w.Enrol(t.Context(), w.caller, []*provenance.Envelope{w.enrolment.Envelope})
		answered <- out[0]
	}()
	select {
	case e := <-answered:
		if e.Problem != nil || e.Created {
			t.Fatal(e)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("waits for the open log to reach the index of the closed one")
	}

	out := w.send(sub)
	if out.Problem != nil || out.Created || w.statementOf(t, out.Bundle) != first {
		t.Fatal("not the statement of the closed log", out.Problem)
	}
	w.refused(w.submission("@acme/widget", "1.0.0", "other"), signer.CoordinateConflict)
	w.refused(w.signed(w.unsigned("@acme/widget", "2.0.0", "content"), key("mallory")), signer.PublisherNotEnrolled)
	next := w.accepted(w.submission("@acme/widget", "1.0.1", "content"))
	c, b := w.countersignature(next)
	if c.Origin != registry+"/countersign/2" || b.Proof.Index != 1 || len(b.Identity) != 2 {
		t.Fatalf("entry %d of %s, %d versions of the identity", b.Proof.Index, c.Origin, len(b.Identity))
	}
	w.identity = pin
	for version, bundle := range map[string][]byte{"1.0.0": out.Bundle, "1.0.1": next} {
		if err := w.verify(bundle, "pkg:npm/%40acme/widget@"+version, "content"); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	if err := signer.CheckState(w.db, registry); err != nil {
		t.Fatal(err)
	}
}

// What was appended to a closed log after its anchor is no reason not to log it where it counts.
func TestStatePastTheAnchor(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	w.nextLog(1, 1)
	other := w.certificate(w.officer, key("other"), nil)
	end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: w.enrolment.Digest(), Reason: "left", Ended: time.Now()}.Sign(w.officer)
	must(t, err)
	log, err := w.db.Log(registry + "/countersign/1")
	must(t, err)
	for _, data := range [][]byte{other.Envelope.JSON(), end.Envelope.JSON()} {
		keys, _, err := signer.Keys(0, data)
		must(t, err)
		_, err = log.Append(t.Context(), log.Epoch(), []ledger.Entry{{Data: data, Keys: []ledger.Key{{Hash: keys[0], Ordinal: ledger.Next}}, State: true}})
		must(t, err)
	}
	w.reopen(nil)
	w.start()
	w.accepted(w.submission("@acme/widget", "1.0.1", "content"))
	for range 2 {
		out, problem := w.Enrol(t.Context(), w.caller, []*provenance.Envelope{other.Envelope})
		if problem != nil || out[0].Problem != nil {
			t.Fatal(problem, out)
		}
		w.accepted(w.signed(w.unsigned("@acme/widget", "1.0.2", "content"), key("other")))
	}
	w.end(w.enrolment)
	w.refused(w.submission("@acme/widget", "1.0.3", "content"), signer.PublisherNotEnrolled)
	w.stop()
	w.audit()
}

// A certificate is not lost to one over the same payload with a bad signature that somebody logs later.
func TestStateForgedAgain(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.stop()
	again, err := provenance.Sign(w.enrolment.Envelope.PayloadType, w.enrolment.Envelope.Payload, key("mallory"))
	must(t, err)
	hostile{w}.log(again.JSON(), true)
	w.reopen(nil)
	w.start()
	bundle := w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	must(t, w.verify(bundle, "pkg:npm/%40acme/widget@1.0.0", "content"))
}

// A freeze outlives the process, its file is the freeze, and a thaw ends it.
func TestStateFreeze(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	n := 0
	next := func() signer.Submission {
		n++
		return w.submission("@acme/widget", fmt.Sprintf("1.0.%d", n), "content")
	}
	frozen := func(reason string) {
		t.Helper()
		if p := w.refused(next(), signer.Frozen); p.Detail != reason || w.Status().Frozen != reason || w.Unready() != "frozen" {
			t.Fatalf("%q, status %q, %s", p.Detail, w.Status().Frozen, w.Unready())
		}
	}
	must(t, w.Freeze("drill"))
	frozen("drill")
	w.restart()
	frozen("drill")
	must(t, w.Thaw())
	w.accepted(next())
	w.restart()
	w.accepted(next())
	must(t, w.Thaw()) // nothing to thaw is no error

	must(t, os.WriteFile(w.config.FreezeFile, nil, 0o600)) // touched by hand
	w.restart()
	if p := w.refused(next(), signer.Frozen); p.Detail == "" || w.Status().Frozen == "" {
		t.Fatal("frozen, but nobody can see it")
	}
	must(t, w.Thaw())

	// Where it cannot be kept, the operator is told; it holds all the same.
	w.stop()
	w.config.FreezeFile = filepath.Join(w.dir, "nowhere", "frozen")
	w.start()
	if err := w.Freeze("drill"); err == nil {
		t.Fatal("a freeze that does not outlive the process was not reported")
	}
	frozen("drill")
	w.stop()
	must(t, os.MkdirAll(w.config.FreezeFile, 0o700)) // a directory: it cannot be read
	if _, err := signer.New(w.config); err == nil {
		t.Fatal("started without knowing whether it is frozen")
	}
}
