package signer

import (
	"context"
	"errors"
	"sync"
)

var (
	errQueueFull   = errors.New("queue is full")
	errQueueClosed = errors.New("queue is closed")
)

// queue holds admitted work until the sequencer takes it. Each caller has a bounded share of its own, live and backfill
// apart, and takes turns with the others: one caller's flood is its own problem.
type queue struct {
	share int           // items one caller may have waiting, in each priority
	ready chan struct{} // capacity 1: there may be something to take

	mu     sync.Mutex
	lines  [2][]*line // by priority
	turn   [2]int     // whose turn it is
	closed bool
}

// Priorities, most urgent first.
const (
	live = iota
	backfill
)

// line is one caller's waiting items, first come first served.
type line struct {
	caller string
	items  []*item
}

func newQueue(share int) *queue { return &queue{share: share, ready: make(chan struct{}, 1)} }

// push adds all items or none.
func (q *queue) push(caller string, priority int, items []*item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errQueueClosed
	}
	l := q.line(caller, priority)
	if len(l.items)+len(items) > q.share {
		return errQueueFull
	}
	l.items = append(l.items, items...)
	q.signal()
	return nil
}

func (q *queue) line(caller string, priority int) *line {
	for _, l := range q.lines[priority] {
		if l.caller == caller {
			return l
		}
	}
	l := &line{caller: caller}
	q.lines[priority] = append(q.lines[priority], l)
	return l
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits until something is queued and takes up to max items, one of each caller in turn, backfill only for what room
// live work leaves. It returns errQueueClosed once the queue is closed and empty.
func (q *queue) take(ctx context.Context, max int) ([]*item, error) {
	for {
		q.mu.Lock()
		items, closed := q.pick(max), q.closed
		q.mu.Unlock()
		switch {
		case len(items) > 0:
			return items, nil
		case closed:
			return nil, errQueueClosed
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pick takes items; q.mu is held.
func (q *queue) pick(max int) []*item {
	var out []*item
	for priority, lines := range q.lines {
		for idle := 0; idle < len(lines) && len(out) < max; {
			l := lines[q.turn[priority]%len(lines)]
			q.turn[priority]++
			if len(l.items) == 0 {
				idle++
				continue
			}
			idle = 0
			out = append(out, l.items[0])
			l.items[0] = nil
			l.items = l.items[1:]
		}
	}
	if len(out) == max {
		q.signal() // there may be more
	}
	return out
}

// close refuses new work; what is queued is still taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// length is how many items wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, lines := range q.lines {
		for _, l := range lines {
			n += len(l.items)
		}
	}
	return n
}
