package tpm

import (
	"crypto/ed25519"
	"sync"
)

// seed is the one place where a seed lives for longer than a call. Everything
// else that holds one wipes it.
type seed struct {
	mu    sync.RWMutex // guards bytes against forget
	bytes []byte
}

// keepSeed takes the seed over and wipes from.
func keepSeed(from []byte) *seed {
	s := &seed{bytes: make([]byte, ed25519.SeedSize)}
	copy(s.bytes, from)
	clear(from)
	return s
}

func (s *seed) sign(message []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.bytes == nil {
		return nil, ErrClosed
	}
	private := ed25519.NewKeyFromSeed(s.bytes)
	defer clear(private)
	return ed25519.Sign(private, message), nil
}

func (s *seed) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.bytes)
	s.bytes = nil
}

// publicOf gives the public key of a seed.
func publicOf(seed []byte) ed25519.PublicKey {
	private := ed25519.NewKeyFromSeed(seed)
	defer clear(private)
	return append(ed25519.PublicKey{}, private[ed25519.SeedSize:]...)
}
