package hsm

import (
	"errors"
	"fmt"
)

// signingSession is a session with the key's handle in it.
type signingSession struct {
	session
	key    keyPair
	anchor bool
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
			l.key.worked()
			return s, signature, nil
		}
		l.discard(s, err)
	}
	if errors.Is(err, ErrStopped) {
		l.token.stopped.stop(l.name, err)
		l.key.end(err) // here, because the caller may have left
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
	case full && !l.taken.CompareAndSwap(false, true):
		return nil, errLost
	case full:
		s = l.anchor
	case err != nil:
		return nil, err
	}
	pair, err := l.find(s)
	if err != nil {
		l.discard(&signingSession{s, pair, full}, err)
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
// login.
func (l *link) discard(s *signingSession, err error) {
	if s.anchor {
		l.key.lost(l, err)
	}
	l.key.Logger.Warn("signing session discarded", "key", l.key.URI.String(), "error", err, "closing", s.close())
}
