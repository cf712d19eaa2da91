package hsm_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/miekg/pkcs11"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
	"countersign.dev/test/fault"
)

func publicOf(seed []byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

// opens opens a key, has it sign and closes it.
func opens(t *testing.T, c hsm.Config) {
	t.Helper()
	key, err := hsm.Open(t.Context(), c)
	must(t, err)
	defer key.Close()
	_, err = key.Sign(nil, []byte("m"), crypto.Hash(0))
	must(t, err)
}

// Tokens report one and the same key in many ways. Each opens, and none with
// another pinned key.
func TestWildKeys(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	generated := tokens.Key(u, "log-1")
	for name, c := range map[string]struct {
		lie      fault.Quirk
		mismatch string // with another pinned key
	}{
		"raw point":                        {fault.RawPoint, "is pinned"},
		"params as OID":                    {fault.ParamsOID, "is pinned"},
		"params as PrintableString":        {fault.ParamsPrintable, "is pinned"},
		"params as GNU's OID":              {fault.ParamsGNU, "is pinned"},
		"point on both objects":            {fault.PointOnPrivate, "is pinned"},
		"point on the private object":      {fault.NoPublicObject | fault.PointOnPrivate, "is pinned"},
		"raw point on the private object":  {fault.NoPublicObject | fault.PointOnPrivate | fault.RawPoint, "is pinned"},
		"public key unknown":               {fault.NoPublicObject, "does not verify"},
		"public key unknown, GNU's params": {fault.NoPublicObject | fault.ParamsGNU, "does not verify"},
		"not made here":                    {fault.NotLocal, "is pinned"},
	} {
		t.Run(name, func(t *testing.T) {
			module := fault.New(t, softhsm.Module)
			module.Lie(c.lie)
			right := configOf(generated)
			right.URI.ModulePath = module.Path
			opens(t, right)
			found, err := hsm.Inspect(t.Context(), right.URI)
			must(t, err)
			want := generated.PublicKey
			if c.mismatch == "does not verify" {
				want = nil
			}
			if !bytes.Equal(found.Key.PublicKey, want) {
				t.Errorf("public key %x, want %x", found.Key.PublicKey, want)
			}
			wrong := right
			wrong.PublicKey = publicOf(make([]byte, 32))
			if err := refused(t, wrong, c.mismatch); !errors.Is(err, hsm.ErrStopped) {
				t.Errorf("does not match ErrStopped: %v", err)
			}
		})
	}
}

// A key whose public key the token does not show cannot be made: nobody would
// know what to pin.
func TestGenerateKeyWithoutPublicKey(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	module := fault.New(t, softhsm.Module)
	module.Lie(fault.NoPublicObject)
	asked := u
	asked.Object, asked.ModulePath = "log-1", module.Path
	if _, err := hsm.GenerateKey(t.Context(), asked, hsm.KeyOptions{}); err == nil {
		t.Error("made")
	}
	raw(t, u, func(r rawToken) {
		if left := r.find(nil); len(left) != 0 {
			t.Errorf("%d objects left on the token", len(left))
		}
	})
}

// NSS refuses what SoftHSM takes, and reports otherwise: its profile says so.
func TestGenerateKeyWithProfile(t *testing.T) {
	u := newNSS(t).URI
	u.Object, u.Serial = "log-2", "0000000000000000"
	key, err := hsm.GenerateKey(t.Context(), u, hsm.KeyOptions{})
	must(t, err)
	if key.Attributes["CKA_LOCAL"] || key.AllowedMechanisms != nil || key.Attributes["CKA_COPYABLE"] {
		t.Errorf("%+v", key.KeyInfo)
	}
	opens(t, configOf(key))
	r := examine(t, key.URI, true)
	if list := r.Objections(); len(list) != 0 || !r.Tokens[0].Keys[0].SelfTest.Verified || r.Tokens[0].Profile.Name != "NSS" {
		t.Errorf("%+v", r.Tokens[0])
	}
}

// importPublic makes a public object alone.
func (r rawToken) importPublic(label string, id []byte, public ed25519.PublicKey) {
	r.t.Helper()
	r.create(map[uint]any{
		pkcs11.CKA_CLASS: pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_KEY_TYPE: 0x40, pkcs11.CKA_TOKEN: true, pkcs11.CKA_VERIFY: true,
		pkcs11.CKA_LABEL: label, pkcs11.CKA_ID: id, pkcs11.CKA_EC_PARAMS: oid, pkcs11.CKA_EC_POINT: append([]byte{4, 32}, public...),
	})
}

// Keys that somebody made otherwise than we do.
func TestPairing(t *testing.T) {
	seed := bytes.Repeat([]byte{9}, 32)
	public, other := publicOf(seed), publicOf(make([]byte, 32))
	const differ = "and they differ"
	for name, c := range map[string]struct {
		arrange func(rawToken)
		want    string // refusal; "" opens
		other   string // refusal with the other key pinned
	}{
		"no public object": {func(r rawToken) {
			r.importPrivate(rawKey{label: "key", id: []byte{1}, seed: seed})
		}, "", "does not verify"},
		"two public objects, one point": {func(r rawToken) {
			r.importKey(rawKey{label: "key", id: []byte{1}, seed: seed})
			r.importPublic("again", []byte{1}, public)
		}, "", "is pinned"},
		"two public objects, two points": {func(r rawToken) {
			r.importKey(rawKey{label: "key", id: []byte{1}, seed: seed})
			r.importPublic("again", []byte{1}, other)
		}, differ, differ},
		"public object of another id": {func(r rawToken) {
			r.importPrivate(rawKey{label: "key", id: []byte{1}, seed: seed})
			r.importPublic("key", []byte{2}, other)
		}, "", "does not verify"},
		"public object is RSA": {func(r rawToken) {
			r.importPrivate(rawKey{label: "key", id: []byte{0x10}, seed: seed})
			r.generateOther("rsa", 0x10)
		}, "public key with id 10", "not an Ed25519 key"},
		"no id": {func(r rawToken) {
			r.importKey(rawKey{label: "key", seed: seed})
		}, "", "is pinned"},
		"no id, no public object": {func(r rawToken) {
			r.importPrivate(rawKey{label: "key", seed: seed})
		}, "", "does not verify"},
		"no id, public object of another label": {func(r rawToken) {
			r.importPrivate(rawKey{label: "key", seed: seed})
			r.importPublic("other", nil, other)
		}, "", "does not verify"},
		"no id, two public objects": {func(r rawToken) {
			r.importKey(rawKey{label: "key", seed: seed})
			r.importPublic("key", []byte{7}, other)
		}, `times a public key with label "key"`, differ},
		"two private keys, no id": {func(r rawToken) {
			r.importPrivate(rawKey{label: "key", seed: seed})
			r.importPrivate(rawKey{label: "key", seed: make([]byte, 32)})
		}, `"key" (no id), "key" (no id): some have the same label and id, so that no key URI tells them apart`, "2 times a private key"},
		"two private keys, one id": {func(r rawToken) {
			r.importPrivate(rawKey{label: "key", seed: seed})
			r.importPrivate(rawKey{label: "key", id: []byte{3}, seed: seed})
		}, `: name the one meant by object= and id= in the key URI`, "2 times a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			u := softhsm.New(t).Token("registry")
			raw(t, u, c.arrange)
			u.Object = "key"
			if c.want == "" {
				opens(t, hsm.Config{URI: u, PublicKey: public})
			} else {
				refused(t, hsm.Config{URI: u, PublicKey: public}, c.want)
			}
			refused(t, hsm.Config{URI: u, PublicKey: other}, c.other)
		})
	}
}
