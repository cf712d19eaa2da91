package signer_test

import (
	"sync"
	"testing"
	"time"

	"countersign.dev/provenance"
	"countersign.dev/signer"
)

// clocks are a wall clock and a monotonic one, both off by what a test wants.
type clocks struct {
	mu         sync.Mutex
	start      time.Time
	wall, mono time.Duration
}

func (c *clocks) now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.Add(c.wall), c.mono
}

// pass lets time pass; jump sets the wall clock only.
func (c *clocks) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
	c.mono += d
}

func (c *clocks) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

// newClockedWorld has a clock that stands still until a test moves it.
func newClockedWorld(t testing.TB, adjust func(*signer.Config)) (*world, *clocks) {
	c := &clocks{start: time.Now()}
	return newWorld(t, 1, 1, func(config *signer.Config) {
		config.Now = c.now
		if adjust != nil {
			adjust(config)
		}
	}), c
}

// A publication is accepted from five minutes before it was signed, for clocks differ, until the configured age.
func TestAdmitAge(t *testing.T) {
	w, c := newClockedWorld(t, func(c *signer.Config) { c.MaxAge = time.Hour })
	for i, tt := range []struct {
		age  time.Duration
		code signer.Code
	}{
		{0, ""}, {time.Hour - time.Second, ""}, {time.Hour + 2*time.Second, signer.PublicationTooOld}, {1000 * time.Hour, signer.PublicationTooOld},
		{-5*time.Minute + 2*time.Second, ""}, {-5*time.Minute - 2*time.Second, signer.PublicationTooOld}, {-1000 * time.Hour, signer.PublicationTooOld},
	} {
		d := w.unsigned("@acme/widget", "1.0."+string(rune('0'+i)), "content")
		d.SignedAt = c.start.Add(-tt.age)
		if sub := w.signed(d, w.publisher); tt.code == "" {
			w.accepted(sub)
		} else {
			w.refused(sub, tt.code)
		}
	}
}

// An identity is good until the second before it expires; then nothing more is stated, of either kind.
func TestAdmitIdentityExpires(t *testing.T) {
	w, c := newClockedWorld(t, func(c *signer.Config) { c.MaxAge = 1e5 * time.Hour })
	c.pass(w.identity.Expires.Sub(c.start) - time.Second)
	w.accepted(w.submission("@acme/widget", "1.0.0", "content"))
	if why := w.Unready(); why != "" {
		t.Errorf("unready: %s", why)
	}
	c.pass(time.Second)
	w.refused(w.submission("@acme/widget", "1.0.1", "content"), signer.Frozen)
	w.refused(w.statement("pkg:npm/%40acme/widget@1.0.1", "content"), signer.Frozen)
	if why := w.Unready(); why != "expired" {
		t.Errorf("unready: %q", why)
	}
	w.stop()
	w.succeed(func(id *provenance.Identity) { id.Expires = id.Expires.Add(24 * time.Hour) })
	w.start()
	w.retry(w.submission("@acme/widget", "1.0.1", "content"))
}

// A clock that jumps, either way, stops new work until an operator has looked; setting it back does not. What is logged is
// still answered.
func TestAdmitClockJumps(t *testing.T) {
	for name, d := range map[string]time.Duration{"ahead": time.Hour, "back": -30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			w, c := newClockedWorld(t, nil)
			sub := w.submission("@acme/widget", "1.0.0", "content")
			w.accepted(sub)
			c.jump(d)
			for range 2 {
				w.refused(w.submission("@acme/widget", "1.0.1", "content"), signer.Frozen)
				w.refused(w.statement("pkg:npm/%40acme/widget@1.0.1", "content"), signer.Frozen)
				out, problem := w.Enrol(t.Context(), w.caller, []*provenance.Envelope{w.certificate(w.officer, key("another"), nil).Envelope})
				if problem != nil || out[0].Problem == nil || out[0].Problem.Code() != signer.Frozen {
					t.Fatal(problem, out)
				}
				if out := w.send(sub); out.Problem != nil || out.Created {
					t.Fatal(out.Problem, out.Created)
				}
				if why := w.Unready(); why != "clock" {
					t.Fatalf("unready: %q", why)
				}
				c.jump(-d)
			}
			c.jump(d)
			must(t, w.Thaw())
			w.accepted(w.submission("@acme/widget", "1.0.1", "content"))
		})
	}
}

// countersignedAt is the time of admission, however long the item then waited.
func TestAdmitTime(t *testing.T) {
	w, g := newGatedWorld(t, nil)
	w.stop()
	c := &clocks{start: time.Now()}
	w.config.Now = c.now
	w.start()
	first := w.occupy(g)
	late := w.begin(t.Context(), "late", w.submission("@acme/widget", "1.0.0", "content"))
	w.queued(1)
	c.pass(time.Hour)
	g.lift()
	first.wait(t)
	if s, _ := w.countersignature(late.wait(t)[0].Bundle); !s.At.Equal(c.start.Truncate(time.Second)) {
		t.Fatalf("admitted at %s, countersigned at %s", c.start, s.At)
	}
}
