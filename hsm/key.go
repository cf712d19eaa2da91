package hsm

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Config says which key to open, and how it is looked after.
type Config struct {
	// URI needs token, module-path, pin-source, and object or id or both; serial
	// where two tokens have the same label.
	URI URI

	// PublicKey is what the key must be. The token's word alone is not taken.
	PublicKey ed25519.PublicKey

	// Sessions is how many signatures may be made at once at most; 0 for 4.
	// They are opened when needed, and fewer if the token has no more.
	Sessions int

	// Timeout bounds a signature, with the wait for a session and for a device
	// that went away; 0 for 5 s. A call into the module that takes longer
	// counts as hung.
	Timeout time.Duration

	// Canary is how often an idle key signs a test message, so that a lost
	// device is found and recovered before it is needed; 0 for 5 s.
	Canary time.Duration

	// Wait makes Open return at once, once the module is loaded. The key is
	// opened in the background, again and again until it works or must not be
	// tried again.
	Wait bool

	// Logger is told of logins, lost devices and stops; nil for none.
	Logger *slog.Logger
}

// Key is a private key in a token. Its methods may be called by any number of
// goroutines.
type Key struct {
	Config
	module *module

	ended    chan struct{}      // closed when err is set
	stop     context.CancelFunc // ends the supervisor
	finished chan struct{}      // closed when the supervisor has returned
	closing  sync.Once
	closeErr error // of closing the sessions; read it after finished

	mu      sync.Mutex // guards what follows
	link    *link      // nil while there is none
	changed chan struct{}
	cause   error // why there is no link
	since   time.Time
	err     error     // why the key signs no more
	opened  bool      // there has been a link
	good    time.Time // of the last signature
	counts  counts
}

type counts struct {
	signatures, recoveries uint64
	stuck                  int // calls that took longer than Timeout and have not returned
}

// Open logs into the token, finds the key, compares it with the pinned public
// key and has it sign a test message. ctx bounds Open only.
func Open(ctx context.Context, c Config) (*Key, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, err := loadModule(c.URI.ModulePath)
	if err != nil {
		return nil, err
	}
	supervised, stop := context.WithCancel(context.Background())
	k := &Key{
		Config: c, module: m, ended: make(chan struct{}), stop: stop, finished: make(chan struct{}),
		changed: make(chan struct{}), cause: errors.New("not opened yet"), since: time.Now(),
	}
	var first *link
	if !c.Wait {
		if first, err = k.connect(ctx); err != nil {
			stop()
			return nil, errors.Join(err, m.unload(c.Timeout))
		}
		k.connected(first)
	}
	go k.supervise(supervised, first)
	return k, nil
}

// maxTimeout keeps sums of time-outs from overflowing.
const maxTimeout = time.Hour

func (c *Config) check() error {
	if err := c.URI.requireKey(); err != nil {
		return err
	}
	if err := checkPublic(c.PublicKey); err != nil {
		return fmt.Errorf("pinned public key for %s: %w", c.URI, err)
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout || c.Canary < 0 {
		return fmt.Errorf("timeout %s and canary %s for %s: want durations from 0, at most %s for the timeout", c.Timeout, c.Canary, c.URI, maxTimeout)
	}
	c.PublicKey = bytes.Clone(c.PublicKey)
	c.Sessions = max(cmp.Or(c.Sessions, 4), 1)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Canary = cmp.Or(c.Canary, 5*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
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
	return ed25519.PublicKey(bytes.Clone(k.PublicKey))
}

// Sign implements crypto.Signer; it is SignMessage.
func (k *Key) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignMessage(rand, message, opts)
}

// SignMessage is SignContext with pure Ed25519 as the only choice of options;
// rand is not used. It implements crypto.MessageSigner.
func (k *Key) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkPure(opts); err != nil {
		return nil, err
	}
	return k.SignContext(context.Background(), message)
}

func checkPure(opts crypto.SignerOpts) error {
	if opts == nil || opts.HashFunc() != 0 {
		return errors.New("hsm signs messages, not hashes: pass the message and crypto.Hash(0)")
	}
	if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
		return errors.New("hsm signs pure Ed25519 only: no context")
	}
	return nil
}

// SignContext signs the whole message with pure Ed25519 and verifies the
// result. It returns when ctx ends or Timeout is over at the latest, though the
// device may still be at it. Until then it waits for a free session and for a
// device that is away, and tries again where that is safe: an Ed25519 signature
// made twice is the same.
//
// After an error matching ErrStopped, ErrStuck or ErrClosed the key signs no
// more.
func (k *Key) SignContext(ctx context.Context, message []byte) ([]byte, error) {
	if len(message) == 0 {
		return nil, errors.New("hsm does not sign an empty message")
	}
	message = bytes.Clone(message) // the caller may use his again before a call that he left has returned
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	again := false
	for lost := 0; ; {
		l, err := k.connection(ctx)
		if err != nil {
			return nil, err
		}
		signature, err := l.sign(ctx, message)
		if err == nil {
			k.signed()
			return signature, nil
		}
		if ctx.Err() != nil && classify(err) != ClassStop {
			if cause := context.Cause(ctx); !errors.Is(err, cause) {
				err = fmt.Errorf("%w: %w", err, cause)
			}
			return nil, fmt.Errorf("%s: no signature: %w", k.URI, err)
		}
		if again && classify(err) == ClassSession {
			if lost++; lost == 2 { // the device passed its self-test meanwhile: it is the message
				return nil, err
			}
		}
		if again, err = k.react(l, err, again); err != nil {
			return nil, err
		}
	}
}

// react does what the class of a failed signature asks for. It returns the
// error if trying again is no use. again says that this was a second try, and
// that the next one will be.
func (k *Key) react(l *link, err error, again bool) (bool, error) {
	switch classify(err) {
	case ClassStop:
		k.end(err)
		return false, err
	case ClassRequest:
		return false, err
	case ClassSession, ClassCapacity:
		if !again {
			return true, nil
		}
	}
	k.lost(l, err)
	return false, nil
}

// Close waits for the signatures in progress and closes the key's sessions. The
// module is finalised with the process's last key of it. The process stays
// logged in while another key of the same token is open. What does not return
// within Timeout is left behind, and the error matches ErrStuck.
func (k *Key) Close() error {
	k.closing.Do(func() {
		k.end(ErrClosed)
		k.stop()
		<-k.finished
		k.closeErr = errors.Join(k.closeErr, k.module.unload(k.Timeout))
	})
	return k.closeErr
}
