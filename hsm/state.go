package hsm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// connection waits for the device.
func (k *Key) connection(ctx context.Context) (*link, error) {
	for {
		k.mu.Lock()
		l, changed, cause, err := k.link, k.changed, k.cause, k.err
		k.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case l != nil:
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: no signature: %w: %w", k.URI, cause, context.Cause(ctx))
		}
	}
}

// signed counts a signature that its caller got.
func (k *Key) signed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counts.signatures++
}

// worked notes that the device made a signature, which may have come too late
// for its caller.
func (k *Key) worked() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.good = time.Now()
}

// connected publishes a link that has passed its self-test.
func (k *Key) connected(l *link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return
	}
	k.link, k.cause, k.since, k.opened = l, nil, time.Now(), true
	k.announce()
	k.module.gate.works(k, true)
}

// lost gives a link up; the supervisor makes another.
func (k *Key) lost(l *link, cause error) {
	k.mu.Lock()
	if l == nil || k.link != l {
		k.mu.Unlock()
		return
	}
	k.link, k.cause, k.since = nil, cause, time.Now()
	close(l.gone)
	k.announce()
	if !errors.Is(cause, errRenewed) { // else it was another key's doing
		k.module.gate.works(k, false)
	}
	k.mu.Unlock()
	k.Logger.Warn("device lost, recovering", "key", k.URI.String(), "class", classify(cause).String(), "error", cause)
}

// announce wakes whoever waits for a change; k.mu is held.
func (k *Key) announce() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// end is for good. The first reason stays.
func (k *Key) end(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return
	}
	if k.link != nil {
		close(k.link.gone)
	}
	k.err, k.link, k.cause, k.since = err, nil, err, time.Now()
	k.announce()
	k.module.gate.works(k, false)
	close(k.ended)
}

// Ended is closed when the key signs no more in this process; Err says why.
func (k *Key) Ended() <-chan struct{} { return k.ended }

// Err is nil until the key has ended. Then it matches ErrStopped, ErrStuck or
// ErrClosed.
func (k *Key) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Status is how a key is doing.
type Status struct {
	State string    // up, recovering, stopped, stuck or closed
	Cause string    // why it is not up
	Since time.Time // when it came to this state

	Sessions   int    // signatures that can be made at once
	Stuck      int    // calls into the module that took longer than Timeout and have not returned
	Signatures uint64 // made since Open, without tests
	Recoveries uint64 // how often the device came back
}

// Status never waits for the device.
func (k *Key) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := Status{State: k.state(), Since: k.since, Stuck: k.counts.stuck, Signatures: k.counts.signatures, Recoveries: k.counts.recoveries}
	if k.cause != nil {
		s.Cause = k.cause.Error()
	}
	if k.link != nil {
		s.Sessions = k.link.pool.len()
	}
	return s
}

func (k *Key) state() string {
	switch {
	case errors.Is(k.err, ErrStopped):
		return "stopped"
	case errors.Is(k.err, ErrStuck):
		return "stuck"
	case k.err != nil:
		return "closed"
	case k.link == nil:
		return "recovering"
	}
	return "up"
}
