package provenance_test

import (
	"testing"
	"time"

	"countersign.dev/provenance"
)

// The plan's statement is entry 3 of log 1, countersigned at dayTwo, the time of asking.

// withStatus tells the plan's story to a consumer who has a status.
func withStatus(more string, change func(p *plan, s *statusPlan)) *plan {
	p := newWorld(registry).plan()
	p.pin.more = more
	p.status = []func(*statusPlan){func(s *statusPlan) { change(p, s) }}
	return p
}

func TestVerifyWithdrawn(t *testing.T) {
	for what, c := range map[string]struct {
		purl  string
		index uint64
		want  provenance.Code
	}{
		"withdrawn":                {"pkg:npm/%40acme/widget@1.2.3", 8, provenance.Withdrawn},
		"another version":          {"pkg:npm/%40acme/widget@1.2.4", 8, "verified"},
		"another package":          {"pkg:npm/%40acme/widgets@1.2.3", 8, "verified"},
		"the same of another type": {"pkg:cargo/widget@1.2.3", 8, "verified"},
	} {
		p := withStatus("", func(_ *plan, s *statusPlan) { s.withdraw(c.purl, c.index) })
		wantCode(t, what, p.verify(), c.want)
	}
	// Whatever the index: a withdrawal in the list before the statement is one of the coordinate all the same.
	p := withStatus("", func(_ *plan, s *statusPlan) {
		s.document.Withdrawals = nil
		s.withdraw("pkg:npm/%40acme/widget@1.2.3", 1)
	})
	wantCode(t, "withdrawn before", p.verify(), provenance.Withdrawn)
	p.backfill, p.pin.more = true, `require = "registry"`
	wantCode(t, "the registry's own word", p.verify(), provenance.Withdrawn)
	// Any spelling of the question.
	p.spoilRequest = func(r *provenance.Request) { r.Purl, r.AnyPurl = "", true }
	wantCode(t, "any purl", p.verify(), provenance.Withdrawn)
}

// A partial purl asks for a file; the file that answers is the one that may be withdrawn.
func TestVerifyWithdrawnFile(t *testing.T) {
	wheel, sdist := "acme_http-1.0-py3-none-any.whl", "acme_http-1.0.tar.gz"
	for file, want := range map[string]provenance.Code{wheel: provenance.Withdrawn, sdist: "verified"} {
		p := withStatus("", func(_ *plan, s *statusPlan) {
			s.withdraw(must(provenance.NewCoordinate("pypi", "acme-http", "1.0", file)).String(), 6)
		})
		p.setCoordinate(must(provenance.NewCoordinate("pypi", "acme-http", "1.0", wheel)))
		p.draft.FileName, p.cert.Namespaces, p.pin.namespace = wheel, namespaces("pkg:pypi/acme-http"), "pkg:pypi/acme-*"
		p.purl = "pkg:pypi/acme-http@1"
		wantCode(t, file+" withdrawn", p.verify(), want)
	}
}

func TestVerifyEnrolmentEnded(t *testing.T) {
	later := dayTwo.Add(time.Second)
	for what, c := range map[string]struct {
		index uint64
		ended time.Time
		mine  bool
		at    int // of the statement
		want  provenance.Code
	}{
		"the statement before":                        {6, later, true, 3, "verified"},
		"the statement directly before":               {4, later, true, 3, "verified"},
		"the statement behind":                        {5, later, true, 6, provenance.EnrolmentEnded},
		"the statement directly behind":               {5, later, true, 7, provenance.EnrolmentEnded},
		"before, but not by its time":                 {6, dayTwo, true, 3, provenance.EnrolmentEnded},
		"before, and by its time too":                 {6, dayTwo.Add(time.Second), true, 3, "verified"},
		"before, and ended long ago":                  {6, dayOne, true, 3, provenance.EnrolmentEnded},
		"another enrolment, the statement behind":     {5, later, false, 6, "verified"},
		"another enrolment, ended before by its time": {6, dayOne, false, 3, "verified"},
	} {
		p := withStatus("", func(p *plan, s *statusPlan) {
			digest := "sha256:" + sha256Of("a third enrolment")
			if c.mine {
				digest = p.enrolment().PayloadDigest()
			}
			s.document.Ended = nil
			s.end(digest, p.w.origin(1), c.index, c.ended)
		})
		p.log.fill(c.at)
		got, err := provenance.Verify(p.request())
		wantCode(t, what, err, c.want)
		if err == nil && !got.PublisherEnded.Equal(map[bool]time.Time{true: c.ended}[c.mine]) {
			t.Errorf("%s: the publisher ended at %s", what, got.PublisherEnded)
		}
	}
	// The registry's own word stands on nobody's enrolment.
	p := withStatus(`require = "registry"`, func(p *plan, s *statusPlan) { s.end(p.enrolment().PayloadDigest(), p.w.origin(1), 6, dayOne) })
	p.backfill = true
	wantCode(t, "the registry's own word", p.verify(), "verified")
}

