package signer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"countersign.dev/agent"
	"countersign.dev/signer"
)

// unplugged makes an agent fail as one does whose process is gone.
func unplugged(context.Context, string) error { return errors.New("connection refused") }

// hung makes an agent keep its caller waiting.
func hung(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }

// switchable is a fault that can be turned on and off while the service runs.
type switchable struct {
	mu    sync.Mutex
	fault func(context.Context, string) error
}

func (s *switchable) set(f func(context.Context, string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *switchable) trip(ctx context.Context, op string) error {
	s.mu.Lock()
	f := s.fault
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, op)
}

// withSwitches gives every agent of the world a switch.
func (w *world) withSwitches() []*switchable {
	var all []*switchable
	for _, g := range w.guards {
		s := new(switchable)
		g.fault = s.trip
		all = append(all, s)
	}
	return all
}

func newSwitchedWorld(t testing.TB, m, n int, adjust func(*signer.Config)) (*world, []*switchable) {
	var switches []*switchable
	w := newWorld(t, m, n, func(c *signer.Config) {
		for i := range c.Agents {
			s := new(switchable)
			c.Agents[i].Agent.(*guardAgent).fault = s.trip
			switches = append(switches, s)
		}
		if adjust != nil {
			adjust(c)
		}
	})
	return w, switches
}

func (w *world) phase(name string) string {
	for _, a := range w.Status().Agents {
		if a.Name == name {
			return a.Phase
		}
	}
	return ""
}

