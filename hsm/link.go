package hsm

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"
)

// link is a key as it is reached through one login: from logging in until the
// device is lost.
type link struct {
	key   *Key
	token token
	name  string // in the module's latch
	epoch uint64 // of the module

	// anchor only keeps the process logged in, so that a signing session can
	// be thrown away without losing the login. Where the token has one session
	// in all, the pool signs with it.
	anchor session
	pool   pool

	retired atomic.Bool // sessions that come back are closed
}

// signingSession is a session with the key's handle in it.
type signingSession struct {
	session
	key    keyPair
	anchor bool
}

var errHung = errors.New("the call has not returned")

// call runs f, which calls into the module, in a goroutine of its own, since
// nothing interrupts it there. It returns with an error when ctx ends. When the
// patience is over f counts as stuck until it returns, and the link, if there
// is one yet, as lost. f must not touch what the caller of call goes on to use.
func (k *Key) call(ctx context.Context, l *link, patience time.Duration, f func() error) error {
	const running, returned, hung = 0, 1, 2
	var state atomic.Int32
	done := make(chan error, 1)
	timer := time.AfterFunc(patience, func() {
		if state.CompareAndSwap(running, hung) {
			err := fmt.Errorf("%w for %s", errHung, patience)
			k.lost(l, err)
			k.stuck(1)
			done <- err
		}
	})
	go func() {
		err := f()
		timer.Stop()
		if state.CompareAndSwap(running, returned) {
			done <- err
		} else {
			k.stuck(-1)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stuck counts calls that do not return, and calls that did at last.
func (k *Key) stuck(n int) {
	k.mu.Lock()
	k.counts.stuck += n
	stuck := k.counts.stuck
	k.mu.Unlock()
	k.Logger.Warn("calls into the PKCS#11 module that do not return", "key", k.URI.String(), "calls", stuck)
	if stuck > k.Sessions {
		k.end(fmt.Errorf("%d calls have not returned: %w", stuck, ErrStuck))
	}
}

// connect logs in, finds the key and has it sign a test message.
func (k *Key) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what opens after all is closed at once
	result := make(chan *link, 1)
	err := k.call(ctx, nil, connectPatience*k.Timeout, func() error {
		epoch, err := k.module.enter()
		if err != nil {
			return err
		}
		defer k.module.gate.leave()
		l, err := k.open(ctx, epoch)
		if err == nil {
			result <- l
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-result, nil
}

// connectPatience is how many times longer connecting, a dozen calls, may take
// than one signature.
const connectPatience = 2

// open is connect's way through the module.
func (k *Key) open(ctx context.Context, epoch uint64) (*link, error) {
	t, err := k.module.findToken(k.URI.Token, k.URI.Serial)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s key %x", t.name(), k.PublicKey)
	if err := t.stopped.reason(name); err != nil {
		return nil, err
	}
	if t.has(pkcs11.CKF_USER_PIN_COUNT_LOW) {
		k.Logger.Warn("a wrong user PIN was tried since the last good login", "token", t.info.Label, "serial", t.info.Serial)
	}
	anchor, err := t.login(ctx, 0, k.URI.PINFile)
	if err != nil {
		return nil, err
	}
	l := &link{key: k, token: t, name: name, epoch: epoch, anchor: anchor, pool: newPool(t.sessions(k.Sessions))}
	info, err := l.selfTest()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, l.closeAll())
	}
	k.Logger.Info("key opened", "token", t.info.Label, "serial", t.info.Serial, "id", hex.EncodeToString(info.ID),
		"manufacturer", t.info.Manufacturer, "model", t.info.Model, "firmware", t.info.Firmware)
	return l, nil
}

func (l *link) selfTest() (KeyInfo, error) {
	for {
		s, _ := l.pool.take(nil, nil) // nobody else has the pool yet
		s, _, err := l.use(s, selfTestMessage())
		switch {
		case errors.Is(err, errShrunk):
			continue
		case err != nil:
			return KeyInfo{}, fmt.Errorf("self-test: %w", err)
		}
		l.pool.put(s)
		return s.key.info, nil
	}
}

// sign signs on one session of the pool.
func (l *link) sign(ctx context.Context, message []byte) ([]byte, error) {
	for {
		s, err := l.acquire(ctx)
		if err != nil {
			return nil, err
		}
		result := make(chan []byte, 1)
		err = l.key.call(ctx, l, l.key.Timeout, func() error {
			if err := l.token.gate.enterAgain(l.epoch); err != nil {
				l.pool.put(nil)
				return err
			}
			defer l.token.gate.leave()
			s, signature, err := l.use(s, message)
			if !errors.Is(err, errShrunk) {
				l.putBack(s)
			}
			result <- signature
			return err
		})
		switch {
		case errors.Is(err, errShrunk):
			continue
		case err != nil:
			return nil, err
		}
		return <-result, nil
	}
}

// acquire waits for a session, or for a place in which one may be opened.
func (l *link) acquire(ctx context.Context) (*signingSession, error) {
	s, ok := l.pool.take(l.key.ended, ctx.Done())
	if err := l.key.Err(); err != nil {
		if ok {
			l.pool.put(s)
		}
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("no session is free: %w", context.Cause(ctx))
	}
	return s, nil
}

// use signs on a session, which it opens if there is none, and returns the
// session to put back: nil after an error, because it may be stuck in the
// operation for ever. errShrunk says that the pool has a place less.
func (l *link) use(s *signingSession, message []byte) (*signingSession, []byte, error) {
	var err error
	var signature []byte
	if s == nil {
		s, err = l.openSigning()
	}
	if err == nil {
		if signature, err = s.sign(s.key.private, l.key.PublicKey, message); err == nil {
			return s, signature, nil
		}
		l.discard(s, err)
	}
	if errors.Is(err, ErrStopped) {
		l.token.stopped.stop(l.name, err)
	}
	return nil, nil, err
}

// openSigning opens a session and finds the key anew, since handles need not
// outlive what made a session fail. Where the token has no session left it
// takes the place out of the pool; the last one signs with the anchor.
func (l *link) openSigning() (*signingSession, error) {
	s, err := l.token.open(0)
	full := err != nil && classify(err) == ClassCapacity
	switch {
	case full && l.pool.shrink():
		l.key.Logger.Warn("the token has no session left: fewer signatures at once", "key", l.key.URI.String(), "sessions", l.pool.len(), "error", err)
		return nil, errShrunk
	case full:
		s = l.anchor
	case err != nil:
		return nil, err
	}
	pair, err := l.find(s)
	if err != nil {
		if !full {
			err = errors.Join(err, s.close())
		}
		return nil, err
	}
	return &signingSession{s, pair, full}, nil
}

func (l *link) find(s session) (keyPair, error) {
	pair, err := s.findKey(l.key.URI)
	if err != nil {
		return keyPair{}, err
	}
	if err := pair.info.checkUsable(); err != nil {
		return keyPair{}, fmt.Errorf("key %s: %w", l.key.URI, err)
	}
	if err := pair.matches(l.key.PublicKey); err != nil {
		return keyPair{}, fmt.Errorf("key %s: %w", l.key.URI, err)
	}
	return pair, nil
}

// discard closes a session after an error. Without the anchor there is no
// login: it is closed with the link.
func (l *link) discard(s *signingSession, err error) {
	if s.anchor {
		l.key.lost(l, err)
		return
	}
	l.key.Logger.Warn("signing session discarded", "key", l.key.URI.String(), "error", err, "closing", s.close())
}

// putBack is called inside the module.
func (l *link) putBack(s *signingSession) {
	l.pool.put(s)
	if l.retired.Load() {
		l.closeOne()
	}
}

// closeOne closes a session that nobody uses, if there is one, and leaves its
// place. It is called inside the module.
func (l *link) closeOne() error {
	select {
	case s := <-l.pool.open:
		defer l.pool.put(nil)
		if !s.anchor {
			return s.close()
		}
	default:
	}
	return nil
}

// retire closes the sessions; those in use when they are put back, for which it
// waits so long.
func (l *link) retire(patience time.Duration) error {
	l.retired.Store(true)
	l.idle(patience)
	err := l.key.call(context.Background(), nil, l.key.Timeout, func() error {
		if l.token.gate.enterAgain(l.epoch) != nil {
			return nil // C_Finalize closed them
		}
		defer l.token.gate.leave()
		return l.closeAll()
	})
	if errors.Is(err, errHung) {
		return fmt.Errorf("close sessions of %s: %w: %w", l.key.URI, err, ErrStuck)
	}
	return err
}

// idle waits until nobody uses a session. The pool may shrink meanwhile.
func (l *link) idle(patience time.Duration) {
	deadline := time.Now().Add(patience)
	for taken := 0; taken < l.pool.len() && time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		if s, ok := l.pool.take(nil, ctx.Done()); ok {
			defer l.pool.put(s)
			taken++
		}
		cancel()
	}
}

// closeAll is called inside the module.
func (l *link) closeAll() error {
	var err error
	for range l.pool.len() {
		err = errors.Join(err, l.closeOne())
	}
	return errors.Join(err, l.anchor.close())
}
