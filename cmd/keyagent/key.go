package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"countersign.dev/hsm"
	"countersign.dev/tpm"
)

// key is what a device needs of a key, wherever that lives.
type key interface {
	Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error)
	Ended() <-chan struct{} // closed when the key signs no more in this process
	Err() error             // why
	Close() error

	// status is "up", or another word and since when and why.
	status() (state string, since time.Time, cause string)
}

// source is a key as the configuration names it.
type source interface {
	fmt.Stringer
	pin(ed25519.PublicKey) pinned
	open(context.Context, opening) (key, error)
	renewable() bool               // whether starting again in place does it any good
	files() (read, write []string) // that opening it takes, beside the PIN's
}

// opening says how a source is opened.
type opening struct {
	public  ed25519.PublicKey
	timeout time.Duration
	wait    bool        // until the device is there, as long as there is hope
	missed  func(error) // told why there is no key yet
	log     *slog.Logger
}

// isStopped says whether another try would do harm before a person has looked.
func isStopped(err error) bool {
	return errors.Is(err, hsm.ErrStopped) || errors.Is(err, tpm.ErrStopped)
}

func isRefusedPIN(err error) bool { return errors.Is(err, hsm.ErrPIN) || errors.Is(err, tpm.ErrPIN) }

// attempt tells open of the end of ctx so much later that a PIN which is on its way is answered.
func attempt[K any](ctx context.Context, open func(context.Context) (K, error)) (K, error) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(answerTime, cancel) })()
	return open(patient)
}

// tokenSource is a key in a PKCS#11 token.
type tokenSource struct{ hsm.URI }

func (s tokenSource) pin(ed25519.PublicKey) pinned { return pinned{s.Token, s.Serial, s.PINFile} }

func (tokenSource) renewable() bool { return true }

// open returns at once if it may wait; package hsm goes on in the background.
func (s tokenSource) open(ctx context.Context, o opening) (key, error) {
	k, err := attempt(ctx, func(ctx context.Context) (*hsm.Key, error) {
		return hsm.Open(ctx, hsm.Config{URI: s.URI, PublicKey: o.public, Timeout: o.timeout, Wait: o.wait, Logger: o.log})
	})
	if err != nil {
		return nil, err
	}
	return tokenKey{k}, nil
}

type tokenKey struct{ *hsm.Key }

func (k tokenKey) status() (string, time.Time, string) {
	s := k.Status()
	return s.State, s.Since, s.Cause
}

// sealedSource is a key whose seed a TPM has sealed.
type sealedSource struct{ tpm.URI }

// pin goes by the public key: a sealed key has one PIN, wherever its file lies.
func (s sealedSource) pin(public ed25519.PublicKey) pinned {
	return pinned{fmt.Sprintf("tpm:%x", s.SRK), fmt.Sprintf("%x", public), s.PINFile}
}

// renewable is false: there is no module that leaks or gets stuck.
func (sealedSource) renewable() bool { return false }

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
)

func (s sealedSource) open(ctx context.Context, o opening) (key, error) {
	config := tpm.Config{URI: s.URI, PublicKey: o.public, Device: tpm.NewDevice(s.Device, 0)}
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		k, err := attempt(ctx, func(ctx context.Context) (*tpm.Key, error) { return tpm.Open(ctx, config) })
		if err == nil {
			return unsealed(k, o.log), nil
		}
		if !o.wait || isStopped(err) || ctx.Err() != nil {
			return nil, err
		}
		o.missed(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// sealedKey is in this process's memory; nothing can go away.
type sealedKey struct {
	*tpm.Key
	since time.Time
}

func unsealed(k *tpm.Key, log *slog.Logger) sealedKey {
	m, approval := k.Memory(), k.Approval()
	log.Info("unsealed", "memory", m.Kind, "copies_erased", m.Erased, "approved_until", approval.NotAfter)
	if m.Kind != "memfd_secret" {
		log.Warn("the kernel has no secret memory (memfd_secret): the seed is locked in memory, and root can read it there")
	}
	if !m.Erased {
		log.Warn("signatures leave copies of the seed in memory: build keyagent with GOEXPERIMENT=runtimesecret")
	}
	return sealedKey{k, time.Now()}
}

func (k sealedKey) status() (string, time.Time, string) {
	if err := k.Err(); err != nil {
		return "stopped", k.since, err.Error()
	}
	return "up", k.since, ""
}
