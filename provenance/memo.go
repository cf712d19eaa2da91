package provenance

import "sync"

// memo remembers what was found good, up to a number of things. Beyond that every new one makes it forget another,
// whichever: the order of what is asked must not matter much, and is not always ours.
type memo[K comparable, V any] struct {
	limit int

	mu    sync.RWMutex
	known map[K]V // guarded by mu
}

func newMemo[K comparable, V any](limit int) *memo[K, V] {
	return &memo[K, V]{limit: limit, known: make(map[K]V)}
}

func (m *memo[K, V]) get(key K) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.known[key]
	return v, ok
}

// put keeps the value of a key that is there already, so that what is found by it stays the same thing.
func (m *memo[K, V]) put(key K, v V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if earlier, ok := m.known[key]; ok {
		return earlier
	}
	if len(m.known) >= m.limit {
		for other := range m.known {
			delete(m.known, other)
			break
		}
	}
	m.known[key] = v
	return v
}
