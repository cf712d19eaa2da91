package hsm_test

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

// device is a key behind a module that fails on demand.
type device struct {
	t *testing.T
	*fault.Module
	generated hsm.GeneratedKey
	key       *hsm.Key
}

func newDevice(t *testing.T, change ...func(*hsm.Config)) *device {
	t.Helper()
	tokens := softhsm.New(t)
	d := &device{t: t, generated: tokens.Key(tokens.Token("registry"), "log-1"), Module: fault.New(t, softhsm.Module)}
	d.key = d.open(change...)
	return d
}

func (d *device) config(change ...func(*hsm.Config)) hsm.Config {
	c := configOf(d.generated)
	c.URI.ModulePath = d.Path
	c.Canary = time.Hour // no other signatures than the test's
	for _, f := range change {
		f(&c)
	}
	return c
}

func (d *device) open(change ...func(*hsm.Config)) *hsm.Key {
	d.t.Helper()
	key, err := hsm.Open(d.t.Context(), d.config(change...))
	must(d.t, err)
	d.t.Cleanup(func() {
		d.Clear()
		key.Close()
	})
	return key
}

func (d *device) mustSign() {
	d.t.Helper()
	d.mustSignWith(d.key)
}

func (d *device) mustSignWith(key *hsm.Key) {
	d.t.Helper()
	message := []byte("message")
	signature, err := key.Sign(nil, message, crypto.Hash(0))
	if err != nil || !ed25519.Verify(d.generated.PublicKey, message, signature) {
		d.t.Fatalf("%x, %v (%+v)", signature, err, key.Status())
	}
}

// refusesToSign checks that signing fails with an error that matches.
func (d *device) refusesToSign(target error) error {
	d.t.Helper()
	signature, err := d.key.Sign(nil, []byte("message"), crypto.Hash(0))
	if signature != nil || !errors.Is(err, target) {
		d.t.Fatalf("%x, %v, want %v", signature, err, target)
	}
	return err
}

func (d *device) waitState(want string) {
	d.t.Helper()
	wait(d.t, "state "+want, func() bool { return d.key.Status().State == want })
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited too long for %s", what)
}

func logins(t *testing.T, d *device, good, wrong int) {
	t.Helper()
	if g, w := d.Logins(); g != good || w != wrong {
		t.Errorf("%d good and %d wrong logins, want %d and %d", g, w, good, wrong)
	}
}
