package signer_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"testing"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// gate keeps the agents from signing while it is shut, so that work queues up behind the round in flight.
type gate struct {
	mu   sync.Mutex
	open chan struct{}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) pass(ctx context.Context, op string) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if op != "sign" || open == nil {
		return nil
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newGatedWorld has one agent behind a gate.
func newGatedWorld(t testing.TB, adjust func(*signer.Config)) (*world, *gate) {
	w, switches := newSwitchedWorld(t, 1, 1, func(c *signer.Config) {
		c.AgentTimeout = time.Minute
		if adjust != nil {
			adjust(c)
		}
	})
	g := new(gate)
	switches[0].set(g.pass)
	return w, g
}

// pending is a call under way.
type pending struct {
	outcomes []signer.Outcome
	problem  *signer.Problem
	done     chan struct{}
}

func (w *world) begin(ctx context.Context, caller string, subs ...signer.Submission) *pending {
	p := &pending{done: make(chan struct{})}
	c := *w.caller
	c.Name = caller
	go func() {
		defer close(p.done)
		p.outcomes, p.problem = w.Countersign(ctx, &c, subs, false)
	}()
	return p
}

func (p *pending) wait(t testing.TB) []signer.Outcome {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	if p.problem != nil {
		t.Fatal(p.problem)
	}
	return p.outcomes
}

// occupy shuts the gate and has a round in flight behind it.
func (w *world) occupy(g *gate) *pending {
	w.t.Helper()
	g.shut()
	size := w.Status().Size
	p := w.begin(w.t.Context(), "first", w.submission("@acme/first", fmt.Sprintf("1.0.%d", size), "content"))
	until(w.t, "the round is in flight", func() bool { return w.Status().Size == size+1 })
	return p
}

// queued waits until n items are.
func (w *world) queued(n int) {
	w.t.Helper()
	until(w.t, fmt.Sprintf("%d items are queued", n), func() bool { return w.Status().Queue == n })
}

// One caller's flood takes many rounds; another's single item is in the next.
func TestSequencerFairness(t *testing.T) {
	w, g := newGatedWorld(t, func(c *signer.Config) { c.MaxBatch = 20 })
	first := w.occupy(g)
	flood := make([]signer.Submission, 400)
	for i := range flood {
		flood[i] = w.submission("@acme/flood", fmt.Sprintf("1.0.%d", i), "content")
	}
	many := w.begin(t.Context(), "flood", flood...)
	w.queued(400)
	one := w.begin(t.Context(), "one", w.submission("@acme/widget", "1.0.0", "content"))
	w.queued(401)
	rounds, before := w.Status().Counts.Checkpoints, w.Status().Size
	g.lift()
	first.wait(t)
	out := one.wait(t)
	if out[0].Problem != nil {
		t.Fatal(out[0].Problem)
	}
	b, err := provenance.ParseBundle(out[0].Bundle)
	must(t, err)
	if place := b.Proof.Index; place > before+4*20 {
		t.Errorf("logged as entry %d, behind %d of the flood", place, place-before)
	}
	for _, o := range many.wait(t) {
		if o.Problem != nil {
			t.Fatal(o.Problem)
		}
	}
	if n := w.Status().Counts.Checkpoints - rounds; n < 20 {
		t.Errorf("the flood was over in %d rounds: no flood", n)
	}
}

// A caller's share is bounded: what does not fit is refused whole, says when to come again, and leaves nothing.
func TestSequencerOverload(t *testing.T) {
	w, g := newGatedWorld(t, func(c *signer.Config) { c.QueueShare = 10 })
	first := w.occupy(g)
	fill := make([]signer.Submission, 10)
	for i := range fill {
		fill[i] = w.submission("@acme/fill", fmt.Sprintf("1.0.%d", i), "content")
	}
	filled := w.begin(t.Context(), "back end", fill...)
	w.queued(10)
	c := *w.caller
	c.Name = "back end"
	for n := 1; n <= 2; n++ {
		var subs []signer.Submission
		for i := range n {
			subs = append(subs, w.submission("@acme/widget", fmt.Sprintf("1.0.%d", i), "content"))
		}
		out, problem := w.Countersign(t.Context(), &c, subs, false)
		if out != nil || problem == nil || problem.Code() != signer.Overloaded || !problem.Retryable || problem.After < 1 {
			t.Fatalf("%+v", problem)
		}
	}
	other := w.begin(t.Context(), "another", w.submission("@acme/other", "1.0.0", "content"))
	w.queued(11)
	g.lift()
	first.wait(t)
	for _, o := range append(filled.wait(t), other.wait(t)...) {
		if o.Problem != nil {
			t.Fatal(o.Problem)
		}
	}
	if list, problem := w.Bundles(t.Context(), "pkg:npm/%40acme/widget@1.0.0", ""); problem != nil || len(list) != 0 {
		t.Fatal("what was refused was logged", problem)
	}
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
}

// A caller that goes away before its item is appended takes it along; one that goes away later does not, and finds it
// finished when it asks again.
func TestSequencerCallerGoesAway(t *testing.T) {
	w, g := newGatedWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	g.shut()
	size := w.Status().Size
	appended := w.submission("@acme/appended", "1.0.0", "content")
	first := w.begin(ctx, "first", appended)
	until(t, "appended", func() bool { return w.Status().Size == size+1 })
	dropped := w.submission("@acme/dropped", "1.0.0", "content")
	second := w.begin(ctx, "second", dropped, w.submission("@acme/dropped", "1.0.1", "content"))
	stays := w.begin(t.Context(), "third", w.submission("@acme/stays", "1.0.0", "content"))
	w.queued(3)
	cancel()
	g.lift()
	for _, o := range second.wait(t) {
		if o.Problem == nil || o.Problem.Code() != signer.SigningUnavailable || o.Problem.Logged {
			t.Fatalf("%+v", o.Problem)
		}
	}
	if out := stays.wait(t); out[0].Problem != nil {
		t.Fatal(out[0].Problem)
	}
	first.wait(t)
	if now := w.Status().Size; now != size+2 {
		t.Fatalf("%d entries", now-size)
	}
	if out := w.send(appended); out.Problem != nil || out.Created {
		t.Fatal("appended and not finished", out.Problem)
	}
	if out := w.send(dropped); out.Problem != nil || !out.Created {
		t.Fatal("dropped and yet logged", out.Problem)
	}
}

// What was admitted under a state that has changed since is admitted again: an enrolment that ended in between ends the
// item, with nothing logged.
func TestSequencerEnrolmentEndsWhileQueued(t *testing.T) {
	w, g := newGatedWorld(t, func(c *signer.Config) { c.MaxBatch = 1 })
	first := w.occupy(g)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.end(w.enrolment)
	}()
	w.queued(1)
	late := w.begin(t.Context(), w.caller.Name, w.submission("@acme/widget", "1.0.0", "content"))
	w.queued(2)
	size := w.Status().Size
	g.lift()
	first.wait(t)
	<-ended
	if out := late.wait(t); out[0].Problem == nil || out[0].Problem.Code() != signer.PublisherNotEnrolled {
		t.Fatalf("%+v", out[0].Problem)
	}
	if now := w.Status().Size; now != size+1 {
		t.Fatalf("%d entries were logged, the end is one", now-size)
	}
}