func (w *world) waitPhase(name, phase string) {
	w.t.Helper()
	for range 500 {
		if w.phase(name) == phase {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("agent %s is %s, want %s", name, w.phase(name), phase)
}

// Two of three go on without a gap when one is gone or hangs; it catches up by itself.
func TestInvariant2_MajorityGoesOn(t *testing.T) {
	for name, fault := range map[string]func(context.Context, string) error{"gone": unplugged, "hung": hung} {
		t.Run(name, func(t *testing.T) {
			w, switches := newSwitchedWorld(t, 2, 3, nil)
			w.waitPhase("c", "active")
			switches[2].set(fault)
			for i := range 20 {
				start := time.Now()
				out := w.send(w.submission("@acme/widget", fmt.Sprintf("1.0.%d", i), "content"))
				if out.Problem != nil {
					t.Fatal(out.Problem)
				}
				if d := time.Since(start); d > time.Second {
					t.Fatalf("waited %s for an agent that was not needed", d)
				}
			}
			switches[2].set(nil)
			start := time.Now()
			for w.guards[2].Guard.Watermark().Size != w.Status().Checkpoint {
				if time.Since(start) > 10*time.Second {
					t.Fatalf("the returned agent holds size %d, the checkpoint has %d", w.guards[2].Guard.Watermark().Size, w.Status().Checkpoint)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

// One of two: a missing agent stops release until it is drained, and returns only when it knows what was released.
func TestInvariant2_HoldingRule(t *testing.T) {
	w, switches := newSwitchedWorld(t, 1, 2, func(c *signer.Config) { c.SignTimeout = 300 * time.Millisecond })
	switches[1].set(unplugged)
	sub := w.submission("@acme/widget", "1.0.0", "content")
	out := w.send(sub)
	if out.Problem == nil || out.Problem.Code() != signer.SigningUnavailable || !out.Problem.Logged {
		t.Fatalf("released with one holder of two: %+v", out.Problem)
	}
	before := w.Status()
	if out := w.send(w.submission("@acme/widget", "1.0.1", "content")); out.Problem == nil || out.Problem.Logged {
		t.Fatalf("new work was taken behind an unsigned tail: %+v", out.Problem)
	}
	if after := w.Status(); after.Size != before.Size {
		t.Fatal("an entry was logged behind an unsigned tail")
	}
	must(t, w.DrainAgent("b"))
	again := w.retry(sub)
	if err := w.verify(again.Bundle, "pkg:npm/%40acme/widget@1.0.0", "content"); err != nil {
		t.Fatal(err)
	}
	// Returned, it must learn the released head before it counts.
	must(t, w.ReturnAgent("b"))
	time.Sleep(50 * time.Millisecond)
	if p := w.phase("b"); p != "returning" {
		t.Fatalf("an agent that does not answer is %s", p)
	}
	switches[1].set(nil)
	w.waitPhase("b", "active")
	if got, want := w.guards[1].Guard.Watermark().Size, w.Status().Checkpoint; got != want {
		t.Fatalf("the returned agent holds %d, released is %d", got, want)
	}
	if out := w.send(w.submission("@acme/widget", "1.0.2", "content")); out.Problem != nil {
		t.Fatal(out.Problem)
	}
	if w.guards[0].Guard.Watermark() != w.guards[1].Guard.Watermark() {
		t.Fatal("a head was released that only one of two agents holds")
	}
}

// retry sends until the answer is definite.
func (w *world) retry(sub signer.Submission) signer.Outcome {
	w.t.Helper()
	for range 300 {
		out := w.send(sub)
		if out.Problem == nil || !out.Problem.Retryable {
			if out.Problem != nil {
				w.t.Fatal(out.Problem)
			}
			return out
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.t.Fatal("no answer in time")
	return signer.Outcome{}
}

// An agent with another history is never asked again; service goes on while the rule can be met, else it freezes.
func TestInvariant3_Diverged(t *testing.T) {
	w, switches := newSwitchedWorld(t, 2, 3, nil)
	signs := 0
	diverge := func(i int) {
		g := w.guards[i]
		w.waitPhase(g.name, "active")
		switches[i].set(func(_ context.Context, op string) error {
			if op == "sign" {
				signs++
			}
			return &agent.RefusedError{Reason: "another root at this size", Watermark: agent.Head{Size: 1, Root: [32]byte{1}}}
		})
	}
	diverge(2)
	if out := w.send(w.submission("@acme/widget", "1.0.0", "content")); out.Problem != nil {
		t.Fatal(out.Problem)
	}
	w.waitPhase("c", "diverged")
	signs = 0
	for i := range 5 {
		if out := w.send(w.submission("@acme/widget", fmt.Sprintf("2.0.%d", i), "content")); out.Problem != nil {
			t.Fatal(out.Problem)
		}
	}
	if signs != 0 {
		t.Fatalf("a diverged agent was asked to sign %d times", signs)
	}
	diverge(1)
	out := w.send(w.submission("@acme/widget", "3.0.0", "content"))
	if out.Problem == nil || !out.Problem.Logged {
		t.Fatalf("one agent of three answered: %+v", out.Problem)
	}
	size := w.Status().Size
	out = w.send(w.submission("@acme/widget", "4.0.0", "content"))
	if out.Problem == nil || out.Problem.Code() != signer.Frozen {
		t.Fatalf("too few agents, and yet: %+v", out.Problem)
	}
	if w.Status().Size != size {
		t.Fatal("an entry was logged while frozen")
	}
}

// A bad signature is not released, and the agent that made it is not asked again before an operator acts.
func TestInvariant2_BadSignature(t *testing.T) {
	var wrong wrongSigner
	w := newWorld(t, 2, 3, func(c *signer.Config) {
		wrong.guardAgent = c.Agents[0].Agent.(*guardAgent)
		c.Agents[0].Agent = &wrong
	})
	w.waitPhase("a", "active")
	wrong.bad.Store(true)
	out := w.send(w.submission("@acme/widget", "1.0.0", "content"))
	if out.Problem != nil {
		t.Fatal(out.Problem)
	}
	if err := w.verify(out.Bundle, "pkg:npm/%40acme/widget@1.0.0", "content"); err != nil {
		t.Fatal(err)
	}
	w.waitPhase("a", "stopped")
	wrong.bad.Store(false)
	must(t, w.ReturnAgent("a"))
	w.waitPhase("a", "active")
	if err := w.ReturnAgent("a"); err == nil {
		t.Fatal("an active agent was returned")
	}
	if err := w.DrainAgent("nobody"); err == nil {
		t.Fatal("an agent that does not exist was drained")
	}
}
