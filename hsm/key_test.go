package hsm_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/hsm"
	"countersign.dev/hsm/softhsm"
)

var _ crypto.MessageSigner = (*hsm.Key)(nil)

func TestSign(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	key := tokens.Open(generated)
	if !generated.PublicKey.Equal(key.Public()) {
		t.Fatalf("Public() = %x, want %x", key.Public(), generated.PublicKey)
	}
	for _, message := range [][]byte{{0}, []byte("hello"), bytes.Repeat([]byte("m"), 1<<20)} {
		for _, sign := range []func() ([]byte, error){
			func() ([]byte, error) { return key.Sign(nil, message, crypto.Hash(0)) },
			func() ([]byte, error) { return key.SignMessage(nil, message, &ed25519.Options{}) },
			func() ([]byte, error) { return crypto.SignMessage(key, nil, message, crypto.Hash(0)) },
		} {
			signature, err := sign()
			if err != nil || !ed25519.Verify(generated.PublicKey, message, signature) {
				t.Fatalf("%d bytes: %x, %v", len(message), signature, err)
			}
		}
	}
}

func TestSignRefuses(t *testing.T) {
	tokens := softhsm.New(t)
	key := tokens.Open(tokens.Key(tokens.Token("registry"), "log-1"))
	message := []byte("m")
	for name, sign := range map[string]func() ([]byte, error){
		"a hash":        func() ([]byte, error) { return key.Sign(nil, make([]byte, 64), crypto.SHA512) },
		"Ed25519ph":     func() ([]byte, error) { return key.Sign(nil, make([]byte, 64), &ed25519.Options{Hash: crypto.SHA512}) },
		"Ed25519ctx":    func() ([]byte, error) { return key.Sign(nil, message, &ed25519.Options{Context: "c"}) },
		"no options":    func() ([]byte, error) { return key.Sign(nil, message, nil) },
		"empty message": func() ([]byte, error) { return key.SignMessage(nil, nil, crypto.Hash(0)) },
	} {
		if signature, err := sign(); err == nil || signature != nil {
			t.Errorf("%s: %x, %v", name, signature, err)
		}
	}
	if _, err := key.Sign(nil, message, crypto.Hash(0)); err != nil {
		t.Errorf("refusing a request spoilt the key: %v", err)
	}
}

