package signer_test

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// proven checks a bundle's proof against the head that is stored now, and gives its statement.
func (w *world) proven(t testing.TB, bundle []byte) string {
	t.Helper()
	b, err := provenance.ParseBundle(bundle)
	must(t, err)
	cp, err := provenance.ParseCheckpoint(b.Proof.Checkpoint)
	must(t, err)
	must(t, w.identity.Open().Counts(cp, nil))
	must(t, tlog.CheckRecord(b.Proof.Hashes, int64(cp.Size), cp.Root, int64(b.Proof.Index), tlog.RecordHash(b.Statement)))
	if now := w.Status().Checkpoint; cp.Size != now {
		t.Errorf("the proof is under size %d, stored is %d", cp.Size, now)
	}
	return string(b.Statement)
}

// succeed logs the next version of the world's identity, as a ceremony would while the daemon is down.
func (w *world) succeed(change func(*provenance.Identity)) {
	w.t.Helper()
	next := *w.identity
	next.Version, next.Previous, next.Issued = next.Version+1, w.identity.Envelope.PayloadDigest(), time.Now()
	change(&next)
	id, err := next.Sign(w.root)
	must(w.t, err)
	log, err := w.db.Log(w.identity.Open().Origin)
	must(w.t, err)
	_, err = log.Append(w.t.Context(), log.Epoch(), []ledger.Entry{{Data: id.Envelope.JSON(), State: true}})
	must(w.t, err)
	w.identity = id
}

// end ends an enrolment.
func (w *world) end(e *provenance.Enrolment) {
	w.t.Helper()
	end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: e.Digest(), Reason: "left", Ended: time.Now()}.Sign(w.officer)
	must(w.t, err)
	out, problem := w.Enrol(w.t.Context(), w.caller, []*provenance.Envelope{end.Envelope})
	if problem != nil || out[0].Problem != nil {
		w.t.Fatal(problem, out[0].Problem)
	}
}

// later has the restarted service believe that it is d later.
func (w *world) later(d time.Duration) {
	w.stop()
	w.config.Now = func() (time.Time, time.Duration) {
		now := time.Now().Add(d)
		return now, time.Duration(now.UnixNano())
	}
	w.start()
}

// The same publication again is the same countersignature with a fresh proof, whatever has become of the publisher, the
// registry's identity, the clock or the service in between. What the change stops is new work.
func TestInvariant4_SameAgainWhateverChanged(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*world, *provenance.Enrolment)
		stops  signer.Code // another version that was signed when the first was
	}{
		"nothing":         {func(*world, *provenance.Enrolment) {}, ""},
		"restart":         {func(w *world, _ *provenance.Enrolment) { w.restart() }, ""},
		"enrolment ended": {func(w *world, e *provenance.Enrolment) { w.end(e) }, signer.PublisherNotEnrolled},
		"enrolment key ended": {func(w *world, _ *provenance.Enrolment) {
			w.stop()
			w.succeed(func(id *provenance.Identity) {
				id.Enrol = []provenance.EnrolKey{{PublicKey: public(t, w.officer), Ended: true}, {PublicKey: public(t, key("officer 2"))}}
			})
			w.start()
		}, signer.PublisherNotEnrolled},
		"namespace gone": {func(w *world, _ *provenance.Enrolment) {
			w.stop()
			w.succeed(func(id *provenance.Identity) { id.Namespaces = namespaces(t, "pkg:npm/@acme/other") })
			w.start()
		}, signer.NamespaceNotBound},
		"too old": {func(w *world, _ *provenance.Enrolment) { w.later(25 * time.Hour) }, signer.PublicationTooOld},
		"identity expired": {func(w *world, _ *provenance.Enrolment) {
			w.config.MaxAge = 1e6 * time.Hour
			w.later(366 * 24 * time.Hour)
		}, signer.Frozen},
		"clock set back": {func(w *world, _ *provenance.Enrolment) { w.later(-time.Hour) }, signer.PublisherNotEnrolled},
		"frozen":         {func(w *world, _ *provenance.Enrolment) { must(t, w.Freeze("drill")) }, signer.Frozen},
		"agent gone":     {func(w *world, _ *provenance.Enrolment) { must(t, w.DrainAgent("a")) }, signer.Frozen},
		"other versions": {func(w *world, _ *provenance.Enrolment) {
			for i := range 5 {
				w.accepted(w.submission("@acme/widget", fmt.Sprintf("2.0.%d", i), "content"))
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, nil)
			e := w.enrol(w.publisher, "pkg:npm/@acme/widget")
			w.end(w.enrolment)
			sub, other := w.submission("@acme/widget", "1.0.0", "content"), w.submission("@acme/widget", "1.0.1", "content")
			first := w.proven(t, w.accepted(sub))
			tt.change(w, e)
			w.retrySettled(sub)
			size := w.Status().Size
			out := w.send(sub)
			if out.Problem != nil || out.Created {
				t.Fatal(out.Problem, out.Created)
			}
			if again := w.proven(t, out.Bundle); again != first {
				t.Errorf("another statement:\n%s\n%s", first, again)
			}
			if now := w.Status().Size; now != size {
				t.Errorf("%d entries were logged", now-size)
			}
			if tt.stops == "" {
				w.accepted(other)
			} else {
				w.refused(other, tt.stops)
			}
		})
	}
}

// retrySettled waits until the service has signed what was logged behind its back.
func (w *world) retrySettled(sub signer.Submission) {
	until(w.t, "signed to the end", func() bool { return w.Status().Checkpoint == w.Status().Size })
	w.retry(sub)
}

