package signer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// lateWitness is an agent whose signature is durable but lost on the way, and whose next answer about its watermark comes
// only when it is let go.
type lateWitness struct {
	*guardAgent
	lose   chan struct{} // closed: signatures get lost
	asked  chan struct{} // gets a value when the watermark is asked for after a loss
	letGo  chan struct{}
	losing bool
}

func (g *lateWitness) Sign(ctx context.Context, origin string, head agent.Head, proof []tlog.Hash) ([64]byte, agent.Head, error) {
	sig, mark, err := g.guardAgent.Sign(ctx, origin, head, proof)
	select {
	case <-g.lose:
		g.losing = true
		return sig, mark, context.DeadlineExceeded
	default:
		return sig, mark, err
	}
}

func (g *lateWitness) Watermark(ctx context.Context, origin string) (agent.Head, error) {
	if g.losing {
		g.asked <- struct{}{}
		<-g.letGo
	}
	return g.guardAgent.Watermark(ctx, origin)
}

// A drained agent is out of the rule on both sides: what it turns out to hold does not stand in for an agent that counts.
func TestInvariant2_DrainedAgentHoldsNothing(t *testing.T) {
	late := &lateWitness{lose: make(chan struct{}), asked: make(chan struct{}, 16), letGo: make(chan struct{})}
	var unplug *switchable
	w := newWorld(t, 1, 3, func(c *signer.Config) {
		c.SignTimeout = 300 * time.Millisecond
		late.guardAgent = c.Agents[2].Agent.(*guardAgent)
		c.Agents[2].Agent = late
		unplug = new(switchable)
		c.Agents[1].Agent.(*guardAgent).fault = unplug.trip
	})
	for _, name := range []string{"a", "b", "c"} {
		w.waitPhase(name, "active")
	}
	unplug.set(unplugged)
	close(late.lose)
	released := w.Status().Checkpoint
	if out := w.send(w.submission("@acme/widget", "1.0.0", "content")); out.Problem == nil {
		t.Fatal("released while one agent of three was unplugged and another's answer was lost")
	}
	<-late.asked
	must(t, w.DrainAgent("c"))
	close(late.letGo)
	time.Sleep(700 * time.Millisecond)
	if got := w.Status().Checkpoint; got != released {
		t.Fatalf("size %d was released: of the two agents that count, b holds only %d", got, w.guards[1].Guard.Watermark().Size)
	}
}

// Fewer agents than the rule needs could log work that nobody can release.
func TestTooFewAgentsConfigured(t *testing.T) {
	w := newWorld(t, 1, 2, nil)
	w.stop()
	c := w.config
	c.Agents = c.Agents[:1]
	if _, err := signer.New(c); err == nil || !strings.Contains(err.Error(), "fewer than 2") {
		t.Fatalf("one agent of two with threshold 1: %v", err)
	}
}

// A key without an agent here counts, and is not one that is left.
func TestTooFewAgentsLeft(t *testing.T) {
	var wrong wrongSigner
	w := newWorld(t, 2, 3, func(c *signer.Config) {
		c.Agents = c.Agents[:2]
		wrong.guardAgent = c.Agents[0].Agent.(*guardAgent)
		c.Agents[0].Agent = &wrong
	})
	wrong.bad.Store(true)
	if out := w.send(w.submission("@acme/widget", "1.0.0", "content")); out.Problem == nil || !out.Problem.Logged {
		t.Fatalf("%+v", out.Problem)
	}
	w.waitPhase("a", "stopped")
	size := w.Status().Size
	if out := w.send(w.submission("@acme/widget", "1.0.1", "content")); out.Problem == nil || out.Problem.Code() != signer.Frozen {
		t.Fatalf("%+v", out.Problem)
	}
	if w.Status().Size != size {
		t.Fatal("work was logged that nobody can release")
	}
}

// A freeze stops what is queued too: nothing is logged any more.
func TestFreezeStopsTheQueue(t *testing.T) {
	w, g := newGatedWorld(t, nil)
	first := w.occupy(g)
	queued := w.begin(t.Context(), "other", w.submission("@acme/widget", "1.0.0", "content"))
	w.queued(1)
	must(t, w.Freeze("incident"))
	size := w.Status().Size
	g.lift()
	if out := first.wait(t); out[0].Problem != nil {
		t.Fatal("what was logged before the freeze was not answered:", out[0].Problem)
	}
	if out := queued.wait(t); out[0].Problem == nil || out[0].Problem.Code() != signer.Frozen {
		t.Fatalf("%+v", out[0].Problem)
	}
	if w.Status().Size != size {
		t.Fatal("something was logged after the freeze")
	}
}

// In one batch, what comes after the end of an enrolment is decided by the state that the end makes.
func TestNothingUnderAnEndedEnrolment(t *testing.T) {
	w, g := newGatedWorld(t, nil)
	e := w.enrol(key("another publisher"), "pkg:npm/@acme/other")
	end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: e.Digest(), Reason: "test", Ended: time.Now()}.Sign(w.officer)
	must(t, err)
	first := w.occupy(g)
	ended := make(chan *signer.Problem, 1)
	go func() {
		out, problem := w.Enrol(t.Context(), w.caller, []*provenance.Envelope{end.Envelope})
		if problem == nil {
			problem = out[0].Problem
		}
		ended <- problem
	}()
	w.queued(1)
	publisher := w.publisher
	w.publisher = key("another publisher")
	sub := w.submission("@acme/other", "1.0.0", "content")
	w.publisher = publisher
	late := w.begin(t.Context(), w.caller.Name, sub) // behind the end in the same line
	w.queued(2)
	g.lift()
	first.wait(t)
	if problem := <-ended; problem != nil {
		t.Fatal(problem)
	}
	if out := late.wait(t); out[0].Problem == nil || out[0].Problem.Code() != signer.PublisherNotEnrolled {
		t.Fatalf("countersigned behind the end of its enrolment: %+v", out[0].Problem)
	}
}

// A grant's namespaces bound enrolments as they bound publications.
func TestEnrolGrantIsBounded(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	narrow := &signer.Caller{Name: "narrow", Grants: []signer.Grant{{Registry: registry, Roles: []signer.Role{signer.Enrol}, Namespaces: namespaces(t, "pkg:npm/@acme/*")}}}
	certificate := func(pattern string) *provenance.Enrolment {
		e, err := provenance.Enrolment{Registry: registry, Publisher: public(t, key("another publisher")), Namespaces: namespaces(t, pattern), Issued: time.Now().Add(-time.Minute)}.Sign(w.officer)
		must(t, err)
		return e
	}
	wide := certificate("pkg:pypi/acme-*")
	end, err := provenance.EnrolmentEnd{Registry: registry, Enrolment: w.enrol(key("third publisher"), "pkg:pypi/acme-x").Digest(), Reason: "test", Ended: time.Now()}.Sign(w.officer)
	must(t, err)
	for name, tt := range map[string]struct {
		envelope *provenance.Envelope
		refused  bool
	}{
		"within":            {certificate("pkg:npm/@acme/x").Envelope, false},
		"outside":           {wide.Envelope, true},
		"the end of others": {end.Envelope, true},
	} {
		out, problem := w.Enrol(t.Context(), narrow, []*provenance.Envelope{tt.envelope})
		if problem != nil {
			t.Fatal(problem)
		}
		if got := out[0].Problem != nil && out[0].Problem.Code() == signer.CallerNotAuthorized; got != tt.refused {
			t.Errorf("%s: %+v", name, out[0].Problem)
		}
	}
}
