package hsm

import (
	"errors"
	"sync/atomic"

	"github.com/miekg/pkcs11"
)

// pool holds the signing sessions that nobody uses, and places in which one may
// be opened. Each channel has room for all.
type pool struct {
	open   chan *signingSession
	vacant chan struct{}
	size   *atomic.Int32 // sessions and places, here and in use
}

func newPool(size int) pool {
	p := pool{make(chan *signingSession, size), make(chan struct{}, size), new(atomic.Int32)}
	for range size {
		p.vacant <- struct{}{}
	}
	p.size.Store(int32(size))
	return p
}

func (p pool) len() int { return int(p.size.Load()) }

// take prefers a session to a place, nil. It returns false when one of the
// channels is closed first.
func (p pool) take(ended, done <-chan struct{}) (*signingSession, bool) {
	select {
	case s := <-p.open:
		return s, true
	default:
	}
	select {
	case s := <-p.open:
		return s, true
	case <-p.vacant:
		return nil, true
	case <-ended:
	case <-done:
	}
	return nil, false
}

// put gives a session or a place, nil, back.
func (p pool) put(s *signingSession) {
	if s == nil {
		p.vacant <- struct{}{}
	} else {
		p.open <- s
	}
}

var errShrunk = errors.New("the pool has a place less")

// shrink takes the caller's place away, unless it is the last.
func (p pool) shrink() bool {
	for {
		n := p.size.Load()
		if n == 1 {
			return false
		}
		if p.size.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// grow gives back a place that was taken away.
func (p pool) grow() {
	n := p.size.Load()
	if int(n) < cap(p.vacant) && p.size.CompareAndSwap(n, n+1) {
		p.vacant <- struct{}{}
	}
}

// sessions is how many signing sessions a token has, up to a limit, beside the
// anchor.
func (t token) sessions(limit int) int {
	most := t.maxSessions
	if most == pkcs11.CK_EFFECTIVELY_INFINITE || most == pkcs11.CK_UNAVAILABLE_INFORMATION || most > uint(limit) {
		return limit
	}
	return max(int(most)-1, 1)
}
