package signer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// holds counts the agents whose guards hold the world's whole log durably.
func (w *world) holds(size uint64) int {
	n := 0
	for _, g := range w.guards {
		if g.Guard.Watermark().Size == size {
			n++
		}
	}
	return n
}

// until waits for something that must come about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("not in time: " + what)
}

// Hold: agents come one by one. Until max(m, n-m+1) of n hold the head nothing is stored, answered or shown; then it is.
func TestInvariant2_HoldersBeforeRelease(t *testing.T) {
	for _, rule := range []struct{ m, n, w int }{{1, 1, 1}, {1, 2, 2}, {2, 3, 2}, {2, 4, 3}, {3, 5, 3}, {3, 3, 3}, {1, 3, 3}} {
		t.Run(fmt.Sprintf("%d of %d", rule.m, rule.n), func(t *testing.T) {
			t.Parallel()
			w, switches := newSwitchedWorld(t, rule.m, rule.n, func(c *signer.Config) { c.SignTimeout = 50 * time.Millisecond })
			for _, g := range w.guards {
				w.waitPhase(g.name, "active")
			}
			for _, s := range switches {
				s.set(unplugged)
			}
			before := w.Status().Checkpoint
			sub := w.submission("@acme/widget", "1.0.0", "content")
			out := w.send(sub)
			if out.Problem == nil || !out.Problem.Logged || !out.Problem.Retryable {
				t.Fatalf("answered with no agent: %+v", out.Problem)
			}
			size := w.Status().Size
			for i, s := range switches {
				if i == rule.w {
					break
				}
				w.unreleased(t, before)
				s.set(nil)
				until(t, "the agent signs", func() bool { return w.guards[i].Guard.Watermark().Size == size })
			}
			until(t, "released", func() bool { return w.Status().Checkpoint == size })
			if n := w.holds(size); n < rule.w {
				t.Fatalf("released with %d holders of %d", n, rule.w)
			}
			again := w.retry(sub)
			if err := w.verify(again.Bundle, "pkg:npm/%40acme/widget@1.0.0", "content"); err != nil || again.Created {
				t.Fatal(err, again.Created)
			}
		})
	}
}

// unreleased checks, for longer than agents pause, that no head beyond size is stored or shown.
func (w *world) unreleased(t *testing.T, size uint64) {
	t.Helper()
	time.Sleep(60 * time.Millisecond)
	if now := w.Status().Checkpoint; now != size {
		t.Fatalf("size %d was released with %d holders", now, w.holds(w.Status().Size))
	}
	_, problem := w.Bundle(context.Background(), w.npm("@acme/widget", "1.0.0").Hash())
	if problem == nil || problem.Code() != signer.NotFound {
		t.Fatalf("an entry beyond the stored checkpoint was shown: %+v", problem)
	}
}

// Release: what is answered is under a checkpoint that is on disk, in the answer itself, verified, and held.
func TestInvariant2_StoredBeforeAnswered(t *testing.T) {
	w := newWorld(t, 2, 3, nil)
	for i := range 5 {
		bundle := w.accepted(w.submission("@acme/widget", fmt.Sprintf("1.0.%d", i), "content"))
		log, err := w.onDisk(t).Log(w.Origin())
		must(t, err)
		b, err := provenance.ParseBundle(bundle)
		must(t, err)
		stored := log.Checkpoint()
		if b.Proof.Checkpoint != string(stored.Note) {
			t.Fatalf("answered with a checkpoint that is not the one on disk:\n%s\n%s", b.Proof.Checkpoint, stored.Note)
		}
		cp, err := provenance.ParseCheckpoint(b.Proof.Checkpoint)
		must(t, err)
		must(t, w.identity.Open().Counts(cp, nil))
		if n := w.holds(stored.Size); n < 2 {
			t.Fatalf("%d agents hold size %d", n, stored.Size)
		}
	}
}

// deaf is an agent that signs, but whose answers get lost.
type deaf struct{ *guardAgent }

func (a deaf) Sign(ctx context.Context, origin string, head agent.Head, proof []tlog.Hash) ([64]byte, agent.Head, error) {
	if _, _, err := a.guardAgent.Sign(ctx, origin, head, proof); err != nil {
		return [64]byte{}, agent.Head{}, err
	}
	return [64]byte{}, agent.Head{}, errors.New("connection reset")
}

// Holding is durable knowledge: an agent whose signature got lost holds the head all the same, and is not counted as a
// signer.
func TestInvariant2_HoldersNeedNotSign(t *testing.T) {
	for _, tt := range []struct {
		m, n int
		ok   bool
	}{{1, 2, true}, {2, 2, false}} {
		w := newWorld(t, tt.m, tt.n, func(c *signer.Config) { c.SignTimeout = time.Second })
		w.stop()
		w.config.Agents[1].Agent = deaf{w.guards[1]}
		w.start()
		out := w.send(w.submission("@acme/widget", "1.0.0", "content"))
		if (out.Problem == nil) != tt.ok {
			t.Errorf("%d of %d with a lost signature: %+v", tt.m, tt.n, out.Problem)
		}
	}
}

// Verify: a valid signature by another key of the log than the agent's own, or over another head, is not taken.
func TestInvariant2_SignaturesOfOthersDoNotCount(t *testing.T) {
	w := newWorld(t, 2, 3, nil)
	w.stop()
	for i := range w.config.Agents {
		w.config.Agents[i].Agent = w.guards[(i+1)%3] // each answers with its neighbour's signature
	}
	w.start()
	out := w.send(w.submission("@acme/widget", "1.0.0", "content"))
	if out.Problem == nil {
		t.Fatal("released")
	}
	w.waitPhase("a", "stopped")
	if cp := w.Status().Checkpoint; cp != w.Status().Size-1 {
		t.Fatalf("checkpoint %d of %d", cp, w.Status().Size)
	}
}

// Whatever an operator does, the rule never falls below m signatures.
func TestInvariant2_AllDrained(t *testing.T) {
	w := newWorld(t, 2, 3, func(c *signer.Config) { c.SignTimeout = 100 * time.Millisecond })
	must(t, w.DrainAgent("a"))
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	must(t, w.DrainAgent("b"))
	w.refused(w.submission("@acme/widget", "1.0.1", "content"), signer.Frozen)
	must(t, w.DrainAgent("c"))
	w.refused(w.submission("@acme/widget", "1.0.1", "content"), signer.Frozen)
	for _, name := range []string{"a", "b", "c"} {
		must(t, w.ReturnAgent(name))
	}
	w.retry(w.submission("@acme/widget", "1.0.1", "content"))
}
