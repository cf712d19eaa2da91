package signer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// witness is an agent that looks at something before it signs.
type witness struct {
	*guardAgent
	before func(agent.Head)
}

func (a *witness) Sign(ctx context.Context, origin string, head agent.Head, proof []tlog.Hash) ([64]byte, agent.Head, error) {
	a.before(head)
	return a.guardAgent.Sign(ctx, origin, head, proof)
}

// onDisk opens a copy of the world's ledger as it is on disk now, as a start after kill -9 would find it.
func (w *world) onDisk(t testing.TB) *ledger.DB {
	dir := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join(w.dir, "ledger"))))
	db, err := ledger.Open(dir)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// Log before sign: whenever an agent is asked to sign a head, the ledger on disk has every entry under it, with that root;
// and the checkpoint on disk is still the one before.
func TestInvariant1_LogBeforeSign(t *testing.T) {
	var w *world
	var mu sync.Mutex
	asked := map[uint64]bool{}
	look := func(head agent.Head) {
		mu.Lock()
		defer mu.Unlock()
		if asked[head.Size] {
			return
		}
		asked[head.Size] = true
		log, err := w.onDisk(t).Log(w.Origin())
		if err != nil || log.Size() < head.Size {
			t.Errorf("asked to sign size %d, on disk: %v", head.Size, err)
			return
		}
		if root, err := log.Root(head.Size); err != nil || root != tlog.Hash(head.Root) {
			t.Errorf("asked to sign size %d with a root that is not on disk: %v", head.Size, err)
		}
		if stored := log.Checkpoint().Size; stored >= head.Size {
			t.Errorf("the checkpoint of size %d was stored before size %d was signed", stored, head.Size)
		}
	}
	w = newWorld(t, 1, 1, nil)
	w.stop()
	w.config.Agents[0].Agent = &witness{w.guards[0], look}
	w.start()
	for i := range 5 {
		w.accepted(w.submission("@acme/widget", fmt.Sprintf("1.0.%d", i), "content"))
	}
	batch := make([]signer.Submission, 20)
	for i := range batch {
		batch[i] = w.submission("@acme/batch", fmt.Sprintf("1.0.%d", i), "content")
	}
	out, problem := w.Countersign(t.Context(), w.caller, batch, false)
	if problem != nil {
		t.Fatal(problem)
	}
	last, err := provenance.ParseBundle(out[19].Bundle)
	must(t, err)
	mu.Lock()
	defer mu.Unlock()
	if !asked[last.Proof.Index+1] || len(asked) < 6 {
		t.Fatalf("signed were %v", asked)
	}
}
