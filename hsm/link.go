package hsm

import (
	"cmp"
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

	taken   atomic.Bool   // the anchor: by the pool to sign with, or to be closed
	gone    chan struct{} // closed when the link is lost
	retired atomic.Bool   // sessions that come back are closed
}

var errLost = errors.New("the device was lost meanwhile")

// connect logs in, finds the key and has it sign a test message.
func (k *Key) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()          // what opens after all is closed at once
	var settled atomic.Bool // by who is first: the link is open, or nobody waits for it any more
	result := make(chan *link, 1)
	k.module.hold()
	err := k.call(ctx, nil, connectPatience*k.Timeout, func() error {
		defer k.module.unload(k.Timeout) // the last to leave, if nobody waits
		epoch, err := k.module.enter()
		if err != nil {
			return err
		}
		defer k.module.gate.leave()
		l, err := k.open(ctx, epoch)
		if err == nil && !settled.CompareAndSwap(false, true) {
			return l.closeAll()
		}
		result <- l
		return err
	})
	if err != nil && settled.CompareAndSwap(false, true) {
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
	l := &link{key: k, token: t, name: name, epoch: epoch, anchor: anchor, pool: newPool(t.sessions(k.Sessions)), gone: make(chan struct{})}
	info, err := l.selfTest()
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
		err = l.key.call(ctx, l, l.key.Timeout+l.key.Timeout/10, func() error { // the caller gives up before the call does
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
	s, ok := l.pool.take(l.gone, ctx.Done())
	if err := l.refusal(); err != nil {
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

// refusal is why no signature begins on the link.
func (l *link) refusal() error {
	select {
	case <-l.gone:
		return cmp.Or(l.key.Err(), errLost)
	default:
		return l.token.stopped.reason(l.name) // another Key of it may have stopped
	}
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
		return s.close()
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
	if l.taken.CompareAndSwap(false, true) {
		err = errors.Join(err, l.anchor.close())
	}
	return err
}