// inLedger appends behind the service's back, as another appliance on a shared ledger would.
func (w *world) inLedger(data []byte, state bool) {
	w.t.Helper()
	log, err := w.db.Log(w.Origin())
	must(w.t, err)
	keys, _, err := signer.Keys(0, data)
	must(w.t, err)
	e := ledger.Entry{Data: data, State: state}
	for _, k := range keys {
		e.Keys = append(e.Keys, ledger.Key{Hash: k, Ordinal: ledger.Next})
	}
	_, err = log.Append(w.t.Context(), log.Epoch(), []ledger.Entry{e})
	must(w.t, err)
}

// trap is the context of a caller about whom the sequencer asks while it decides on its batch: others act just then.
type trap struct {
	context.Context
	sprung sync.Once
	act    func()
}

func (c *trap) Err() error {
	c.sprung.Do(c.act)
	return c.Context.Err()
}

// State or entries that others append after an item was admitted are seen before it is appended.
func TestSequencerOthersAppend(t *testing.T) {
	for name, tt := range map[string]struct {
		other func(*world, signer.Submission)
		code  signer.Code // "" where it is countersigned
	}{
		"another publisher": {func(w *world, _ signer.Submission) {
			w.inLedger(w.certificate(w.officer, key("another"), nil).Envelope.JSON(), true)
		}, ""},
		"the publisher's end": {func(w *world, _ signer.Submission) {
			end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: w.enrolment.Digest(), Reason: "left", Ended: time.Now()}.Sign(w.officer)
			must(w.t, err)
			w.inLedger(end.Envelope.JSON(), true)
		}, signer.PublisherNotEnrolled},
		"a narrower identity": {func(w *world, _ signer.Submission) {
			w.succeed(func(id *provenance.Identity) { id.Namespaces = namespaces(w.t, "pkg:npm/@acme/other") })
		}, signer.NamespaceNotBound},
		"the same":           {func(w *world, sub signer.Submission) { w.inLedger(w.entryFor(sub, key("publisher")), false) }, ""},
		"the same elsewhere": {func(w *world, sub signer.Submission) { w.inLedger(w.entryFor(sub, key("another")), false) }, signer.PublicationConflict},
		"other content": {func(w *world, _ signer.Submission) {
			w.inLedger(w.entryFor(w.submission("@acme/widget", "1.0.0", "other"), w.publisher), false)
		}, signer.CoordinateConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 1, nil)
			sub := w.submission("@acme/widget", "1.0.0", "content")
			out := w.begin(&trap{Context: t.Context(), act: func() { tt.other(w, sub) }}, "late", sub).wait(t)
			if p := out[0].Problem; p != nil && p.Logged { // whoever appended it has the head signed
				out[0] = w.retry(sub)
			}
			if tt.code == "" && out[0].Problem != nil || tt.code != "" && (out[0].Problem == nil || out[0].Problem.Code() != tt.code) {
				t.Fatalf("%+v", out[0].Problem)
			}
			if tt.code == "" {
				if again := w.send(sub); again.Created || w.statementOf(t, again.Bundle) != w.statementOf(t, out[0].Bundle) {
					t.Fatal("not one countersignature", again.Problem)
				}
			}
		})
	}
}

