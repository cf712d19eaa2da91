package signer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// waiting makes n items that say whose they are.
func waiting(caller string, n int) []*item {
	all := make([]*item, n)
	for i := range all {
		all[i] = newItem(context.Background(), nil)
		all[i].problem = &Problem{Detail: fmt.Sprint(caller, i)}
	}
	return all
}

func said(items []*item) []string {
	var all []string
	for _, it := range items {
		all = append(all, it.problem.Detail)
	}
	return all
}

func push(t *testing.T, q *queue, caller string, priority, n int) {
	t.Helper()
	if err := q.push(caller, priority, waiting(caller, n)); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, q *queue, max int) []string {
	t.Helper()
	items, err := q.take(t.Context(), max)
	if err != nil {
		t.Fatal(err)
	}
	return said(items)
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("took %v, want %v", got, want)
	}
}

// Callers take turns, item by item: whoever sends few is not behind whoever sends many, and each keeps its order.
func TestQueueTakesTurns(t *testing.T) {
	q := newQueue(100)
	push(t, q, "a", live, 6)
	push(t, q, "b", live, 1)
	push(t, q, "c", live, 2)
	equal(t, take(t, q, 4), "a0", "b0", "c0", "a1")
	push(t, q, "b", live, 1)
	equal(t, take(t, q, 3), "b0", "c1", "a2")
	equal(t, take(t, q, 100), "a3", "a4", "a5")
	if n := q.length(); n != 0 {
		t.Fatalf("%d are left", n)
	}
}

// However long a flood is, a caller with one item is served in the next batch.
func TestQueueFlood(t *testing.T) {
	q := newQueue(10_000)
	push(t, q, "flood", live, 10_000)
	take(t, q, 50)
	push(t, q, "one", live, 1)
	for i, s := range take(t, q, 50) {
		if s == "one0" {
			if i > 1 {
				t.Fatalf("served at place %d", i)
			}
			return
		}
	}
	t.Fatal("not served")
}

// Backfill has what room live work leaves in a batch, and turns of its own.
func TestQueueBackfillYields(t *testing.T) {
	q := newQueue(100)
	push(t, q, "bulk", backfill, 3)
	push(t, q, "bulk 2", backfill, 1)
	push(t, q, "a", live, 2)
	equal(t, take(t, q, 2), "a0", "a1")
	push(t, q, "bulk", live, 1)
	equal(t, take(t, q, 3), "bulk0", "bulk0", "bulk 20")
	equal(t, take(t, q, 3), "bulk1", "bulk2")
}

// A caller's share is bounded, in each priority; a call is taken whole or not at all, and the others do not notice.
func TestQueueShare(t *testing.T) {
	q := newQueue(3)
	push(t, q, "a", live, 2)
	if err := q.push("a", live, waiting("a", 2)); !errors.Is(err, errQueueFull) {
		t.Fatal(err)
	}
	if n := q.length(); n != 2 {
		t.Fatalf("%d wait: a part of a refused call was taken", n)
	}
	push(t, q, "a", live, 1)
	push(t, q, "a", backfill, 3)
	push(t, q, "b", live, 3)
	if err := q.push("a", backfill, waiting("a", 1)); !errors.Is(err, errQueueFull) {
		t.Fatal(err)
	}
	take(t, q, 1)
	push(t, q, "a", live, 1)
}

// take waits without spinning, wakes for work, and ends with its context; a batch of exactly max does not forget the rest.
func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		var ended error
		go func() {
			for {
				items, err := q.take(ctx, 2)
				if err != nil {
					ended = err
					return
				}
				got = append(got, said(items)...)
			}
		}()
		time.Sleep(time.Hour)
		push(t, q, "a", live, 5)
		synctest.Wait()
		equal(t, got, "a0", "a1", "a2", "a3", "a4")
		time.Sleep(time.Hour)
		cancel()
		synctest.Wait()
		if !errors.Is(ended, context.Canceled) {
			t.Fatal(ended)
		}
	})
}

// What was pushed before close is taken, with the news; afterwards nothing is. No item is lost or taken twice.
func TestQueueClose(t *testing.T) {
	q := newQueue(1 << 20)
	var group sync.WaitGroup
	var mu sync.Mutex
	accepted, taken := 0, 0
	for c := range 8 {
		group.Go(func() {
			for range 500 {
				if q.push(fmt.Sprint(c), c%2, waiting("", 3)) == nil {
					mu.Lock()
					accepted += 3
					mu.Unlock()
				}
			}
		})
	}
	group.Go(func() {
		for i := 0; ; i++ {
			if i == 100 {
				q.close()
			}
			items, err := q.take(context.Background(), 7)
			taken += len(items)
			if err != nil && len(items) == 0 {
				return
			}
		}
	})
	group.Wait()
	if accepted != taken || accepted == 0 {
		t.Fatalf("%d were accepted, %d were taken", accepted, taken)
	}
	if err := q.push("late", live, waiting("", 1)); !errors.Is(err, errQueueClosed) {
		t.Fatal(err)
	}
}
