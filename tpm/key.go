package tpm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Config says which sealed key to open.
type Config struct {
	// URI needs all its attributes.
	URI URI

	// PublicKey is what the key must be.
	PublicKey ed25519.PublicKey

	// Device is the TPM of the URI. Whoever opens again after an error passes the
	// same one, which lets one operation hang and no more, and tries no PIN again
	// that was refused, even if its caller did not hear of it; nil for a new one.
	Device *Device
}

// Unseal gives the seed and the approval under which the TPM released it. The
// caller clears the seed. After an error that matches ErrStopped it must not be
// called again before a person has looked.
func Unseal(ctx context.Context, c Config) ([]byte, Approval, error) {
	u, err := c.prepare()
	if err != nil {
		return nil, Approval{}, err
	}
	d := c.Device
	if d == nil {
		d = NewDevice(c.URI.Device, 0)
	}
	u.last = &d.last
	r, err := perform(ctx, d, func(l *link) (*unsealed, error) { return l.unseal(u) })
	if err != nil {
		return nil, Approval{}, fmt.Errorf("unseal %s: %w", c.URI.SealedPath, err)
	}
	return r.seed, r.approval, nil
}

// prepare reads and checks the files.
func (c Config) prepare() (u unlock, err error) {
	if err := c.URI.require("srk", "device", "sealed-path", "approval-path", "pin-source"); err != nil {
		return u, err
	}
	data, err := readFile(c.URI.SealedPath, 1<<16, false)
	if err != nil {
		return u, fmt.Errorf("sealed key: %w", err)
	}
	if u.sealed, err = ParseSealed(data); err != nil {
		return u, fmt.Errorf("%s: %w", c.URI.SealedPath, err)
	}
	if !bytes.Equal(u.sealed.PublicKey, c.PublicKey) {
		return u, &stopped{nil, c.URI.SealedPath + ": the sealed key is not the pinned one: correct the configuration, or restore the file"}
	}
	if !bytes.Equal(u.sealed.Storage.Name(), c.URI.SRK) {
		return u, &stopped{ErrStorageKey, fmt.Sprintf("%s: it names the storage key %x, and pinned is %x: restore the file, or find out who replaced it", c.URI.SealedPath, u.sealed.Storage.Name(), c.URI.SRK)}
	}
	if u.approver, err = u.sealed.check(); err != nil {
		return u, err
	}
	if data, err = readFile(c.URI.ApprovalPath, 1<<18, false); err != nil {
		return u, fmt.Errorf("approvals: %w", err)
	}
	if u.approvals, err = ParseApprovals(data); err != nil {
		return u, fmt.Errorf("%s: %w", c.URI.ApprovalPath, err)
	}
	u.pinFile, u.now = c.URI.PINFile, time.Now
	return u, nil
}

// Key signs with an unsealed seed, which is in this process's memory until Close.
// The TPM is not asked again. Its methods may be called by any number of
// goroutines.
type Key struct {
	public   ed25519.PublicKey
	approval Approval
	seed     *seed

	ended chan struct{} // closed when err is set
	mu    sync.Mutex    // guards err
	err   error         // why the key signs no more
}

// Open unseals a key.
func Open(ctx context.Context, c Config) (*Key, error) {
	bytes, approval, err := Unseal(ctx, c)
	if err != nil {
		return nil, err
	}
	public := publicOf(bytes)
	seed, err := keepSeed(bytes)
	if err != nil {
		return nil, err
	}
	return &Key{public: public, approval: approval, seed: seed, ended: make(chan struct{})}, nil
}

// Public returns the pinned key, an ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey { return ed25519.PublicKey(bytes.Clone(k.public)) }

// Approval is the one under which the seed was released. After its NotAfter the
// next Open fails; this key goes on.
func (k *Key) Approval() Approval { return k.approval }

// Memory says how well the seed is kept.
func (k *Key) Memory() Memory { return Memory{k.seed.kind, erases} }

// Ended is closed when the key signs no more; Err says why.
func (k *Key) Ended() <-chan struct{} { return k.ended }

// Err is nil until the key has ended. Then it matches ErrStopped or ErrClosed.
func (k *Key) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// end is for good. The first reason stays.
func (k *Key) end(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
		close(k.ended)
	}
}

// Sign implements crypto.Signer with pure Ed25519 as the only choice of options;
// rand is not used. A signature that does not verify never leaves, and ends the
// key.
func (k *Key) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() != 0 {
		return nil, errors.New("tpm signs messages, not hashes: pass the message and crypto.Hash(0)")
	}
	if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
		return nil, errors.New("tpm signs pure Ed25519 only: no context")
	}
	if err := k.Err(); err != nil {
		return nil, err
	}
	signature, err := k.seed.sign(message)
	if err != nil {
		return nil, err
	}
	if !ed25519.Verify(k.public, message, signature) {
		err := &stopped{nil, "a signature does not verify: the memory or the processor is faulty"}
		k.end(err)
		return nil, err
	}
	return signature, nil
}

// Close wipes the seed; the key signs no more.
func (k *Key) Close() error {
	k.end(ErrClosed)
	return k.seed.forget()
}