// entryFor is the log entry of a submission signed by a publisher.
func (w *world) entryFor(sub signer.Submission, publisher ed25519.PrivateKey) []byte {
	w.t.Helper()
	p, err := provenance.ParsePublication(sub.Publication)
	must(w.t, err)
	e, err := provenance.Sign(sub.Publication.PayloadType, sub.Publication.Payload, publisher)
	must(w.t, err)
	p, err = provenance.ParsePublication(e)
	must(w.t, err)
	data, err := (&provenance.Countersignature{Publication: p, Enrolment: w.enrolment.Digest(), Claim: provenance.Claim{Registry: registry,
		Origin: w.Origin(), Identity: w.identity.Envelope.PayloadDigest(), Coordinate: p.Coordinate, At: time.Now()}}).Statement()
	must(w.t, err)
	return data
}

// An exclusion taken back after an item was admitted revives the statement that was there: there are not two.
func TestSequencerStatementRevived(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	sub := w.submission("@acme/widget", "1.0.0", "content")
	_, before := w.countersignature(w.accepted(sub))
	w.exclude(before.Proof.Index, int64(before.Proof.Index+1), "")
	revive := func() { w.succeed(func(id *provenance.Identity) { id.Excluded = []provenance.Exclusion{} }) }
	if out := w.begin(&trap{Context: t.Context(), act: revive}, "late", sub).wait(t); out[0].Problem != nil || out[0].Created {
		t.Fatalf("a second countersignature was logged: %+v", out[0].Problem)
	}
}

// Requests for one coordinate in one batch behave as if they came one after the other.
func TestSequencerOrderInBatch(t *testing.T) {
	w, g := newGatedWorld(t, nil)
	first := w.occupy(g)
	purl := "pkg:npm/%40acme/widget@1.0.0"
	content, other := w.submission("@acme/widget", "1.0.0", "content"), w.submission("@acme/widget", "1.0.0", "other")
	wants := []struct {
		sub     signer.Submission
		created bool
		code    signer.Code
	}{
		{w.statement(purl, "content"), true, ""},
		{other, false, signer.CoordinateConflict},
		{content, true, ""},
		{content, false, ""},
		{w.statement(purl, "other"), false, signer.CoordinateConflict},
		{w.statement(purl, "content"), false, ""},
		{w.submission("@acme/widget", "1.0.1", "content"), true, ""},
		{other, false, signer.CoordinateConflict},
		{content, false, ""},
	}
	var subs []signer.Submission
	for _, want := range wants {
		subs = append(subs, want.sub)
	}
	size := w.Status().Size
	p := w.begin(t.Context(), "batch", subs...)
	w.queued(len(subs))
	g.lift()
	first.wait(t)
	for i, o := range p.wait(t) {
		want := wants[i]
		if want.code != "" && (o.Problem == nil || o.Problem.Code() != want.code) || want.code == "" && (o.Problem != nil || o.Created != want.created) {
			t.Errorf("request %d: created %t, %v", i, o.Created, o.Problem)
		}
	}
	if now := w.Status().Size; now != size+3 {
		t.Errorf("%d entries", now-size)
	}
}

// A tail that nobody signed is signed first after a start. Meanwhile new work is refused with nothing logged, and what is
// in the tail is told to be logged.
func TestSequencerTailAfterStart(t *testing.T) {
	w, switches := newSwitchedWorld(t, 1, 1, func(c *signer.Config) { c.SignTimeout = 50 * time.Millisecond })
	switches[0].set(unplugged)
	tail := w.submission("@acme/widget", "1.0.0", "content")
	if out := w.send(tail); out.Problem == nil || !out.Problem.Logged {
		t.Fatalf("%+v", out.Problem)
	}
	w.restart()
	until(t, "stalled", func() bool { return w.Unready() == "stalled" })
	for range 3 {
		w.refused(w.submission("@acme/widget", "1.0.1", "content"), signer.SigningUnavailable)
		if out := w.send(tail); out.Problem == nil || !out.Problem.Logged || !out.Problem.Retryable {
			t.Fatalf("%+v", out.Problem)
		}
	}
	switches[0].set(nil)
	out := w.retry(tail)
	must(t, w.verify(out.Bundle, "pkg:npm/%40acme/widget@1.0.0", "content"))
	w.retry(w.submission("@acme/widget", "1.0.1", "content"))
}