// movedPlans has a statement as entry 3 of log 1, which was closed at 12 then, and the same as entry 3 of log 2.
func movedPlans() (w *world, second *testLog, first, later provenance.Request) {
	w = newWorld(registry)
	p := w.plan()
	b := p.bundle()
	p.log.fill(12)
	second = w.secondLog(p.log)
	b.Identity, b.Bridge = w.envelopes(), p.log.bridge(6, 12)
	first = with(p.request(), b)
	q := w.plan()
	q.claim.Origin, q.log, q.signers = w.origin(2), second.copy(), second.keys[:2]
	return w, second, first, q.request()
}

// A statement in a later log comes after an end in an earlier one, and the other way round, whatever the indexes are.
func TestVerifyEnrolmentEndedInAnotherLog(t *testing.T) {
	for what, c := range map[string]struct {
		end           int // its log
		index         uint64
		ended         time.Time
		first, second provenance.Code // of the statements in log 1 and log 2
	}{
		"ended in log 1":               {1, 11, dayTwo.Add(time.Hour), "verified", provenance.EnrolmentEnded},
		"ended in log 1, early":        {1, 1, dayTwo.Add(time.Hour), provenance.EnrolmentEnded, provenance.EnrolmentEnded},
		"ended in log 2, early":        {2, 1, dayTwo.Add(time.Hour), "verified", provenance.EnrolmentEnded},
		"ended in log 2":               {2, 4, dayTwo.Add(time.Hour), "verified", "verified"},
		"ended in log 2, by the clock": {2, 4, dayTwo, provenance.EnrolmentEnded, provenance.EnrolmentEnded},
	} {
		w, second, first, later := movedPlans()
		s := w.statusPlan()
		s.log, s.signers, s.statement.Origin = second.copy(), second.keys[:2], w.origin(2)
		s.document.Logs = []provenance.CoveredLog{{Origin: w.origin(1), Size: 12}, {Origin: w.origin(2), Size: 9}}
		s.document.Ended = nil
		s.end(w.plan().enrolment().PayloadDigest(), w.origin(c.end), c.index, c.ended)
		first.Status = must(s.verify())
		later.Status = first.Status
		_, err := provenance.Verify(first)
		wantCode(t, what+", statement in log 1", err, c.first)
		_, err = provenance.Verify(later)
		wantCode(t, what+", statement in log 2", err, c.second)
	}
}

func TestVerifyStatusAge(t *testing.T) {
	for what, c := range map[string]struct {
		age  time.Duration
		more string
		want provenance.Code
	}{
		"of now":                      {0, `status_max_age = "72h"`, "verified"},
		"just young enough":           {72 * time.Hour, `status_max_age = "72h"`, "verified"},
		"a second too old":            {72*time.Hour + time.Second, `status_max_age = "72h"`, provenance.StatusTooOld},
		"minutes":                     {31 * time.Minute, `status_max_age = "30m"`, provenance.StatusTooOld},
		"seconds":                     {31 * time.Second, `status_max_age = "30s"`, provenance.StatusTooOld},
		"a clock a little behind":     {-5 * time.Minute, `status_max_age = "72h"`, "verified"},
		"yet to come":                 {-5*time.Minute - time.Second, `status_max_age = "72h"`, provenance.StatusTooOld},
		"of next month":               {-720 * time.Hour, `status_max_age = "72h"`, provenance.StatusTooOld},
		"of next month, no age asked": {-720 * time.Hour, "", "verified"},
		"old, no age asked":           {9999 * time.Hour, "", "verified"},
	} {
		p := withStatus(c.more, func(_ *plan, s *statusPlan) { s.statement.At = dayTwo.Add(-c.age) })
		wantCode(t, what, p.verify(), c.want)
	}
}

