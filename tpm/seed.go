package tpm

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// sweepTime is how long copies that a signature left on the heap may stay.
const sweepTime = 5 * time.Second

// seed is the one place where a seed lives for longer than a call. Everything
// else that holds one wipes it.
type seed struct {
	kind     string       // of its memory
	mu       sync.RWMutex // guards page against forget
	page     *secretPage  // nil once forgotten
	sweeping atomic.Bool  // a collection is due
}

// keepSeed takes the seed over and wipes from.
func keepSeed(from []byte) (*seed, error) {
	defer clear(from)
	page, err := newSecretPage(hiddenPage, lockedPage)
	if err != nil {
		return nil, err
	}
	if err := page.keep(from); err != nil {
		return nil, errors.Join(fmt.Errorf("keep the seed: %w", err), page.free())
	}
	s := &seed{kind: page.kind, page: page}
	s.sweep()
	s.sweepLater() // what whoever unsealed it still holds
	return s, nil
}

func (s *seed) sign(message []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.page == nil {
		return nil, ErrClosed
	}
	signature := make([]byte, ed25519.SignatureSize)
	erasing(func() {
		private := ed25519.NewKeyFromSeed(s.page.bytes[:ed25519.SeedSize])
		defer clear(private)
		copy(signature, ed25519.Sign(private, message))
	})
	s.sweepLater()
	return signature, nil
}

// sweepLater has the collector find what a signature left. The runtime erases
// heap memory when it is collected, which without this would be in two minutes.
// It does so again, since a busy machine may run what the first collections
// allowed (see sweep) only after them.
func (s *seed) sweepLater() {
	if erases && s.sweeping.CompareAndSwap(false, true) {
		time.AfterFunc(sweepTime, func() {
			s.sweeping.Store(false)
			s.sweep()
			for n := range 3 {
				time.AfterFunc(sweepTime<<n, s.sweep)
			}
		})
	}
}

// sweep collects twice: crypto/ed25519 keeps what it derived from a private key
// until a collection has seen the key gone, and a goroutine of the runtime has
// been told so.
func (*seed) sweep() {
	if erases {
		runtime.GC()
		time.Sleep(10 * time.Millisecond) // for that goroutine
		runtime.GC()
	}
}

func (s *seed) forget() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.page == nil {
		return nil
	}
	page := s.page
	s.page = nil
	s.sweep()
	return page.free()
}

// publicOf gives the public key of a seed.
func publicOf(seed []byte) ed25519.PublicKey {
	public := make(ed25519.PublicKey, ed25519.PublicKeySize)
	erasing(func() {
		private := ed25519.NewKeyFromSeed(seed)
		defer clear(private)
		copy(public, private[ed25519.SeedSize:])
	})
	return public
}
