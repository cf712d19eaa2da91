package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"countersign.dev/agent"
	"countersign.dev/hsm"
)

// device is a key from when it is wanted; a successor serves before its keys are open. It is a crypto.Signer.
type device struct {
	config hsm.Config
	since  time.Time
	signed func() // called after each signature

	opened chan struct{} // closed when what follows is set
	key    *hsm.Key
	err    error // why there is no key
}

func newDevice(c hsm.Config, signed func()) *device {
	return &device{config: c, since: time.Now(), signed: signed, opened: make(chan struct{})}
}

// open is called once. The PIN that the token refused last time is not tried again.
func (d *device) open(ctx context.Context, latch pinLatch) error {
	defer close(d.opened)
	if d.err = latch.check(d.config.URI); d.err != nil {
		return d.err
	}
	d.key, d.err = hsm.Open(ctx, d.config)
	if d.err == nil && !d.config.Wait {
		d.err = latch.forget(d.config.URI)
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
func (d *device) Public() crypto.PublicKey { return d.config.PublicKey }

// Sign has the guard stop where another try would do harm.
func (d *device) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	select {
	case <-d.opened:
	case <-time.After(d.config.Timeout):
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
	if errors.Is(err, hsm.ErrStopped) {
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
		status := d.key.Status()
		if status.State == "up" {
			return nil
		}
		state, since, cause = status.State, status.Since, status.Cause
	default:
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
