package signer_test

import (
	"context"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// entries are the log's, and those given.
func (w *world) entries(more ...string) []string {
	w.t.Helper()
	log, err := w.db.Log(w.identity.Open().Origin)
	must(w.t, err)
	var all []string
	must(w.t, log.Entries(context.Background(), 0, log.Size(), func(_ uint64, data []byte) error {
		all = append(all, string(data))
		return nil
	}))
	return append(all, more...)
}

// note is a checkpoint of the world's log with the signatures of the given agents, who are not asked.
func (w *world) note(head agent.Head, signers ...int) string {
	h := provenance.Head{Origin: w.guards[0].log.Origin, Size: head.Size, Root: head.Root}
	var signatures []provenance.KeySignature
	for _, i := range signers {
		k := w.guards[i].key
		raw, err := k.Sign(nil, []byte(h.Text()), crypto.Hash(0))
		must(w.t, err)
		signatures = append(signatures, provenance.KeySignature{Key: public(w.t, k), Signature: raw})
	}
	return provenance.SignedNote(h, signatures)
}

// An agent led on to a branch of its own, or ahead by a size that no ledger has, is lost to the log and harms nobody: it
// is never asked again, the others go on, and when too few are left everything stops.
func TestInvariant3_ForkedAgents(t *testing.T) {
	for name, lead := range map[string]func(*testing.T, *world, int){"forked": leadAstray, "ahead": leadAhead} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, 3, nil)
			w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
			until(t, "everybody holds the head", func() bool { return w.holds(w.Status().Size) == 3 })
			w.stop()
			lead(t, w, 2)
			mark := w.guards[2].Guard.Watermark()
			w.start()
			for i := range 3 {
				bundle := w.accepted(w.submission("@acme/widget", fmt.Sprintf("1.1.%d", i), "content"))
				must(t, w.verify(bundle, fmt.Sprintf("pkg:npm/%%40acme/widget@1.1.%d", i), "content"))
			}
			w.waitPhase("c", "diverged")
			if w.guards[2].Guard.Watermark() != mark {
				t.Fatal("a diverged agent was asked")
			}
			until(t, "the others hold the head", func() bool { return w.holds(w.Status().Size) == 2 })
			w.stop()
			lead(t, w, 1)
			w.start()
			w.waitPhase("b", "diverged")
			w.refused(w.submission("@acme/widget", "1.2.0", "content"), signer.Frozen)
		})
	}
}

// leadAstray has an agent sign a branch that has another next entry.
func leadAstray(t *testing.T, w *world, i int) {
	branch := newTree(w.entries(fmt.Sprint("invented for ", i))...)
	g := w.guards[i].Guard
	_, err := g.Sign(t.Context(), branch.head().Size, branch.head().Root, branch.proof(g.Watermark().Size))
	must(t, err)
}

// leadAhead has an agent sign a tree with very many entries that do not exist: a guard sees hashes only.
func leadAhead(t *testing.T, w *world, i int) {
	g := w.guards[i].Guard
	head, proof := newTree(w.entries()...).ahead(40)
	_, err := g.Sign(t.Context(), head.Size, head.Root, proof)
	must(t, err)
}

// ahead invents everything to the right of the tree, up to 2^levels entries, and proves that it extends the tree.
func (t *tree) ahead(levels int) (agent.Head, []tlog.Hash) {
	size := int64(1)
	entries := *t
	for size < t.size {
		size *= 2
	}
	for entries.size < size {
		hashes, err := tlog.StoredHashes(entries.size, []byte("invented"), &entries)
		if err != nil {
			panic(err)
		}
		entries.hashes = append(entries.hashes, hashes...)
		entries.size++
	}
	head, proof := entries.head(), []tlog.Hash(nil)
	if size > t.size {
		proof = entries.proof(uint64(t.size))
	}
	for head.Size < 1<<levels {
		right := tlog.Hash{byte(len(proof) + 1)}
		head = agent.Head{Size: 2 * head.Size, Root: tlog.NodeHash(head.Root, right)}
		proof = append(proof, right)
	}
	return head, proof
}

// A watermark cannot be pushed by recording: that takes m signatures by the log's keys, which a daemon does not have.
func TestInvariant3_WatermarkPushedByRecord(t *testing.T) {
	w := newWorld(t, 2, 3, nil)
	w.stop()
	honest := newTree(w.entries()...)
	head, proof := honest.ahead(40)
	stranger := key("stranger")
	h := provenance.Head{Origin: w.guards[0].log.Origin, Size: head.Size, Root: head.Root}
	raw, err := stranger.Sign(nil, []byte(h.Text()), crypto.Hash(0))
	must(t, err)
	own := []provenance.KeySignature{{Key: public(t, stranger), Signature: raw}}
	as := func(i int) []provenance.KeySignature {
		return []provenance.KeySignature{{Key: public(t, w.guards[i].key), Signature: raw}}
	}
	one, line := w.note(head, 1), strings.TrimPrefix(w.note(head, 1), h.Text()+"\n")
	attacks := map[string]string{
		"nobody's signature":     provenance.SignedNote(h, nil),
		"one signature of two":   one,
		"one signature twice":    one + line,
		"one and a stranger's":   one + strings.TrimPrefix(provenance.SignedNote(h, own), h.Text()+"\n"),
		"one and a forged one":   one + strings.TrimPrefix(provenance.SignedNote(h, as(2)), h.Text()+"\n"),
		"two forged ones":        provenance.SignedNote(h, slices.Concat(as(1), as(2))),
		"two over another head":  strings.Replace(w.note(honest.head(), 1, 2), honest.head().Text(h.Origin), h.Text(), 1),
		"two for another origin": strings.Replace(w.note(head, 1, 2), h.Origin, registry+"/countersign/2", 1),
		"not a note":             "countersign",
		"empty":                  "",
	}
	for name, note := range attacks {
		before := w.guards[0].Guard.Watermark()
		if _, err := w.guards[0].Guard.Record(t.Context(), []byte(note), proof); err == nil || w.guards[0].Guard.Watermark() != before {
			t.Errorf("%s: recorded (%v)", name, err)
		}
	}
	if _, err := w.guards[0].Guard.Record(t.Context(), []byte(w.note(head, 1, 2)), nil); err == nil {
		t.Error("recorded without a proof that it extends the watermark")
	}
	if _, err := w.guards[0].Guard.Record(t.Context(), []byte(w.note(head, 1, 2)), proof); err != nil {
		t.Errorf("with m signatures, which only the keys can make: %v", err)
	}
	w.start()
}

