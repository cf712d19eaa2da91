package signer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign.dev/signer"
)

// storm is many callers who send one publication after the other until somebody ends it.
type storm struct {
	*world
	group    sync.WaitGroup
	over     atomic.Bool
	answered sync.Map // version -> submission
	refused  atomic.Int64
}

func (s *storm) rage(callers int) {
	for c := range callers {
		s.group.Go(func() {
			caller := *s.caller
			caller.Name = fmt.Sprint("caller ", c)
			for i := 0; !s.over.Load(); i++ {
				version := fmt.Sprintf("%d.0.%d", c, i)
				sub := s.submission("@acme/storm", version, "content")
				out, problem := s.Countersign(context.Background(), &caller, []signer.Submission{sub}, c%4 == 0)
				switch {
				case problem == nil && out[0].Bundle != nil:
					s.answered.Store(version, sub)
				case problem == nil && out[0].Problem == nil:
					s.t.Error("an answer that says nothing")
				default:
					s.refused.Add(1)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
}

// A shutdown under load ends, and every waiter has its answer. What was answered is there after the next start.
func TestSequencerShutdownUnderLoad(t *testing.T) {
	w := newWorld(t, 2, 3, func(c *signer.Config) { c.MaxBatch = 8 })
	s := &storm{world: w}
	s.rage(32)
	until(t, "load", func() bool { return w.Status().Counts.Entries > 200 })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.stop()
	}()
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		s.over.Store(true)
		t.Fatal("does not end while callers go on")
	}
	until(t, "refusals", func() bool { return s.refused.Load() > 0 })
	s.over.Store(true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.group.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("callers still wait for their answers")
	}
	if w.Status().Size != w.Status().Checkpoint {
		t.Error("entries are left that nobody signed")
	}
	w.reopen(nil)
	w.start()
	n := 0
	s.answered.Range(func(_, sub any) bool {
		n++
		out := w.send(sub.(signer.Submission))
		if out.Problem != nil || out.Created {
			t.Errorf("an answered countersignature is not there: %v", out.Problem)
		}
		return n < 50
	})
}

// A shutdown while no agent answers ends in time as well; nothing is logged behind the tail that nobody signed.
func TestSequencerShutdownWhileStalled(t *testing.T) {
	w, switches := newSwitchedWorld(t, 2, 3, func(c *signer.Config) {
		c.SignTimeout = 100 * time.Millisecond
		c.AgentTimeout = 100 * time.Millisecond
	})
	s := &storm{world: w}
	s.rage(16)
	until(t, "load", func() bool { return w.Status().Counts.Entries > 50 })
	for _, sw := range switches {
		sw.set(hung)
	}
	until(t, "stalled", func() bool { return w.Unready() == "stalled" })
	size := w.Status().Size
	start := time.Now()
	w.stop()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %s", d)
	}
	s.over.Store(true)
	s.group.Wait()
	if now := w.Status().Size; now != size {
		t.Errorf("%d entries were logged behind the tail", now-size)
	}
}
