package tpm

import (
	"errors"

	"golang.org/x/sys/unix"
)

// NewSecretPage makes a page with memfd_secret, without it, or without anything,
// and gives its kind, its bytes and what frees it.
func NewSecretPage(hidden, locked bool) (kind string, b []byte, free func() error, err error) {
	without := func(int) (*secretPage, error) { return nil, errors.New("not on this kernel") }
	makers := []func(int) (*secretPage, error){without, without}
	if hidden {
		makers[0] = hiddenPage
	}
	if locked {
		makers[1] = lockedPage
	}
	p, err := newSecretPage(makers...)
	if err != nil {
		return "", nil, nil, err
	}
	return p.kind, p.bytes, p.free, nil
}

// Spoil flips a bit of the seed, as faulty memory would.
func (k *Key) Spoil() error {
	page := k.seed.page.bytes
	if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	page[0] ^= 1
	return nil
}

// SeedPage is where the seed is.
func (k *Key) SeedPage() *byte { return &k.seed.page.bytes[0] }
