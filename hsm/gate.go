package hsm

import (
	"errors"
	"sync"
	"time"
)

// gate keeps a module's C_Initialize and C_Finalize apart from all other calls:
// finalising under a call crashes the process. Whoever calls the module has
// entered and not left.
type gate struct {
	mu     sync.Mutex
	inside int
	empty  chan struct{} // closed when inside falls to 0; nil while nobody waits for that

	// closed is set while C_Initialize or C_Finalize is under way or waits for
	// the calls to return.
	closed bool
	opened *sync.Cond // with mu: closed has become false

	up       bool      // C_Initialize was called
	owned    bool      // by us, so that C_Finalize is ours to call
	epoch    uint64    // how often it was finalised; sessions and slot numbers do not outlive it
	finished time.Time // when it was finalised last

	working map[*Key]bool // keys that sign, or will when they have opened new sessions
}

func newGate() *gate {
	g := &gate{working: map[*Key]bool{}}
	g.opened = sync.NewCond(&g.mu)
	return g
}

// anyEpoch makes shut not look at the epoch.
const anyEpoch = ^uint64(0)

var errRenewed = errors.New("the module was initialised anew")

// enter waits while the gate is closed. It returns false, with the gate closed
// by the caller, if the module must be initialised first.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.closed {
		g.opened.Wait()
	}
	if !g.up {
		g.closed = true
		return false
	}
	g.inside++
	return true
}

// initialised lets the caller in, who has initialised the module and opens the
// gate next.
func (g *gate) initialised(ours bool) (epoch uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.up = true
	g.owned = ours
	g.inside++
	return g.epoch
}

// enterAgain begins calls with sessions of an epoch. It waits while the gate is
// closed: it may open on the same epoch.
func (g *gate) enterAgain(epoch uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.closed {
		g.opened.Wait()
	}
	if g.epoch != epoch {
		return errRenewed
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// shut closes the gate, unless it is closed or the epoch has passed.
func (g *gate) shut(epoch uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || epoch != anyEpoch && g.epoch != epoch {
		return false
	}
	g.closed = true
	return true
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
	g.opened.Broadcast()
}

// drain waits, with the gate shut, until the calls under way have returned.
func (g *gate) drain(patience time.Duration) bool {
	g.mu.Lock()
	if g.inside == 0 {
		g.mu.Unlock()
		return true
	}
	empty := make(chan struct{})
	g.empty = empty
	g.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-time.After(patience):
		return false
	}
}

func (g *gate) ours() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.owned
}

// now is the epoch.
func (g *gate) now() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch
}

// finalised ends the epoch if C_Finalize did what it says. Where it did not, the
// sessions live on, and nobody would close them in another epoch.
func (g *gate) finalised(done bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finished = time.Now()
	if done {
		g.up, g.owned = false, false
		g.epoch++
	}
}

// sparing is how often one key may have the module finalised while others of
// it work: it costs them their sessions.
const sparing = 30 * time.Second

// busy reports whether other keys of the module work, and had to begin again
// not long ago.
func (g *gate) busy(k *Key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shared(k) && time.Since(g.finished) < sparing
}

// shared reports whether other keys of the module work; g.mu is held.
func (g *gate) shared(k *Key) bool {
	n := len(g.working)
	if g.working[k] {
		n--
	}
	return n > 0
}

// giveUp opens the gate after calls have not returned in time. It reports
// whether they may be those of keys that work.
func (g *gate) giveUp(k *Key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finished = time.Now()
	g.closed = false
	g.opened.Broadcast()
	return g.shared(k)
}

func (g *gate) works(k *Key, working bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if working {
		g.working[k] = true
	} else {
		delete(g.working, k)
	}
}
