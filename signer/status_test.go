package signer_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// reporting has statuses made soon, and again only after an hour.
func reporting(c *signer.Config) {
	c.StatusInterval = time.Hour
	signer.WithStatusDelay(c, 20*time.Millisecond)
}

// status is what the public listener serves, verified as a consumer does; nil if there is none.
func (s *site) status() *provenance.Status {
	s.t.Helper()
	got := s.get("/" + registry + "/status")
	if got.status == http.StatusNotFound {
		return nil
	}
	if got.status != http.StatusOK || got.header.Get("Content-Type") != provenance.StatusBundleType || got.header.Get("Cache-Control") != "public, max-age=60" {
		s.t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	pin := &provenance.Pin{Registry: registry, Identity: s.fingerprint()}
	status, err := provenance.NewVerifier().Status(got.body, pin, nil, nil)
	must(s.t, err)
	if want := s.recompute(status); string(want) != string(s.document(got.body)) {
		s.t.Fatalf("the log gives\n%s\nthe status\n%s", want, s.document(got.body))
	}
	return status
}

func (s *site) document(body []byte) []byte {
	b, err := provenance.ParseStatusBundle(body)
	must(s.t, err)
	return b.Document
}

// fingerprint is that of the identity's first version.
func (w *world) fingerprint() string {
	chain, err := provenance.ParseEnvelopes(w.IdentityChain())
	must(w.t, err)
	return chain[0].PayloadDigest()
}

// statusThat waits for a status of which ok holds.
func (s *site) statusThat(what string, ok func(*provenance.Status) bool) (status *provenance.Status) {
	s.t.Helper()
	waitUntil(s.t, what, func() bool {
		status = s.status()
		return status != nil && ok(status)
	})
	return status
}

func lists(purl string) func(*provenance.Status) bool {
	return func(status *provenance.Status) bool {
		_, ok := status.Withdrawn(purl)
		return ok
	}
}

// statuses counts those in the log.
func (w *world) statuses() (n int) {
	w.t.Helper()
	for _, data := range w.entries() {
		if entry, err := provenance.ParseEntry([]byte(data)); err != nil {
			w.t.Error(err)
		} else if _, ok := entry.(*provenance.StatusStatement); ok {
			n++
		}
	}
	return n
}

// There is a status as soon as the service runs; it follows a withdrawal and an end; and where nothing changes, no more is
// made: not by publications, not by asking, not by a restart, after which the last one is served at once.
func TestStatusFollows(t *testing.T) {
	w := newWorld(t, 1, 1, reporting)
	s := newSite(t, w, signer.Limits{}, nil)
	s.get("/other.test/status").refused(t, signer.WrongRegistry)
	s.statusThat("a status of nothing", func(status *provenance.Status) bool { return len(status.Document.Withdrawals) == 0 })
	for i := range 3 {
		s.submit(s.submission("@acme/widget", fmt.Sprintf("%d.0.0", i+1), "content"))
	}
	o := w.withdraw(widget, "malware")
	status := s.statusThat("the withdrawal is covered", lists(widget))
	if got, _ := status.Withdrawn(widget); got.Index != o.Ref.Index || got.Origin != o.Ref.Origin || got.Reason != "malware" || got.WithdrawnAt != provenance.At(o.Entry.At) {
		t.Errorf("%+v", got)
	}
	if status.Size <= o.Ref.Index || status.Size > status.Index || time.Since(status.At) > time.Minute {
		t.Errorf("entry %d covers %d at %s", status.Index, status.Size, status.At)
	}
	w.end(w.enrolment)
	status = s.statusThat("the end is covered", func(status *provenance.Status) bool {
		_, ok := status.Ended(w.enrolment.Digest())
		return ok && lists(widget)(status)
	})
	if got, _ := status.Ended(w.enrolment.Digest()); got.Publisher != public(t, w.publisher).Fingerprint() || got.Reason != "left" || got.Origin != w.Origin() {
		t.Errorf("%+v", got)
	}
	made := w.statuses()
	if made > 4 {
		t.Errorf("%d statuses for three changes", made)
	}
	w.enrol(key("another"), "pkg:npm/@acme/*") // another state, nothing that a status lists
	time.Sleep(200 * time.Millisecond)
	if w.tryWithdraw(widget, "again"); w.statuses() != made {
		t.Errorf("%d statuses, before %d", w.statuses(), made)
	}
	before := s.get("/" + registry + "/status").body
	if state := w.Status().LastStatus; state == nil || state.Size != status.Size || state.At != provenance.At(status.At).String() || state.Origin != w.Origin() {
		t.Errorf("%+v", state)
	}
	for range 2 {
		w.stop()
		w.reopen(nil)
		w.audit()
		w.start()
		s = newSite(t, w, signer.Limits{}, nil)
		if got := s.status(); got == nil || got.Index != status.Index || string(s.document(s.get("/"+registry+"/status").body)) != string(s.document(before)) {
			t.Errorf("after a restart: %+v", got)
		}
	}
	time.Sleep(200 * time.Millisecond)
	if w.statuses() != made {
		t.Errorf("%d statuses, before %d", w.statuses(), made)
	}
}

// Many withdrawals together are one status, or a few.
func TestStatusCoalesces(t *testing.T) {
	w := newWorld(t, 1, 1, func(c *signer.Config) {
		c.StatusInterval = time.Hour
		signer.WithStatusDelay(c, 500*time.Millisecond)
	})
	s := newSite(t, w, signer.Limits{}, nil)
	s.statusThat("the first", func(*provenance.Status) bool { return true })
	const n = 50
	for i := range n {
		w.accepted(w.submission("@acme/widget", fmt.Sprintf("%d.0.0", i), "content"))
	}
	before, start := w.statuses(), time.Now()
	for i := range n {
		w.withdraw(fmt.Sprintf("pkg:npm/%%40acme/widget@%d.0.0", i), "malware")
	}
	s.statusThat("all are covered", func(status *provenance.Status) bool { return len(status.Document.Withdrawals) == n })
	if made, most := w.statuses()-before, 1+int(time.Since(start)/(500*time.Millisecond)); made > most {
		t.Errorf("%d statuses in %s", made, time.Since(start))
	}
}

// Without any change a status is made whenever the last one has become too old.
func TestStatusInterval(t *testing.T) {
	w := newWorld(t, 1, 1, func(c *signer.Config) {
		c.StatusInterval = time.Second // the least that a status's time can tell
		signer.WithStatusDelay(c, 10*time.Millisecond)
	})
	s := newSite(t, w, signer.Limits{}, nil)
	var at time.Time
	for range 3 {
		at = s.statusThat("a later one", func(status *provenance.Status) bool { return status.At.After(at) }).At
	}
	// A clock that was set back does not stop them for longer than the interval.
	w.later(-24 * time.Hour)
	s = newSite(t, w, signer.Limits{}, nil)
	s.statusThat("one by the earlier clock", func(status *provenance.Status) bool { return status.At.Before(at) })
}

// A status from a clock that was a day ahead is refused by whoever asks for its age: it is not left for an interval.
func TestStatusFromTheFuture(t *testing.T) {
	w := newWorld(t, 1, 1, reporting)
	s := newSite(t, w, signer.Limits{}, nil)
	ahead := s.statusThat("the first", func(*provenance.Status) bool { return true })
	w.later(-24 * time.Hour)
	s = newSite(t, w, signer.Limits{}, nil)
	s.statusThat("one by the right clock", func(status *provenance.Status) bool { return status.At.Before(ahead.At) })
	time.Sleep(100 * time.Millisecond)
	if n := w.statuses(); n != 2 {
		t.Errorf("%d statuses", n)
	}
}

// An interval of 0 makes none; one that is there is served all the same.
func TestStatusOff(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	w.withdraw(widget, "malware")
	time.Sleep(100 * time.Millisecond)
	s.get("/"+registry+"/status").refused(t, signer.NotFound)
	if w.Status().LastStatus != nil || w.statuses() != 0 {
		t.Error("a status was made")
	}
	w.stop()
	reporting(&w.config)
	w.start()
	s = newSite(t, w, signer.Limits{}, nil)
	made := s.statusThat("what was withdrawn before", lists(widget))
	w.stop()
	w.config.StatusInterval = 0
	w.start()
	s = newSite(t, w, signer.Limits{}, nil)
	w.accepted(w.submission("@acme/widget", "2.0.0", "content"))
	w.withdraw("pkg:npm/%40acme/widget@2.0.0", "malware")
	time.Sleep(100 * time.Millisecond)
	if got := s.status(); got == nil || got.Index != made.Index {
		t.Errorf("%+v", got)
	}
}

// The answer says what caches may do, and is not sent twice.
func TestStatusCaching(t *testing.T) {
	w := newWorld(t, 1, 1, reporting)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	s.statusThat("the first", func(*provenance.Status) bool { return true })
	path := s.public + "/" + registry + "/status"
	first := s.get("/" + registry + "/status")
	conditional := func(tag string) *reply {
		r := request(t, path)
		r.Header.Set("If-None-Match", tag)
		return answer(t, http.DefaultClient, r)
	}
	if tag := first.header.Get("ETag"); len(tag) < 10 || conditional(tag).status != http.StatusNotModified || conditional(`"other"`).status != http.StatusOK {
		t.Errorf("ETag %q", tag)
	}
	if got := s.do(http.DefaultClient, http.MethodHead, path, "", nil); got.status != http.StatusOK || len(got.body) != 0 {
		t.Errorf("%d %s", got.status, got.body)
	}
	s.do(http.DefaultClient, http.MethodPost, path, jsonType, []byte("{}")).refused(t, signer.Malformed)
	w.withdraw(widget, "malware")
	s.statusThat("the withdrawal", lists(widget))
	if got := conditional(first.header.Get("ETag")); got.status != http.StatusOK {
		t.Errorf("%d for a status that changed", got.status)
	}
}

// While nothing can be stated the last status is served, and what came meanwhile follows when it can.
func TestStatusWhileFrozen(t *testing.T) {
	w := newWorld(t, 1, 1, reporting)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	first := s.statusThat("the first", func(*provenance.Status) bool { return true })
	w.stop()
	w.withdrawUnsigned(w.Origin(), widget, "content")
	w.start()
	must(t, w.Freeze("an audit"))
	s = newSite(t, w, signer.Limits{}, nil)
	made := w.statuses()
	time.Sleep(200 * time.Millisecond)
	if got := s.status(); got == nil || got.Index != first.Index && made == 1 {
		t.Errorf("%+v", got)
	}
	if made != w.statuses() {
		t.Error("a status was made while frozen")
	}
	must(t, w.Thaw())
	s.statusThat("the withdrawal", lists(widget))

	w.end(w.enrolment)
	s.statusThat("the end", func(status *provenance.Status) bool { return len(status.Document.Ended) == 1 })
	made = w.statuses()
	last := s.status()
	w.later(366 * 24 * time.Hour)
	s = newSite(t, w, signer.Limits{}, nil)
	time.Sleep(200 * time.Millisecond)
	if got := s.status(); got == nil || got.Index != last.Index || w.statuses() != made {
		t.Errorf("with an expired identity: %+v, %d statuses, before %d", got, w.statuses(), made)
	}
}

// Killed between append and checkpoint, the next start signs what is there: the status that was made is the one that is
// served, and no second one is made.
func TestStatusUnsignedTail(t *testing.T) {
	s, o := newOutageSite(t, signer.Limits{}, func(c *signer.Config) {
		reporting(c)
		c.SignTimeout = 100 * time.Millisecond
	})
	w := s.world
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	first := s.statusThat("the first", func(*provenance.Status) bool { return true })
	made := w.statuses()
	w.withdraw(widget, "malware")
	o.set(func(ctx context.Context, op string) error {
		if op == "sign" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	if w.statuses() == made { // else it was faster than the outage
		until(t, "the status is logged", func() bool { return w.statuses() == made+1 })
		if got := s.status(); got.Index != first.Index && w.Status().Checkpoint <= got.Index {
			t.Errorf("served beyond the checkpoint: %+v", got)
		}
	}
	dead := w.onDisk(t)
	w.stop()
	o.set(nil)
	must(t, signer.CheckState(dead, registry))
	w.reopen(nil)
	w.start()
	s = newSite(t, w, signer.Limits{}, nil)
	s.statusThat("the status of before", lists(widget))
	time.Sleep(200 * time.Millisecond)
	if w.statuses() != made+1 {
		t.Errorf("%d statuses, before %d", w.statuses(), made)
	}
	w.stop()
	w.audit()
}

// A closed log is covered up to its anchor. Until the open log has a status the last one of the closed log is served.
func TestStatusSecondLog(t *testing.T) {
	w := newWorld(t, 1, 1, reporting)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	s.submit(s.submission("@acme/widget", "2.0.0", "content"))
	o := w.withdraw(widget, "malware")
	first := s.statusThat("the withdrawal", lists(widget))
	w.nextLog(1, 1)
	w.withdrawUnsigned(registry+"/countersign/1", "pkg:npm/%40acme/widget@2.0.0", "content") // after the anchor
	w.reopen(nil)
	w.config.StatusInterval = 0
	w.start()
	s = newSite(t, w, signer.Limits{}, nil)
	if got := s.status(); got == nil || got.Index != first.Index || got.Origin != first.Origin {
		t.Errorf("%+v", got)
	}
	w.accepted(w.submission("@acme/widget", "3.0.0", "content"))
	w.withdraw("pkg:npm/%40acme/widget@3.0.0", "malware") // which it does not cover
	w.restart()
	s = newSite(t, w, signer.Limits{}, nil)
	if got := s.status(); got == nil || got.Index != first.Index || got.Origin != first.Origin {
		t.Errorf("after a withdrawal in the open log: %+v", got)
	}
	w.stop()
	reporting(&w.config)
	w.start()
	s = newSite(t, w, signer.Limits{}, nil)
	next := s.statusThat("one of the open log", func(status *provenance.Status) bool { return status.Origin == w.Origin() && lists(widget)(status) })
	if got, _ := next.Withdrawn(widget); got.Origin != o.Ref.Origin || got.Index != o.Ref.Index || len(next.Document.Logs) != 2 || !next.Supersedes(first) || len(next.Document.Withdrawals) != 2 {
		t.Errorf("%+v", next.Document)
	}
	w.withdraw("pkg:npm/%40acme/widget@2.0.0", "malware")
	s.statusThat("both", lists("pkg:npm/%40acme/widget@2.0.0"))
	w.restart()
	s = newSite(t, w, signer.Limits{}, nil)
	if got := s.status(); got == nil || !lists(widget)(got) || len(got.Document.Withdrawals) != 3 {
		t.Errorf("%+v", got)
	}
	w.stop()
	w.audit()
}

// A status that the identity excludes is not served, and another one is made. What it excludes stays withdrawn.
func TestStatusExcluded(t *testing.T) {
	w := newWorld(t, 1, 1, reporting)
	s := newSite(t, w, signer.Limits{}, nil)
	s.submit(s.submission("@acme/widget", "1.0.0", "content"))
	first := s.statusThat("the first", func(*provenance.Status) bool { return true })
	o := w.withdraw(widget, "malware")
	second := s.statusThat("the withdrawal", lists(widget))
	w.config.StatusInterval = 0
	w.exclude(o.Ref.Index, int64(second.Index+1), "")
	s = newSite(t, w, signer.Limits{}, nil)
	if got := s.status(); got == nil || got.Index != first.Index {
		t.Errorf("%+v", got)
	}
	w.stop()
	reporting(&w.config)
	w.start()
	s = newSite(t, w, signer.Limits{}, nil)
	if got := s.statusThat("another", lists(widget)); got.Index <= second.Index {
		t.Errorf("%+v", got)
	}
}

// What a service never writes, a ledger may have: a status of another document, a coordinate that was withdrawn twice, the
// end of an unknown enrolment, and one that ended twice.
func TestStatusOfAStrangeLog(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	w.stop()
	h := hostile{w}
	w.withdrawUnsigned(w.Origin(), widget, "content")
	w.withdrawUnsigned(w.Origin(), widget, "content")
	for _, of := range []string{w.enrolment.Digest(), w.enrolment.Digest(), "sha256:" + strings.Repeat("0", 64)} {
		end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: of, Reason: "left", Ended: time.Now()}.Sign(w.officer)
		must(t, err)
		h.log(end.Envelope.JSON(), true)
	}
	data, err := (&provenance.StatusStatement{Registry: registry, Origin: w.Origin(), Identity: w.fingerprint(), Size: 3, At: time.Now(), Document: [32]byte{1}}).Statement()
	must(t, err)
	h.log(data, true)
	w.reopen(nil)
	w.start()
	until(t, "signed to the end", func() bool { return w.Status().Checkpoint == w.Status().Size })
	s := newSite(t, w, signer.Limits{}, nil)
	s.get("/"+registry+"/status").refused(t, signer.NotFound)
	w.stop()
	reporting(&w.config)
	w.start()
	s = newSite(t, w, signer.Limits{}, nil)
	status := s.statusThat("an honest one", lists(widget))
	if len(status.Document.Withdrawals) != 1 || len(status.Document.Ended) != 1 {
		t.Errorf("%+v", status.Document)
	}
	time.Sleep(200 * time.Millisecond)
	if w.statuses() > 3 {
		t.Errorf("%d statuses", w.statuses())
	}
	w.stop()
	must(t, signer.CheckState(w.db, registry))
}

// A status that covers all there is, of a document that nobody can make again, is replaced by one that everybody can.
func TestStatusOfAStrangeDocument(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	w.stop()
	log, err := w.db.Log(w.Origin())
	must(t, err)
	strange := log.Size()
	data, err := (&provenance.StatusStatement{Registry: registry, Origin: w.Origin(), Identity: w.fingerprint(), Size: strange, At: time.Now(), Document: [32]byte{1}}).Statement()
	must(t, err)
	hostile{w}.log(data, true)
	w.reopen(nil)
	w.start()
	until(t, "signed to the end", func() bool { return w.Status().Checkpoint == w.Status().Size })
	w.stop()
	reporting(&w.config)
	w.start()
	newSite(t, w, signer.Limits{}, nil).statusThat("an honest one", func(s *provenance.Status) bool { return s.Index > strange })
}

// Withdrawals that follow one another without end do not put the status off without end.
func TestStatusUnderAFlood(t *testing.T) {
	w := newWorld(t, 1, 1, func(c *signer.Config) {
		c.StatusInterval = time.Hour
		signer.WithStatusDelay(c, time.Second)
	})
	s := newSite(t, w, signer.Limits{}, nil)
	s.statusThat("the first", func(*provenance.Status) bool { return true })
	for i := range 2000 {
		w.accepted(w.submission("@acme/widget", fmt.Sprintf("%d.0.0", i), "content"))
		w.withdraw(fmt.Sprintf("pkg:npm/%%40acme/widget@%d.0.0", i), "malware")
		if len(s.status().Document.Withdrawals) > 0 {
			return
		}
	}
	t.Error("no status came between")
}

// A status statement is state and has no key of its own.
func TestStatusKeys(t *testing.T) {
	data, err := (&provenance.StatusStatement{Registry: registry, Origin: registry + "/countersign/1", Identity: "sha256:" + strings.Repeat("0", 64), Size: 3, At: time.Now()}).Statement()
	must(t, err)
	if keys, state, err := signer.Keys(7, data); len(keys) != 0 || !state || err != nil {
		t.Error(keys, state, err)
	}
}
