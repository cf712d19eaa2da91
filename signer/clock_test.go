package signer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dial is a pair of clocks that a test sets.
type dial struct {
	wall time.Time
	mono time.Duration
}

func (d *dial) now() (time.Time, time.Duration) { return d.wall, d.mono }

// pass lets time pass, which the wall clock shows with a deviation.
func (d *dial) pass(t, deviation time.Duration) {
	d.mono += t
	d.wall = d.wall.Add(t + deviation)
}

// A jump of the wall clock either way latches, and is told until somebody believes the clock again; slewing is followed.
func TestClockJumps(t *testing.T) {
	for name, tt := range map[string]struct {
		pass, deviation time.Duration
		refused         bool
	}{
		"nothing":          {0, 0, false},
		"a day passes":     {24 * time.Hour, 0, false},
		"slewed ahead":     {time.Hour, 10 * time.Second, false},
		"slewed back":      {time.Hour, -10 * time.Second, false},
		"set ahead":        {time.Second, 11 * time.Second, true},
		"set back":         {time.Second, -11 * time.Second, true},
		"set back an hour": {2 * time.Hour, -time.Hour, true},
		"set ahead a year": {0, 365 * 24 * time.Hour, true},
		"suspended":        {0, 8 * time.Hour, true}, // the monotonic clock stands still meanwhile
	} {
		t.Run(name, func(t *testing.T) {
			d := &dial{wall: time.Date(2030, 1, 1, 0, 0, 0, 999, time.UTC)}
			c := newClock(d.now)
			d.pass(tt.pass, tt.deviation)
			for range 3 { // latched, also when the clock is right again
				if now, err := c.read(); (err != nil) != tt.refused || !now.Equal(d.wall.Truncate(time.Second)) {
					t.Fatal(now, err)
				}
			}
			d.pass(0, -tt.deviation)
			if _, err := c.read(); (err != nil) != tt.refused {
				t.Fatal(err)
			} else if err != nil && !strings.Contains(err.Error(), "thaw") {
				t.Fatalf("does not say what to do: %v", err)
			}
			c.believe()
			if _, err := c.read(); err != nil {
				t.Fatalf("believed, and still: %v", err)
			}
		})
	}
}

// Much slewing in small steps is followed: the reference moves along.
func TestClockFollowsSlewing(t *testing.T) {
	d := &dial{wall: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := newClock(d.now)
	for range 100 {
		d.pass(time.Minute, 2*time.Second)
		if _, err := c.read(); err != nil {
			t.Fatal(err)
		}
	}
	d.pass(0, 11*time.Second)
	if _, err := c.read(); err == nil {
		t.Fatal("a jump after slewing went unnoticed")
	}
}

// The system's clocks agree with themselves.
func TestClockOfTheSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(nil)
		for range 10 {
			time.Sleep(24 * time.Hour)
			now, err := c.read()
			if err != nil || now.Sub(time.Now()).Abs() >= time.Second || now.Location() != time.UTC || now.Nanosecond() != 0 {
				t.Fatal(now, err)
			}
		}
	})
}
