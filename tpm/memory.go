package tpm

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Memory says how well a key's seed is kept.
type Memory struct {
	// Kind is "memfd_secret", where not even the kernel can read the pages, or
	// "mlock" where it has no such memory: then they are kept from the swap and
	// from core dumps, and root can read them.
	Kind string

	// Erased says that the Go runtime erases the copies that a signature makes:
	// the program was built with GOEXPERIMENT=runtimesecret.
	Erased bool
}

const (
	kindSecret = "memfd_secret"
	kindLocked = "mlock"
)

// secretPage is memory outside the Go heap, for one secret.
type secretPage struct {
	kind  string
	bytes []byte // one page
}

// newSecretPage refuses where memory can be neither hidden nor locked: one page
// is little to ask for.
func newSecretPage(makers ...func(size int) (*secretPage, error)) (*secretPage, error) {
	var errs error
	for _, make := range makers {
		p, err := make(os.Getpagesize())
		if err == nil {
			return p, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, fmt.Errorf("no memory to keep the seed in, allow a locked page for each key (LimitMEMLOCK, ulimit -l): %w", errs)
}

// hiddenPage takes the page out of the kernel's own map of memory. It counts
// towards RLIMIT_MEMLOCK. Kernels before 6.5 want secretmem.enable=1.
func hiddenPage(size int) (*secretPage, error) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_secret: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("memfd_secret: ftruncate: %w", err)
	}
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("memfd_secret: mmap: %w", err)
	}
	p := &secretPage{kindSecret, b}
	if err := unix.Madvise(b, unix.MADV_DONTFORK); err != nil {
		return nil, errors.Join(fmt.Errorf("memfd_secret: madvise: %w", err), p.free())
	}
	clear(b) // have the page now: what fails for lack of memory fails here
	return p, nil
}

func lockedPage(size int) (*secretPage, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	p := &secretPage{kindLocked, b}
	if err := unix.Mlock(b); err != nil {
		return nil, errors.Join(fmt.Errorf("mlock: %w", err), p.free())
	}
	for _, advice := range []int{unix.MADV_DONTDUMP, unix.MADV_WIPEONFORK} {
		if err := unix.Madvise(b, advice); err != nil {
			return nil, errors.Join(fmt.Errorf("madvise: %w", err), p.free())
		}
	}
	return p, nil
}

// keep takes a secret. From then on nothing can write there: neither a stray
// pointer nor a module in the same process can spoil it unnoticed.
func (p *secretPage) keep(secret []byte) error {
	copy(p.bytes, secret)
	return unix.Mprotect(p.bytes, unix.PROT_READ)
}

func (p *secretPage) free() error {
	if err := unix.Mprotect(p.bytes, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return errors.Join(err, unix.Munmap(p.bytes))
	}
	clear(p.bytes)
	return unix.Munmap(p.bytes)
}