// copyLedger keeps a copy of the stopped world's ledger; the result puts it back.
func (w *world) copyLedger() (restore func()) {
	kept := filepath.Join(w.t.TempDir(), "kept")
	w.reopen(func(dir string) { must(w.t, os.CopyFS(kept, os.DirFS(dir))) })
	return func() {
		w.reopen(func(dir string) {
			must(w.t, os.RemoveAll(dir))
			must(w.t, os.CopyFS(dir, os.DirFS(kept)))
			must(w.t, os.Chmod(dir, 0o700))
		})
	}
}

// A ledger restored from an older copy has lost what was answered: every agent that signed it is found diverged, the
// service refuses all work, and nobody signs anything, whatever is tried.
func TestInvariant3_RolledBackLedger(t *testing.T) {
	for _, rule := range [][2]int{{1, 1}, {2, 3}, {1, 2}, {2, 4}} {
		t.Run(fmt.Sprintf("%d of %d", rule[0], rule[1]), func(t *testing.T) {
			t.Parallel()
			w, switches := newSwitchedWorld(t, rule[0], rule[1], func(c *signer.Config) { c.SignTimeout = 100 * time.Millisecond })
			last := w.guards[rule[1]-1]
			if rule[1] > 1 { // one agent lags, and knows nothing of what the ledger will lose
				must(t, w.DrainAgent(last.name))
				switches[rule[1]-1].set(unplugged)
			}
			w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
			w.stop()
			restore := w.copyLedger()
			w.start()
			if rule[1] > 1 {
				must(t, w.DrainAgent(last.name))
			}
			w.accepted(w.submission("@acme/widget", "1.0.1", "content"))
			until(t, "the others hold it", func() bool { return w.holds(w.Status().Size) >= max(1, rule[1]-1) })
			w.stop()
			restore()
			var marks []agent.Head
			for i, g := range w.guards {
				marks = append(marks, g.Guard.Watermark())
				switches[i].set(nil)
			}
			w.start()
			w.waitPhase("a", "diverged")
			for _, g := range w.guards[:max(1, rule[1]-1)] {
				w.waitPhase(g.name, "diverged")
			}
			for i := range 3 {
				w.refused(w.submission("@acme/widget", fmt.Sprintf("2.0.%d", i), "content"), signer.Frozen)
			}
			w.operatorCannotHelp(last.name)
			for i, g := range w.guards {
				if now := g.Guard.Watermark(); now != marks[i] && !(g == last && rule[1] > 1 && now.Size <= w.Status().Checkpoint) {
					t.Fatalf("agent %s signed size %d after the ledger was rolled back", g.name, now.Size)
				}
			}
		})
	}
}

// operatorCannotHelp tries what an operator might, to have the agents that lag sign alone.
func (w *world) operatorCannotHelp(last string) {
	w.t.Helper()
	for _, g := range w.guards {
		if w.phase(g.name) != "diverged" {
			continue
		}
		if err := w.DrainAgent(g.name); err == nil {
			w.t.Errorf("diverged agent %s was drained: it no longer stands in the way of a fork", g.name)
		}
		must(w.t, w.ReturnAgent(g.name))
		w.waitPhase(g.name, "diverged")
	}
	if w.phase(last) != "diverged" {
		must(w.t, w.DrainAgent(last))
		must(w.t, w.ReturnAgent(last))
	}
	must(w.t, w.Thaw())
	w.refused(w.submission("@acme/widget", "3.0.0", "content"), signer.Frozen)
}

// An agent whose state directory was restored from a copy is behind, which an honest daemon makes good before it has it
// sign anything.
func TestInvariant3_RolledBackAgent(t *testing.T) {
	w := newWorld(t, 2, 3, nil)
	old, err := os.ReadFile(agent.StatePath(w.guards[0].dir, w.Origin()))
	must(t, err)
	for i := range 3 {
		w.accepted(w.submission("@acme/widget", fmt.Sprintf("1.0.%d", i), "content"))
	}
	w.stop()
	must(t, w.guards[0].state.Close())
	must(t, os.WriteFile(agent.StatePath(w.guards[0].dir, w.Origin()), old, 0o600))
	w.guards[0].open(t)
	if size := w.guards[0].Guard.Watermark().Size; size >= w.Status().Checkpoint {
		t.Fatalf("the agent is not behind: %d", size)
	}
	var recorded bool
	w.guards[0].fault = func(_ context.Context, op string) error {
		if op == "sign" && !recorded {
			t.Error("asked to sign before it held the stored checkpoint")
		}
		recorded = recorded || op == "record"
		return nil
	}
	w.start()
	w.accepted(w.submission("@acme/widget", "1.0.3", "content"))
	until(t, "the agent is where the others are", func() bool { return w.holds(w.Status().Size) == 3 })
}
