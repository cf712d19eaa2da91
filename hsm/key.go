package hsm

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/miekg/pkcs11"
)

// Config says which key to open.
type Config struct {
	// URI needs token, module-path, pin-source, and object or id or both; serial
	// where two tokens have the same label.
	URI URI

	// PublicKey is what the key must be. The token's word alone is not taken.
	PublicKey ed25519.PublicKey

	// Logger is told of logins, discarded sessions and stops; nil for none.
	Logger *slog.Logger
}

// Key is a private key in a token. Its methods may be called by any number of
// goroutines; signatures are made one after the other.
type Key struct {
	token  token
	uri    URI
	public ed25519.PublicKey // the pinned one
	name   string            // in the module's latch
	log    *slog.Logger

	// anchor only keeps the process logged in, so that a signing session can
	// be thrown away without losing the login.
	anchor session

	// mu is held by acquire until release, so it guards what follows and
	// gives the signing session to one goroutine.
	mu      sync.Mutex
	signing *signingSession // nil: the next acquire opens one
	closed  bool
}

// signingSession is a session with the key's handle in it.
type signingSession struct {
	session
	key keyPair
}

// Open logs into the token, finds the key, compares it with the pinned public
// key and has it sign a test message. ctx is looked at between calls into the
// module; a call itself cannot be cancelled.
func Open(ctx context.Context, c Config) (*Key, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m, err := useModule(c.URI.ModulePath)
	if err != nil {
		return nil, err
	}
	k, err := open(ctx, m, c)
	if err != nil {
		return nil, errors.Join(err, m.release())
	}
	return k, nil
}

func (c Config) check() error {
	if err := c.URI.requireKey(); err != nil {
		return err
	}
	if err := checkPublic(c.PublicKey); err != nil {
		return fmt.Errorf("pinned public key for %s: %w", c.URI, err)
	}
	return nil
}

func open(ctx context.Context, m *module, c Config) (*Key, error) {
	log := cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	t, err := m.findToken(c.URI.Token, c.URI.Serial)
	if err != nil {
		return nil, err
	}
	if t.has(pkcs11.CKF_USER_PIN_COUNT_LOW) {
		log.Warn("a wrong user PIN was tried since the last good login", "token", t.info.Label, "serial", t.info.Serial)
	}
	anchor, err := t.login(ctx, 0, c.URI.PINFile)
	if err != nil {
		return nil, err
	}
	k := &Key{
		token: t, uri: c.URI, public: bytes.Clone(c.PublicKey), log: log, anchor: anchor,
		name: fmt.Sprintf("%s key %x", t.name(), c.PublicKey),
	}
	if err := k.selfTest(); err != nil {
		return nil, errors.Join(err, k.closeSessions())
	}
	log.Info("key opened", "token", t.info.Label, "serial", t.info.Serial, "id", hex.EncodeToString(k.signing.key.info.ID),
		"manufacturer", t.info.Manufacturer, "model", t.info.Model, "firmware", t.info.Firmware)
	return k, nil
}

func (k *Key) selfTest() error {
	s, err := k.acquire()
	if err != nil {
		return err
	}
	_, err = s.sign(s.key.private, k.public, selfTestMessage())
	k.release(s, err)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// selfTestMessage gives a fresh message that can never pass for one the key
// signs in earnest: it begins with a NUL byte. A checkpoint begins with its
// origin, and C2SP signed notes hold no control character but newline; a DSSE
// signature covers text beginning "DSSEv1".
func selfTestMessage() []byte {
	nonce := make([]byte, 32)
	rand.Read(nonce) // never fails
	return append([]byte("\x00countersign.dev hsm self-test v1\x00"), nonce...)
}

// Public returns the pinned key, an ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey {
	return ed25519.PublicKey(bytes.Clone(k.public))
}

// Sign implements crypto.Signer; it is SignMessage.
func (k *Key) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignMessage(rand, message, opts)
}

// SignMessage signs the whole message with pure Ed25519 and verifies the
// result. rand is not used. It implements crypto.MessageSigner.
//
// After an error matching ErrStopped the key signs no more in this process,
// however often it is opened. After any other error the next call starts with
// a fresh session.
func (k *Key) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkPure(message, opts); err != nil {
		return nil, err
	}
	s, err := k.acquire()
	if err != nil {
		return nil, err
	}
	signature, err := s.sign(s.key.private, k.public, message)
	k.release(s, err)
	return signature, err
}

func checkPure(message []byte, opts crypto.SignerOpts) error {
	if opts == nil || opts.HashFunc() != 0 {
		return errors.New("hsm signs messages, not hashes: pass the message and crypto.Hash(0)")
	}
	if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
		return errors.New("hsm signs pure Ed25519 only: no context")
	}
	if len(message) == 0 {
		return errors.New("hsm does not sign an empty message")
	}
	return nil
}

// acquire gives the caller the signing session until it calls release. A pool
// of sessions has this and release as its only doors.
func (k *Key) acquire() (*signingSession, error) {
	k.mu.Lock()
	err := k.ready()
	if err != nil {
		k.mu.Unlock()
		return nil, err
	}
	return k.signing, nil
}

// ready leaves k.signing usable or says why not. The caller holds mu.
func (k *Key) ready() error {
	if k.closed {
		return ErrClosed
	}
	if err := k.token.stopped.reason(k.name); err != nil {
		return err
	}
	if k.signing != nil {
		return nil
	}
	s, err := k.openSigning()
	k.stopOn(err)
	k.signing = s
	return err
}

// release takes the session back, with the error of its use. A session is not
// used after an error: it may be stuck in the operation for ever.
func (k *Key) release(s *signingSession, err error) {
	defer k.mu.Unlock()
	if err == nil {
		return
	}
	k.stopOn(err)
	k.log.Warn("signing session discarded", "key", k.uri.String(), "error", err, "closing", s.close())
	k.signing = nil
}

func (k *Key) stopOn(err error) {
	if errors.Is(err, ErrStopped) {
		k.token.stopped.stop(k.name, err)
	}
}

// openSigning opens a session and finds the key anew, since handles need not
// outlive what made a session fail.
func (k *Key) openSigning() (*signingSession, error) {
	s, err := k.token.open(0)
	if err != nil {
		return nil, err
	}
	pair, err := k.find(s)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &signingSession{s, pair}, nil
}

func (k *Key) find(s session) (keyPair, error) {
	pair, err := s.findKey(k.uri)
	if err != nil {
		return keyPair{}, err
	}
	if err := pair.info.checkUsable(); err != nil {
		return keyPair{}, fmt.Errorf("key %s: %w", k.uri, err)
	}
	if !bytes.Equal(pair.info.PublicKey, k.public) {
		return keyPair{}, fmt.Errorf("key %s has public key %x, but %x is pinned: %w", k.uri, pair.info.PublicKey, k.public, ErrStopped)
	}
	return pair, nil
}

// Close waits for the signature in progress and closes the key's sessions. The
// module is finalised with the process's last key of it. The process stays
// logged in while another key of the same token is open.
func (k *Key) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	return errors.Join(k.closeSessions(), k.token.release())
}

func (k *Key) closeSessions() error {
	var err error
	if k.signing != nil {
		err = k.signing.close()
	}
	return errors.Join(err, k.anchor.close())
}
