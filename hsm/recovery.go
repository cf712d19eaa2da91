package hsm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second

	// lasting is how long a link must last for the next recovery to begin
	// without a pause.
	lasting = 10 * time.Second
)

// supervise keeps the key connected until ctx ends or the key does. It is the
// only one to make links, and closes them.
func (k *Key) supervise(ctx context.Context, l *link) {
	defer close(k.finished)
	pause := time.Duration(0)
	for {
		if l == nil {
			var err error
			if l, err = k.recover(ctx, pause); err != nil {
				k.end(err)
				return
			}
			k.connected(l)
		}
		began := time.Now()
		k.watch(ctx, l)
		hung := k.hung()
		err := k.leave(l, hung)
		if k.Err() != nil || ctx.Err() != nil {
			k.closeErr = err
			return
		}
		l = nil
		if pause = min(max(2*pause, firstPause), lastPause); hung || time.Since(began) > lasting {
			pause = 0
		}
	}
}

// hung reports whether the link was lost to a call that does not return.
func (k *Key) hung() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Is(k.cause, errHung)
}

// lostPatience is how long a recovery waits for the calls under way: one of
// them may hang.
const lostPatience = 500 * time.Millisecond

// leave closes the sessions of a lost link. Where a call hangs it does not wait
// for that: closing would hang as well.
func (k *Key) leave(l *link, hung bool) error {
	switch {
	case hung:
		go l.retire(0)
		return nil
	case k.Err() == nil:
		return l.retire(min(k.Timeout, lostPatience))
	}
	return l.retire(k.Timeout)
}

// recover connects, trying ever more rarely, until that works, or an error is
// for good. The first try goes without a new C_Initialize, which would cost
// other keys of the module their sessions; the others come right after one,
// because a module may go on for ever with what it saw when it was initialised.
func (k *Key) recover(ctx context.Context, pause time.Duration) (*link, error) {
	said := ""
	var failed uint64 // the epoch in which connecting failed
	for first := true; ; first = false {
		if !sleep(ctx, pause) {
			return nil, ErrClosed
		}
		if !first {
			if err := k.module.renew(k, failed, k.Timeout); errors.Is(err, ErrStuck) {
				return nil, err
			} else if err != nil {
				k.Logger.Warn("module cannot be initialised anew", "key", k.URI.String(), "error", err)
			}
		}
		failed = k.module.gate.now()
		l, err := k.connect(ctx)
		switch {
		case err == nil:
			k.recovered()
			return l, nil
		case ctx.Err() != nil:
			return nil, ErrClosed
		case classify(err) == ClassStop:
			return nil, err
		case errors.Is(err, errHung):
			return nil, fmt.Errorf("%s cannot be opened: %w: %w", k.URI, err, ErrStuck)
		}
		if said != err.Error() {
			said = err.Error()
			k.Logger.Warn("key cannot be opened yet, trying on", "key", k.URI.String(), "error", err)
		}
		k.waiting(err)
		pause = min(max(2*pause, firstPause), lastPause)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// waiting notes why the key cannot be opened.
func (k *Key) waiting(cause error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cause = cause
	k.module.gate.works(k, false)
}

// recovered counts and tells, except for the first time.
func (k *Key) recovered() {
	k.mu.Lock()
	since, first := k.since, !k.opened
	if !first {
		k.counts.recoveries++
	}
	k.mu.Unlock()
	if !first {
		k.Logger.Info("recovered", "key", k.URI.String(), "after", time.Since(since).Round(time.Millisecond).String())
	}
}

// growth is how many canary intervals a pool stays small that had to shrink.
const growth = 12

// watch returns when the link is lost or ctx ends. Meanwhile an idle key signs
// test messages.
func (k *Key) watch(ctx context.Context, l *link) {
	ticker := time.NewTicker(k.Canary)
	defer ticker.Stop()
	ticks := 0
	for {
		k.mu.Lock()
		changed, mine, idle := k.changed, k.link == l, time.Since(k.good) >= k.Canary
		k.mu.Unlock()
		if !mine {
			return
		}
		if idle {
			k.canary(ctx, l)
			continue
		}
		select {
		case <-changed:
		case <-ticker.C:
			if ticks++; ticks%growth == 0 {
				l.pool.grow()
			}
		case <-ctx.Done():
			return
		}
	}
}

// canary signs a test message as SignContext signs others, and does not count
// it. If it gets no signature the link is lost, whatever the reason.
func (k *Key) canary(ctx context.Context, l *link) {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	again := false
	for {
		_, err := l.sign(ctx, selfTestMessage())
		switch {
		case err == nil:
			return
		case ctx.Err() == nil:
			if again, err = k.react(l, err, again); again {
				continue
			} else if err == nil {
				return
			}
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			err = errHung
		}
		k.lost(l, fmt.Errorf("test signature: %w", err))
		return
	}
}
