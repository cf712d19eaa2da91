package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"countersign.dev/gate"
)

const (
	tick     = 200 * time.Millisecond // between updates on a terminal
	longTick = 10 * time.Second       // between lines elsewhere
)

// progress says on standard error how far a long run is: on a terminal in one line that changes, elsewhere seldom.
type progress struct {
	t        terminal
	terminal bool

	mu    sync.Mutex
	next  time.Time
	shown bool // a line is on the terminal
}

func newProgress(t terminal) *progress {
	p := &progress{t: t, next: time.Now().Add(longTick)}
	if f, ok := t.err.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if p.terminal {
		p.next = time.Now().Add(time.Second)
	}
	return p
}

func (p *progress) count(c gate.Counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.next) {
		return
	}
	if !p.terminal {
		p.next = time.Now().Add(longTick)
		p.t.note("check: %d of %d packages verified", c.Done, c.All)
		return
	}
	p.next, p.shown = time.Now().Add(tick), true
	fmt.Fprintf(p.t.err, "\r\x1b[Kcountersign: check: %d of %d packages verified", c.Done, c.All)
}

// waiting says that a place is asked again.
func (p *progress) waiting(place string) func(err error, pause time.Duration) {
	return func(err error, pause time.Duration) {
		p.end()
		p.t.note("check: %s: %v; asking again in %s", place, err, pause.Round(100*time.Millisecond))
	}
}

// end clears the line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.t.err, "\r\x1b[K")
		p.shown = false
	}
}
