package tpm_test

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"testing"

	"countersign.dev/tpm"
)

func TestSealRestartUnlockSign(t *testing.T) {
	f := newFixture(t)
	f.restart()
	key, err := tpm.Open(t.Context(), f.config)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("a checkpoint")
	signature, err := key.Sign(nil, message, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	public := key.Public().(ed25519.PublicKey)
	if !public.Equal(f.config.PublicKey) || !ed25519.Verify(f.config.PublicKey, message, signature) {
		t.Fatal("the signature is not the sealed key's")
	}
	for _, opts := range []crypto.SignerOpts{nil, crypto.SHA512, &ed25519.Options{Context: "x"}} {
		if _, err := key.Sign(nil, message, opts); err == nil {
			t.Errorf("%v: signed", opts)
		}
	}
	f.kill() // the TPM is not needed any more
	if _, err := key.Sign(nil, message, crypto.Hash(0)); err != nil {
		t.Fatal(err)
	}
	if key.Approval().Limit != f.sealedAt.Limit {
		t.Fatalf("released under %+v", key.Approval())
	}
	if err := key.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := key.Sign(nil, message, crypto.Hash(0)); !errors.Is(err, tpm.ErrClosed) {
		t.Fatal(err)
	}
}

// hashless are the options for pure Ed25519.
type hashless struct{}

func (hashless) HashFunc() crypto.Hash { return 0 }