// Where an age is asked for, a status must be there. Age is asked after what the status lists: an old one that lists the
// package says no for good.
func TestVerifyStatusRequired(t *testing.T) {
	p := newWorld(registry).plan()
	p.pin.more = `status_max_age = "72h"`
	err := p.verify()
	wantCode(t, "no status", err, "unchecked")
	wantError(t, "no status", err, "a status of registry.example")
	old := withStatus(`status_max_age = "1h"`, func(p *plan, s *statusPlan) {
		s.statement.At = dayOne
		s.withdraw(p.draft.Coordinate.String(), 6)
	})
	wantCode(t, "old and withdrawn", old.verify(), provenance.Withdrawn)
	p.pin.more = `status_max_age = "72h"` + "\nrequire = \"registry\""
	p.backfill = true
	wantCode(t, "no status, the registry's own word", p.verify(), "unchecked")
}

// A status that is not the pinned registry's, or was not verified, is the program's mistake, and never ignored.
func TestVerifyStatusOfAnother(t *testing.T) {
	good := newWorld(registry).statusPlan()
	status := must(good.verify())
	other := must(newWorld("other.example").statusPlan().verify())
	renamed := *status
	renamed.Identity = "sha256:" + sha256Of("x")
	for what, s := range map[string]*provenance.Status{"another registry's": other, "of another identity": &renamed, "made by hand": {Registry: registry, Identity: good.w.fingerprint()},
		"a document by hand": {Registry: registry, Identity: good.w.fingerprint(), Document: &good.document}} {
		p := newWorld(registry).plan()
		p.spoilRequest = func(r *provenance.Request) { r.Status = s }
		wantCode(t, what, p.verify(), "bad request")
	}
	p := withStatus(`status_max_age = "72h"`, func(*plan, *statusPlan) {})
	p.spoilRequest = func(r *provenance.Request) { r.Now = time.Time{} }
	wantCode(t, "no time, and an age is asked for", p.verify(), "bad request")
}

// A status was verified under an older version of the identity than the bundle brings: the newer one judges it again. A
// thief of the old keys could have made it, to hide a withdrawal.
func TestVerifyStatusUnderNewerIdentity(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*world)
		want   provenance.Code
	}{
		"nothing changed":   {func(w *world) { w.next(nothing) }, "verified"},
		"keys ended":        {func(w *world) { w.endTwo(1) }, provenance.KeyEnded},
		"status excluded":   {func(w *world) { exclude(w, 10, 11, "") }, provenance.Excluded},
		"identity expired":  {func(w *world) { w.next(func(id *provenance.Identity) { id.Expires = dayTwo.Add(time.Minute) }) }, provenance.IdentityExpired},
		"others excluded":   {func(w *world) { exclude(w, 11, 12, "") }, "verified"},
		"publisher's alone": {func(w *world) { exclude(w, 10, 11, fingerprint(testKey("thief"))) }, "verified"},
	} {
		p := newWorld(registry).plan()
		c.change(p.w)
		p.status = []func(*statusPlan){func(s *statusPlan) { s.statement.At = dayTwo.Add(time.Hour) }}
		if what == "keys ended" {
			p.signers = p.w.newKeys()
		}
		wantCode(t, what, p.verify(), c.want)
	}
}

// The other way round the status brings the newer version, and the bundle is judged by that.
func TestVerifyBundleUnderIdentityOfStatus(t *testing.T) {
	w := newWorld(registry)
	r := w.plan().request()
	exclude(w, 3, 4, "")
	r.Status = must(w.statusPlan().verify())
	_, err := provenance.Verify(r)
	wantCode(t, "excluded by the status's identity", err, provenance.Excluded)
	r.Bundle = with(r, emptyIdentity(newWorld(registry))).Bundle
	_, err = provenance.Verify(r)
	wantCode(t, "no identity but the status's", err, provenance.Excluded)
	w.versions = w.versions[:1]
	w.next(func(id *provenance.Identity) { id.Issued = dayTwo })
	r.Chain = chainOf(w.envelopes())
	_, err = provenance.Verify(r)
	wantCode(t, "a fork", err, provenance.IdentityMismatch)
}