// A hundred at once, from many callers and within one batch: one entry, one statement, an answer for each.
func TestInvariant4_SameAtOnce(t *testing.T) {
	w := newWorld(t, 2, 3, nil)
	before := w.Status().Size
	sub := w.submission("@acme/widget", "1.0.0", "content")
	statements := make([]string, 100)
	created := make([]int, 100)
	var group sync.WaitGroup
	for i := range 90 {
		group.Go(func() {
			caller := *w.caller
			caller.Name = fmt.Sprint("caller ", i%7)
			out, problem := w.Countersign(t.Context(), &caller, []signer.Submission{sub}, i%2 == 0)
			if problem != nil || out[0].Problem != nil {
				t.Error(problem, out[0].Problem)
				return
			}
			statements[i] = w.statementOf(t, out[0].Bundle)
			if out[0].Created {
				created[i]++
			}
		})
	}
	group.Go(func() {
		out, problem := w.Countersign(t.Context(), w.caller, []signer.Submission{sub, sub, sub, sub, sub, sub, sub, sub, sub, sub}, false)
		if problem != nil {
			t.Error(problem)
			return
		}
		for i, o := range out {
			if o.Problem != nil {
				t.Error(o.Problem)
				continue
			}
			statements[90+i] = w.statementOf(t, o.Bundle)
			if o.Created {
				created[90+i]++
			}
		}
	})
	group.Wait()
	n := 0
	for i := range statements {
		n += created[i]
		if statements[i] == "" || statements[i] != statements[0] {
			t.Fatalf("answer %d has another statement", i)
		}
	}
	if size := w.Status().Size; n != 1 || size != before+1 {
		t.Fatalf("%d were answered as new, %d entries were logged", n, size-before)
	}
}

func (w *world) statementOf(t testing.TB, bundle []byte) string {
	b, err := provenance.ParseBundle(bundle)
	if err != nil {
		t.Error(err)
		return ""
	}
	return string(b.Statement)
}

// One content per coordinate: whatever differs is refused and names what is there.
func TestInvariant4_Conflicts(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	other := key("other publisher")
	w.enrol(other, "pkg:npm/@acme/*")
	full := w.unsigned("@acme/widget", "1.0.0", "content")
	full.Digests["sha512"] = fmt.Sprintf("%0128x", 1)
	first := w.signed(full, w.publisher)
	w.accepted(first)
	entry, content := first.Publication.PayloadDigest(), "sha256:"+full.Digests["sha256"]

	sha512 := w.unsigned("@acme/widget", "1.0.0", "content")
	sha512.Digests["sha512"] = fmt.Sprintf("%0128x", 2)
	later := full
	later.SignedAt = later.SignedAt.Add(-time.Minute)
	attributes := full
	attributes.Attributes = []byte(`{"note":"other"}`)
	for name, tt := range map[string]struct {
		sub      signer.Submission
		code     signer.Code
		existing string
	}{
		"other content":            {w.submission("@acme/widget", "1.0.0", "other"), signer.CoordinateConflict, content},
		"other sha512":             {w.signed(sha512, w.publisher), signer.CoordinateConflict, content},
		"signed at another time":   {w.signed(later, w.publisher), signer.PublicationConflict, entry},
		"with other attributes":    {w.signed(attributes, w.publisher), signer.PublicationConflict, entry},
		"by another publisher":     {w.signed(full, other), signer.PublicationConflict, entry},
		"a registry statement":     {w.statement("pkg:npm/%40acme/widget@1.0.0", "other"), signer.CoordinateConflict, content},
		"by another, other sha512": {w.signed(sha512, other), signer.CoordinateConflict, content},
	} {
		if p := w.refused(tt.sub, tt.code); p.Existing != tt.existing || p.Retryable {
			t.Errorf("%s: %+v", name, p)
		}
	}
	w.restart()
	w.refused(w.submission("@acme/widget", "1.0.0", "other"), signer.CoordinateConflict)
}

// statement asks for a registry statement about content.
func (w *world) statement(purl, content string) signer.Submission {
	return signer.Submission{Observed: signer.Observed{Digests: digestsOf(content), Size: 7}, Statement: &signer.StatementRequest{Purl: purl, FileName: "package.tgz",
		Reason: "backfill", Evidence: []provenance.Evidence{{Type: "import", Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("import")))}}}}
}

// A hundred different contents for one coordinate at once: one is countersigned, all others are refused with its digest.
func TestInvariant4_RaceForACoordinate(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	before := w.Status().Size
	outcomes := make([]signer.Outcome, 100)
	var group sync.WaitGroup
	for i := range outcomes {
		sub := w.submission("@acme/widget", "1.0.0", fmt.Sprint("content ", i%50)) // each twice: another publication of the same
		group.Go(func() { outcomes[i] = w.send(sub) })
	}
	group.Wait()
	won := ""
	for i, o := range outcomes {
		if o.Problem == nil && o.Created {
			won = "sha256:" + digestsOf(fmt.Sprint("content ", i%50))["sha256"]
		}
	}
	n := 0
	for i, o := range outcomes {
		if o.Problem == nil {
			n++
		} else if o.Problem.Code() == signer.CoordinateConflict && o.Problem.Existing != won {
			t.Errorf("%d: the digest in the way is %s, won has %s", i, o.Problem.Existing, won)
		} else if o.Problem.Code() != signer.CoordinateConflict && o.Problem.Code() != signer.PublicationConflict {
			t.Errorf("%d: %v", i, o.Problem)
		}
	}
	if size := w.Status().Size; size != before+1 || n < 1 || n > 2 {
		t.Fatalf("%d entries, %d answers", size-before, n)
	}
}