// rfc8032 are the tests of RFC 8032, section 7.1, that sign something.
var rfc8032 = []struct{ seed, message, signature string }{
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	{"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		"dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
}

func TestRFC8032(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	for i, v := range rfc8032 {
		var imported hsm.GeneratedKey
		raw(t, u, func(r rawToken) {
			imported = r.importKey(rawKey{label: "vector", id: []byte{byte(i)}, seed: unhex(t, v.seed)})
		})
		imported.URI = u
		imported.URI.ID = imported.ID
		got, err := tokens.Open(imported).Sign(nil, unhex(t, v.message), crypto.Hash(0))
		if err != nil || !bytes.Equal(got, unhex(t, v.signature)) {
			t.Errorf("vector %d: %x, %v", i, got, err)
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	must(t, err)
	return b
}

func TestSignConcurrently(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	a, b := tokens.Key(u, "a"), tokens.Key(tokens.Token("other"), "b")
	var wg sync.WaitGroup
	for _, g := range []hsm.GeneratedKey{a, b} {
		key := tokens.Open(g)
		for worker := range byte(8) {
			wg.Go(func() {
				for n := range byte(25) {
					message := []byte{worker, n}
					signature, err := key.Sign(nil, message, crypto.Hash(0))
					if err != nil || !ed25519.Verify(g.PublicKey, message, signature) {
						t.Errorf("%x, %v", signature, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestCloseWhileSigning(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	for range 20 {
		key, err := hsm.Open(t.Context(), hsm.Config{URI: generated.URI, PublicKey: generated.PublicKey})
		must(t, err)
		var wg, running sync.WaitGroup
		for range 4 {
			running.Add(1)
			wg.Go(func() {
				_, err := key.Sign(nil, []byte("m"), crypto.Hash(0))
				running.Done()
				for err == nil {
					_, err = key.Sign(nil, []byte("m"), crypto.Hash(0))
				}
				if !errors.Is(err, hsm.ErrClosed) {
					t.Error(err)
				}
			})
		}
		running.Wait()
		must(t, key.Close())
		wg.Wait()
		must(t, key.Close())
	}
}

// The module lives from the first key's Open to the last one's Close.
func TestModuleIsShared(t *testing.T) {
	tokens := softhsm.New(t)
	u := tokens.Token("registry")
	generated := tokens.Key(u, "log-1")
	config := hsm.Config{URI: generated.URI, PublicKey: generated.PublicKey}
	first, err := hsm.Open(t.Context(), config)
	must(t, err)
	second, err := hsm.Open(t.Context(), config)
	must(t, err)
	must(t, first.Close())
	if _, err := second.Sign(nil, []byte("m"), crypto.Hash(0)); err != nil {
		t.Errorf("closing one key spoilt the other: %v", err)
	}
	must(t, second.Close())
	ctx := pkcs11.New(softhsm.Module)
	if _, err := ctx.GetSlotList(true); !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		t.Errorf("after the last Close: %v", err)
	}
}

// Another part of the process may have initialised the module: it stays so.
func TestForeignInitialise(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	ctx := pkcs11.New(softhsm.Module)
	must(t, ctx.Initialize())
	key, err := hsm.Open(t.Context(), hsm.Config{URI: generated.URI, PublicKey: generated.PublicKey})
	must(t, err)
	must(t, key.Close())
	if _, err := ctx.GetSlotList(true); err != nil {
		t.Errorf("Close finalised what it had not initialised: %v", err)
	}
	must(t, ctx.Finalize())
}

func TestWrongSignatureStops(t *testing.T) {
	for name, spoil := range map[string]func(faultyModule){
		"wrong": func(m faultyModule) { m.Corrupt(1) },
		"short": func(m faultyModule) { m.Shorten(true) },
	} {
		t.Run(name, func(t *testing.T) {
			tokens := softhsm.New(t)
			generated := tokens.Key(tokens.Token("registry"), "log-1")
			module := newFaultyModule(t)
			key, err := hsm.Open(t.Context(), module.over(generated))
			must(t, err)
			defer key.Close()
			spoil(module)
			signature, err := key.Sign(nil, []byte("m"), crypto.Hash(0))
			if signature != nil || !errors.Is(err, hsm.ErrStopped) {
				t.Fatalf("%x, %v", signature, err)
			}
			module.Clear()
			asked := module.Calls("C_Sign")
			if _, err := key.Sign(nil, []byte("m"), crypto.Hash(0)); !errors.Is(err, hsm.ErrStopped) {
				t.Errorf("signs again: %v", err)
			}
			if _, err := hsm.Open(t.Context(), module.over(generated)); !errors.Is(err, hsm.ErrStopped) {
				t.Errorf("opens again: %v", err)
			}
			if n := module.Calls("C_Sign"); n != asked {
				t.Errorf("the token was asked %d times more", n-asked)
			}
		})
	}
}

func TestSelfTestMessage(t *testing.T) {
	tokens := softhsm.New(t)
	generated := tokens.Key(tokens.Token("registry"), "log-1")
	module := newFaultyModule(t)
	for range 2 {
		key, err := hsm.Open(t.Context(), module.over(generated))
		must(t, err)
		must(t, key.Close())
	}
	signed := module.Messages()
	if len(signed) != 2 || bytes.Equal(signed[0], signed[1]) {
		t.Fatalf("want two different self-tests: %q", signed)
	}
	if err := openNote(checkpointText); strings.Contains(err.Error(), "malformed note") {
		t.Fatalf("this test takes a checkpoint for malformed: %v", err)
	}
	for _, text := range signed {
		if text[0] != 0 {
			t.Errorf("self-test %q does not begin with NUL", text)
		}
		if err := openNote(string(text) + "\n"); !strings.Contains(err.Error(), "malformed note") {
			t.Errorf("self-test %q passes for a signed note's text: %v", text, err)
		}
	}
}

const checkpointText = "registry.example/countersign/1\n1048576\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

// openNote says what is wrong with a note of that text and an unknown signature.
func openNote(text string) error {
	_, err := note.Open([]byte(text+"\n\u2014 registry.example AAAAAAAA\n"), note.VerifierList())
	return err
}
