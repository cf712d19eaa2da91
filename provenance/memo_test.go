package provenance

import (
	"sync"
	"testing"
)

func TestMemoIsBounded(t *testing.T) {
	m := newMemo[int, int](100)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 10_000 {
				if got := m.put(i, i+1); got != i+1 {
					t.Errorf("%d is %d", i, got)
				}
				if v, ok := m.get(i - worker); ok && v != i-worker+1 {
					t.Errorf("%d is %d", i-worker, v)
				}
			}
		})
	}
	wg.Wait()
	if n := len(m.known); n != 100 {
		t.Errorf("remembers %d things, want 100", n)
	}
}

func TestMemoKeepsTheFirst(t *testing.T) {
	m := newMemo[string, int](1)
	if _, ok := m.get("a"); ok {
		t.Error("remembers what it was never told")
	}
	m.put("a", 1)
	if got := m.put("a", 2); got != 1 {
		t.Errorf("a is %d", got)
	}
	m.put("b", 3)
	if _, ok := m.get("a"); ok {
		t.Error("remembers more than it may")
	}
	if v, ok := m.get("b"); !ok || v != 3 {
		t.Errorf("b is %d, %t", v, ok)
	}
}
