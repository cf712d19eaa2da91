package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"countersign.dev/agent"
)

// device is a key from when it is wanted; a successor serves before its keys are open. It is a crypto.Signer.
type device struct {
	source source
	opening
	since  time.Time
	missed atomic.Pointer[error] // why it is not open yet
	signed func()                // called after each signature

	opened chan struct{} // closed when what follows is set
	key    key
	err    error // why there is no key
}

func newDevice(s source, o opening, signed func()) *device {
	d := &device{source: s, opening: o, since: time.Now(), signed: signed, opened: make(chan struct{})}
	d.opening.missed = func(err error) { d.missed.Store(&err) }
	return d
}

// pinned is whose PIN the device needs, and where it lies.
func (d *device) pinned() pinned { return d.source.pin(d.public) }

// open is called once. The PIN that was refused last time is not tried again.
func (d *device) open(ctx context.Context, latch pinLatch) error {
	defer close(d.opened)
	if d.err = latch.check(d.pinned()); d.err != nil {
		return d.err
	}
	d.key, d.err = d.source.open(ctx, d.opening)
	if d.err == nil && !d.wait {
		d.err = latch.forget(d.pinned())
	}
	return d.err
}

// failure is why the device signs no more in this process, nil while it may.
func (d *device) failure() error {
	select {
	case <-d.opened:
	default:
		return nil
	}
	if d.err != nil {
		return d.err
	}
	return d.key.Err()
}

// Public is what the key must be.
func (d *device) Public() crypto.PublicKey { return ed25519.PublicKey(d.public) }

// Sign has the guard stop where another try would do harm.
func (d *device) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	select {
	case <-d.opened:
	case <-time.After(d.timeout):
		return nil, d.Health()
	}
	if err := d.err; err != nil {
		return nil, stopping(err)
	}
	signature, err := d.key.Sign(rand, message, opts)
	if err != nil {
		return nil, stopping(err)
	}
	d.signed()
	return signature, nil
}

func stopping(err error) error {
	if isStopped(err) {
		return &agent.StoppedError{Reason: err.Error()}
	}
	return err
}

// Health says since when the device does not sign, and why.
func (d *device) Health() error {
	state, since, cause := "opening", d.since, "the module was stuck, and gets a pause"
	select {
	case <-d.opened:
		if d.err != nil {
			state, cause = "failed", d.err.Error()
			break
		}
		if state, since, cause = d.key.status(); state == "up" {
			return nil
		}
	default:
		if err := d.missed.Load(); err != nil {
			state, cause = "recovering", (*err).Error()
		}
	}
	return fmt.Errorf("%s since %s: %s", state, since.Format(time.TimeOnly), cause)
}

// close is nil for a device that was never opened.
func (d *device) close() error {
	select {
	case <-d.opened:
		if d.key != nil {
			return d.key.Close()
		}
	default:
	}
	return nil
}
