package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// answered is one bundle that a caller was given.
type answered struct {
	purl, content string
	bundle        []byte
}

// load publishes under churn: every worker sends a request until its answer is definite, as a registry's outbox does.
type load struct {
	*appliance
	mu      sync.Mutex
	answers []answered
	sent    int
}

func (l *load) worker(ctx context.Context, id int) {
	for n := 0; ctx.Err() == nil; n++ {
		name, content := fmt.Sprintf("@acme/w%d", id), fmt.Sprintf("content %d", n)
		version := fmt.Sprintf("1.0.%d", n)
		body := l.request(name, version, content)
		for ctx.Err() == nil {
			status, answer := l.post(ctx, "/countersignatures", "application/json", body)
			if status == http.StatusCreated || status == http.StatusOK {
				l.mu.Lock()
				l.answers = append(l.answers, answered{fmt.Sprintf("pkg:npm/%%40acme/w%d@%s", id, version), content, answer})
				l.mu.Unlock()
				break
			}
			if status >= 400 && status < 500 && status != http.StatusTooManyRequests {
				l.t.Errorf("%s@%s: %d %s", name, version, status, answer)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// kill -9 of the daemon or an agent, 50 times at random moments under load: nothing that was answered is lost, no
// coordinate has two contents, no fork, and every restart is by itself.
func TestKill(t *testing.T) {
	a := newAppliance(t, 2, "a", "b", "c")
	l := &load{appliance: a}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var group sync.WaitGroup
	for id := range 8 {
		group.Go(func() { l.worker(ctx, id) })
	}
	for round := range 50 {
		time.Sleep(time.Duration(50+rand.IntN(150)) * time.Millisecond)
		if round%2 == 0 {
			a.kill("daemon")
			a.startDaemon()
		} else {
			name := a.agents[rand.IntN(len(a.agents))]
			a.kill(name)
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			a.startAgent(name)
		}
	}
	time.Sleep(200 * time.Millisecond)
	cancel()
	group.Wait()
	a.stop()
	l.check()
}

// check holds every answer to the final log.
func (l *load) check() {
	t := l.t
	db, err := ledger.Open(l.path("ledger"))
	must(t, err)
	defer db.Close()
	log, err := db.Log(origin)
	must(t, err)
	seen := make(map[string]string)
	must(t, log.Entries(context.Background(), 0, log.Size(), func(i uint64, data []byte) error {
		entry, err := provenance.ParseEntry(data)
		if err != nil {
			return err
		}
		if c, ok := entry.(*provenance.Countersignature); ok {
			if before, twice := seen[c.Coordinate.String()]; twice {
				return fmt.Errorf("%s has two entries, with %s and %s", c.Coordinate, before, c.Publication.Subject.Digest["sha256"])
			}
			seen[c.Coordinate.String()] = c.Publication.Subject.Digest["sha256"]
		}
		return nil
	}))
	must(t, log.Check(context.Background(), signer.Keys, func(uint64, uint64) {}))
	if len(l.answers) < 50 {
		t.Fatalf("only %d answers: the load was no load", len(l.answers))
	}
	for _, a := range l.answers {
		if seen[a.purl] != digestsOf(a.content)["sha256"] {
			t.Fatalf("%s was answered and is not in the log with its content", a.purl)
		}
		if _, err := l.verify(a.bundle, a.purl, a.content); err != nil {
			t.Fatalf("%s: %v", a.purl, err)
		}
		l.onTree(log, a)
	}
	t.Logf("%d answers, %d entries", len(l.answers), log.Size())
}

// onTree checks that the head in the answer is one of the final log's.
func (l *load) onTree(log *ledger.Log, a answered) {
	b, err := provenance.ParseBundle(a.bundle)
	must(l.t, err)
	cp, err := provenance.ParseCheckpoint(b.Proof.Checkpoint)
	must(l.t, err)
	root, err := log.Root(cp.Size)
	must(l.t, err)
	if root != cp.Root {
		l.t.Fatalf("%s: the log forked at size %d", a.purl, cp.Size)
	}
}
