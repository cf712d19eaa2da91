package signer

import (
	"fmt"
	"sync"
	"time"
)

// maxJump is how far the wall clock may move against the monotonic clock between two readings.
const maxJump = 10 * time.Second

// clock refuses a wall clock that jumps. Slewing is followed; a jump either way latches until an operator has looked,
// because countersignedAt decides which enrolment and which identity count.
type clock struct {
	now func() (wall time.Time, monotonic time.Duration)

	mu     sync.Mutex
	wall   time.Time
	mono   time.Duration
	jumped error
}

func newClock(now func() (time.Time, time.Duration)) *clock {
	if now == nil {
		start := time.Now()
		now = func() (time.Time, time.Duration) { return time.Now().Round(0), time.Since(start) }
	}
	c := &clock{now: now}
	c.wall, c.mono = now()
	return c
}

// read gives the time of day, or why it is not to be believed.
func (c *clock) read() (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.now()
	drift := wall.Sub(c.wall) - (mono - c.mono)
	if c.jumped == nil && (drift > maxJump || drift < -maxJump) {
		c.jumped = fmt.Errorf("the clock jumped by %s at %s: set it right, then thaw", drift.Round(time.Second), wall.UTC().Format(time.RFC3339))
	}
	if c.jumped == nil {
		c.wall, c.mono = wall, mono
	}
	return wall.UTC().Truncate(time.Second), c.jumped
}

// believe accepts the time of day as it is now.
func (c *clock) believe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.now()
	c.jumped = nil
}
